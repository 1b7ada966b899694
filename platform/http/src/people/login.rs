//! `/admin/login`: an email and a password for a token. `/admin/logout`: its end.

use axum::Extension;
use axum::extract::State;
use service::Context;
use service::people::login::{self, Login, NewSession};
use service::people::token;
use store::people::token::TokenView;

use crate::auth::LoggedIn;
use crate::envelope::{self, Data};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, commit};
use crate::json::{Action, Json, Nothing};
use crate::rate::Origin;
use crate::request;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    use ErrorCode::Unauthenticated;

    Routes::of("Login")
        .post(
            "/admin/login",
            create,
            "An email and a password for a token",
            &[Unauthenticated],
        )
        .post(
            "/admin/logout",
            end,
            "Ends the token that asks, a person's or a program's",
            &[],
        )
}

async fn create(
    State(context): State<Context>,
    Extension(Origin(address)): Extension<Origin>,
    Json(request): Json<Login>,
) -> Result<Data<NewSession>, ApiError> {
    let address = address.map(|address| address.to_string());
    let entered = login::login(&context, request, address, Some(request::id())).await?;
    request::set_principal(&entered.user.id.to_string());
    envelope::ok(&entered)
}

async fn end(
    caller: LoggedIn,
    State(context): State<Context>,
    Action(Nothing {}): Action<Nothing>,
) -> Answer<Data<TokenView>> {
    let mut unit = context.begin(caller.actor()).await?;
    let ended = token::revoke(&mut unit, caller.token_id).await?;
    commit(unit, envelope::ok(&ended)?).await
}
