//! `/admin/tokens`: tokens of programs, and those of logins.

use axum::extract::State;
use serde::Deserialize;
use service::money::approval;
use service::people::token::{self, NewToken, TokenRequest};
use service::{Context, word};
use store::people::token::{Filter, TokenView};
use utoipa::IntoParams;
use wire::ids::{TokenId, UserId};

use crate::auth::Staff;
use crate::auth::grants::{UserRead, UserWrite};
use crate::done_or_proposed::{DoneOrProposed, settle};
use crate::envelope::{self, Created, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit};
use crate::json::{Action, Json, Nothing};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::query::Query;
use crate::routes::Routes;

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
