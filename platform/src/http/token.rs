//! `/admin/tokens`: what programs show instead of a login, and what logins gave.

use axum::extract::State;
use axum::routing::post;
use serde::Deserialize;
use wire::ids::{TokenId, UserId};

use super::auth::Staff;
use super::auth::grants::{UserRead, UserWrite};
use super::envelope;
use super::error::ApiError;
use super::idempotency::{Answer, Keyed, begin};
use super::json::{Action, Json, Nothing};
use super::page::{Cursor, PageQuery};
use super::path::Id;
use super::query::Query;
use super::routes::Routes;
use crate::service::token::{self, TokenRequest};
use crate::service::{Context, Reply};
use crate::store::token::Filter;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/admin/tokens", post(create).get(list))
        .route("/admin/tokens/{token_id}/revoke", post(revoke))
}

/// The token is in the first answer and null in every repetition.
async fn create(
    staff: Staff<UserWrite>,
    State(context): State<Context>,
    request: Keyed<Json<TokenRequest>>,
) -> Answer {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let new = token::request(&mut unit, request.body.0).await?;
    let reply = envelope::created(&new)?;
    unit.commit_with(&envelope::without(&reply, &["token"])?)
        .await?;
    Ok(reply)
}

#[derive(Deserialize)]
struct ListQuery {
    role: Option<String>,
    user_id: Option<UserId>,
}

async fn list(
    staff: Staff<UserRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(query): Query<ListQuery>,
) -> Result<Reply, ApiError> {
    let filter = Filter {
        role: query.role,
        user_id: query.user_id,
    };
    let rows = token::list(&context, staff.scope, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor {
        created_at: row.created_at,
        id: row.id.as_uuid(),
    })
}

async fn revoke(
    staff: Staff<UserWrite>,
    State(context): State<Context>,
    Id(id): Id<TokenId>,
    request: Keyed<Action<Nothing>>,
) -> Answer {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let revoked = token::revoke(&mut unit, id).await?;
    let reply = envelope::ok(&revoked)?;
    unit.commit_with(&reply).await?;
    Ok(reply)
}
