//! `/admin/password`: changing one's own password, and setting one with a one-time code.

use axum::Extension;
use axum::extract::State;
use service::Context;
use service::people::own_password::{self, PasswordChange, PasswordSetup};
use store::people::user::User;

use crate::auth::LoggedIn;
use crate::envelope::{self, Data};
use crate::error::{ApiError, ErrorCode};
use crate::json::Json;
use crate::rate::Origin;
use crate::request;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Login")
        .post(
            "/admin/password",
            change,
            "Changes one's own password and ends one's other sessions",
            &[],
        )
        .post(
            "/admin/password/setup",
            set_up,
            "Sets a first or new password with a one-time code, or with its two halves",
            &[ErrorCode::Unauthenticated],
        )
}

async fn change(
    caller: LoggedIn,
    State(context): State<Context>,
    Extension(Origin(address)): Extension<Origin>,
    Json(wanted): Json<PasswordChange>,
) -> Result<Data<User>, ApiError> {
    let address = address.map(|address| address.to_string());
    let known = (caller.token_id, caller.user_id);
    let changed =
        own_password::change(&context, known, wanted, address, Some(request::id())).await?;
    envelope::ok(&changed)
}

async fn set_up(
    State(context): State<Context>,
    Extension(Origin(address)): Extension<Origin>,
    Json(wanted): Json<PasswordSetup>,
) -> Result<Data<User>, ApiError> {
    let address = address.map(|address| address.to_string());
    let user = own_password::set_up(&context, wanted, address, Some(request::id())).await?;
    request::set_principal(&user.id.to_string());
    envelope::ok(&user)
}
