//! `/device/transactions/dynamic-qr`. Answered without an envelope, as the contract has it.

use axum::extract::State;
use serde::Deserialize;
use service::Context;
use service::payment::dynamic_qr::{self, Created, DynamicQr, Request};
use utoipa::ToSchema;
use wire::ids::{DeviceId, TerminalId};

use crate::auth::DeviceCaller;
use crate::envelope::{self, Bare};
use crate::error::ErrorCode;
use crate::idempotency::{Answer, MustKey, begin, commit};
use crate::json::{Amount, Json};
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    use ErrorCode::{
        DeviceCapabilityNotSupported, DeviceNotBound, InvalidAmount, InvalidState, PartnerTimeout,
    };

    Routes::of("Dynamic QR").post(
        "/device/transactions/dynamic-qr",
        create,
        "A box asks for a QR with an amount",
        &[
            DeviceNotBound,
            DeviceCapabilityNotSupported,
            InvalidAmount,
            InvalidState,
            PartnerTimeout,
        ],
    )
}

#[derive(Deserialize, ToSchema)]
#[schema(as = DynamicQrRequest)]
struct Body {
    device_id: Option<DeviceId>,
    terminal_id: Option<TerminalId>,
    amount: Amount,
    currency: String,
    request_id: String,
}

async fn create(
    device: DeviceCaller,
    State(context): State<Context>,
    request: MustKey<Json<Body>>,
) -> Answer<Bare<DynamicQr>> {
    let body = request.body.0;
    if let Some(named) = body.device_id {
        device.must_be(named)?;
    }
    let wanted = Request {
        request_id: body.request_id,
        terminal_id: body.terminal_id,
        amount: body.amount.rupiah()?,
        currency: body.currency,
    };
    let mut unit = begin(&context, device.actor(), request.key).await?;
    let code = match dynamic_qr::create(&mut unit, device.id, &wanted).await? {
        Created::Ready(code) => code,
        Created::Ask(asking) => {
            let (resumed, code) = asking.ask(unit).await?;
            unit = resumed;
            code
        }
    };
    let reply = envelope::bare(&code)?;
    commit(unit, reply).await
}
