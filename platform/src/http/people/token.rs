//! `/admin/tokens`: tokens of programs, and those of logins.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use wire::ids::{TokenId, UserId};

use crate::http::auth::Staff;
use crate::http::auth::grants::{UserRead, UserWrite};
use crate::http::done_or_proposed::{DoneOrProposed, settle};
use crate::http::envelope::{self, Created, Data, List};
use crate::http::error::{ApiError, ErrorCode};
use crate::http::idempotency::{Answer, Keyed, begin, commit};
use crate::http::json::{Action, Json, Nothing};
use crate::http::page::{Cursor, PageQuery};
use crate::http::path::Id;
use crate::http::query::Query;
use crate::http::routes::Routes;
use crate::service::money::approval;
use crate::service::people::token::{self, NewToken, TokenRequest};
use crate::service::{Context, word};
use crate::store::people::token::{Filter, TokenView};

pub(super) fn routes() -> Routes {
    use ErrorCode::MerchantNotFound;

    Routes::of("Tokens")
        .post(
            "/admin/tokens",
            create,
            "Makes a token for a program; it is in this answer only; 202 when another person must confirm it",
            &[MerchantNotFound],
        )
        .get(
            "/admin/tokens",
            list,
            "Tokens without their secrets, newest first",
            &[],
        )
        .post(
            "/admin/tokens/{token_id}/revoke",
            revoke,
            "Ends a token",
            &[],
        )
}

/// The token is in the first answer and null in every repetition.
async fn create(
    staff: Staff<UserWrite>,
    State(context): State<Context>,
    request: Keyed<Json<TokenRequest>>,
) -> Answer<DoneOrProposed<Created<NewToken>>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let outcome = approval::create_token(&mut unit, request.body.0).await?;
    settle(unit, outcome, &["token"], envelope::created).await
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    role: Option<String>,
    user_id: Option<UserId>,
}

async fn list(
    staff: Staff<UserRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<TokenView>, ApiError> {
    let filter = Filter {
        role: word("role", query.role.as_deref())?,
        user_id: query.user_id,
    };
    let rows = token::list(&context, staff.scope, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn revoke(
    staff: Staff<UserWrite>,
    State(context): State<Context>,
    Id(id): Id<TokenId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Data<TokenView>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let revoked = token::revoke(&mut unit, id).await?;
    commit(unit, envelope::ok(&revoked)?).await
}
