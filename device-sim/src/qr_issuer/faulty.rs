//! The faults of the API: what becomes of a request and of its answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{BODY_BYTES_MAX, IssuerState, OutputEvent, reply};
use crate::api_faults::{ApiFault, Service};
use crate::qris_payload;

/// How long a request waits that is never answered: longer than anybody waits for it.
const SILENCE: Duration = Duration::from_secs(120);

/// Answers a request as the faults have it.
pub(super) async fn answer(
    State(state): State<Arc<IssuerState>>,
    request: Request,
    next: Next,
) -> Response {
    let api = state.issuer.api;
    let path = request.uri().path();
    let [refunds, cancellations] = api.refund_and_cancel.unwrap_or_default();
    let services = [
        (api.token_path, Service::Token),
        (api.generate_path, Service::Generate),
        (api.query_path, Service::Query),
        (refunds, Service::Refund),
        (cancellations, Service::Cancel),
    ];
    let Some((_, service)) = services.into_iter().find(|(at, _)| *at == path) else {
        return next.run(request).await;
    };
    let code = service.code();
    let Some(fault) = state.issuer.api_faults.next(service) else {
        let answer = next.run(request).await;
        state.meet(&answer);
        return answer;
    };
    let event = OutputEvent::Fault {
        path,
        fault: format!("{fault:?}"),
    };
    let output = state.issuer.output;
    output.emit(&event, || format!("{path}: {fault:?}"));
    match fault {
        ApiFault::Broken => return reply(&format!("500{code}00"), json!({})).into_response(),
        ApiFault::Refused => return reply(&format!("403{code}15"), json!({})).into_response(),
        _ => {}
    }
    let answer = next.run(request).await;
    let is_done = answer.status().is_success();
    match fault {
        ApiFault::Silent => {
            state.rest(SILENCE).await;
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        ApiFault::Garbage => (StatusCode::OK, "<html><body>welcome</body></html>").into_response(),
        ApiFault::Duplicate if is_done => reply(&format!("409{code}01"), json!({})).into_response(),
        ApiFault::Late(after) => {
            state.rest(after).await;
            state.meet(&answer);
            answer
        }
        ApiFault::OtherAmount | ApiFault::WrongChecksum if is_done => {
            with_bad_code(answer, fault).await
        }
        _ => answer,
    }
}

/// The answer with a code that no platform may show.
async fn with_bad_code(answer: Response, fault: ApiFault) -> Response {
    let status = answer.status();
    let bytes = axum::body::to_bytes(answer.into_body(), BODY_BYTES_MAX).await;
    let mut fields: Value = bytes
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let code = fields["qrContent"].as_str().unwrap_or_default();
    let bad = match fault {
        ApiFault::OtherAmount => qris_payload::dynamic(None, "1", "SIMBAD"),
        // The last four characters are the checksum.
        _ => format!("{}0000", &code[..code.len().saturating_sub(4)]),
    };
    fields["qrContent"] = json!(bad);
    (status, Json(fields)).into_response()
}
