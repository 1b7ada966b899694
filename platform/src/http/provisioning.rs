//! `/device/provision`: a box without credentials gets them.

use axum::extract::State;
use axum::routing::post;

use super::envelope;
use super::error::ApiError;
use super::json::Json;
use super::request;
use super::routes::Routes;
use crate::service::provisioning::{self, Activation};
use crate::service::{Context, Reply};

pub(super) fn routes() -> Routes {
    Routes::new().route("/device/provision/activate", post(activate))
}

async fn activate(
    State(context): State<Context>,
    Json(activation): Json<Activation>,
) -> Result<Reply, ApiError> {
    envelope::ok(&provisioning::activate(&context, activation, Some(request::id())).await?)
}
