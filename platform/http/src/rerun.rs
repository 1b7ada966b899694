//! A request whose transaction conflicted with another one is handled again, invisibly to its client.
//!
//! A handler is one transaction, which Postgres has rolled back when it reports a deadlock or a serialisation failure. So
//! the handler can be called again with the same request. Its body has been read by then, so a copy is kept.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use service::retry::{TRIES_MAX, wait_after};

use super::error::Conflict;

/// A copy of what was read of a body.
#[derive(Default)]
struct Copy {
    parts: Vec<Bytes>,
    len: usize,
    too_long: bool,
}

/// Middleware: calls the handler again while its transaction conflicts with others, a limited number of times. A body
/// longer than `bytes_max` is not copied, and its request not repeated.
pub(super) async fn rerun(
    State(bytes_max): State<usize>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    let announced = head
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let copy = Arc::new(Mutex::new(Copy::default()));
    let kept = Arc::clone(&copy);
    let body = Body::new(body.map_frame(move |frame| {
        if let Some(data) = frame.data_ref() {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.len = kept.len.saturating_add(data.len());
            if kept.len > bytes_max {
                kept.too_long = true;
                kept.parts.clear();
            } else {
                kept.parts.push(data.clone());
            }
        }
        frame
    }));
    let mut response = next
        .clone()
        .run(Request::from_parts(head.clone(), body))
        .await;
    for tries in 1..TRIES_MAX {
        if response.extensions().get::<Conflict>().is_none() {
            break;
        }
        let Some(whole) = whole(&copy, announced) else {
            break;
        };
        tokio::time::sleep(wait_after(tries)).await;
        let again = Request::from_parts(head.clone(), Body::from(whole));
        response = next.clone().run(again).await;
    }
    response
}

/// The body, if all of it was read and copied.
fn whole(copy: &Mutex<Copy>, announced: Option<usize>) -> Option<Bytes> {
    let copy = copy.lock().unwrap_or_else(PoisonError::into_inner);
    // A handler reads all of a body or nothing of it. If it read nothing, the body is whole only when it was empty.
    let is_whole = !copy.too_long && (copy.len > 0 || announced.unwrap_or(0) == 0);
    (is_whole && announced.is_none_or(|len| len == copy.len)).then(|| copy.parts.concat().into())
}
