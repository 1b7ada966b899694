//! `/admin/login`: an email and a password for a token.

use axum::Extension;
use axum::extract::State;
use axum::routing::post;

use super::envelope;
use super::error::ApiError;
use super::json::Json;
use super::rate::Origin;
use super::request;
use super::routes::Routes;
use crate::service::login::{self, Login};
use crate::service::{Context, Reply};

pub(super) fn routes() -> Routes {
    Routes::new().route("/admin/login", post(create))
}

async fn create(
    State(context): State<Context>,
    Extension(Origin(address)): Extension<Origin>,
    Json(request): Json<Login>,
) -> Result<Reply, ApiError> {
    let address = address.map(|address| address.to_string());
    let entered = login::login(&context, request, address, Some(request::id())).await?;
    request::set_principal(&entered.user.id.to_string());
    envelope::ok(&entered)
}
