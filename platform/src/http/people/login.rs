//! `/admin/login`: an email and a password for a token.

use axum::Extension;
use axum::extract::State;

use crate::http::envelope::{self, Data};
use crate::http::error::{ApiError, ErrorCode};
use crate::http::json::Json;
use crate::http::rate::Origin;
use crate::http::request;
use crate::http::routes::Routes;
use crate::service::Context;
use crate::service::people::login::{self, LoggedIn, Login};

pub(super) fn routes() -> Routes {
    use ErrorCode::Unauthenticated;

    Routes::of("Login").post(
        "/admin/login",
        create,
        "An email and a password for a token",
        &[Unauthenticated],
    )
}

async fn create(
    State(context): State<Context>,
    Extension(Origin(address)): Extension<Origin>,
    Json(request): Json<Login>,
) -> Result<Data<LoggedIn>, ApiError> {
    let address = address.map(|address| address.to_string());
    let entered = login::login(&context, request, address, Some(request::id())).await?;
    request::set_principal(&entered.user.id.to_string());
    envelope::ok(&entered)
}
