//! `/admin/login`: an email and a password for a token.

use axum::Extension;
use axum::extract::State;

use super::envelope::{self, Data};
use super::error::{ApiError, ErrorCode};
use super::json::Json;
use super::rate::Origin;
use super::request;
use super::routes::Routes;
use crate::service::Context;
use crate::service::login::{self, LoggedIn, Login};

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
