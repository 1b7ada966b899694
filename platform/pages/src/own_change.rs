//! Whoever has just changed something finds it in the lists of the next pages, although those may be read on a replica that is
//! a few seconds behind: a cookie of that age has them read on the primary. It holds for every process, and says nothing.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::SET_COOKIE;
use axum::middleware::Next;
use axum::response::Response;
use service::{Context, lists};

use crate::session;

/// The cookie after a change.
const CHANGED: &str = "soundbox_changed";

/// Sets the cookie after a change, and reads on the primary while it is there. Without a replica there is nothing to do.
pub(crate) async fn read_back(
    State(context): State<Context>,
    request: Request,
    next: Next,
) -> Response {
    let Some(age) = context.lists().age_max() else {
        return next.run(request).await;
    };
    if request.method() == Method::GET {
        return match session::cookie(request.headers(), CHANGED) {
            Some(_) => lists::fresh(next.run(request)).await,
            None => next.run(request).await,
        };
    }
    let mut response = lists::fresh(next.run(request)).await;
    // The replica may be so far behind just before the next check finds that.
    let age_s = i64::try_from(age.as_secs())
        .unwrap_or(i64::MAX)
        .saturating_add(2);
    response
        .headers_mut()
        .append(SET_COOKIE, session::set(CHANGED, "1", age_s));
    response
}
