//! `/admin/tokens`: tokens of programs, and those of logins.

use axum::extract::State;
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::money::approval;
use service::people::token::{self, NewToken, TokenRequest};
use service::{Context, Error, word};
use store::people::token::{Filter, TokenView};
use store::{Period, Scope};
use utoipa::IntoParams;
use wire::ids::{TokenId, UserId};

use crate::auth::Staff;
use crate::auth::grants::{UserRead, UserWrite};
use crate::csv::CsvFile;
use crate::done_or_proposed::{DoneOrProposed, settle};
use crate::envelope::{self, Created, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit};
use crate::json::{Action, Json, Nothing};
use crate::language::{Language, LanguageQuery};
use crate::list_file::{Shape, cell};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
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
        .get(
            "/admin/tokens.csv",
            download,
            "All tokens that a list with these filters has, without their secrets, as a CSV file, newest first",
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

impl ListQuery {
    fn of(&self, period: Period) -> Result<Filter, Error> {
        Ok(Filter {
            role: word("role", self.role.as_deref())?,
            user_id: self.user_id,
            period,
        })
    }
}

async fn list(
    staff: Staff<UserRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<TokenView>, ApiError> {
    let filter = query.of(period)?;
    let rows = token::list(&context, staff.scope, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn download(
    staff: Staff<UserRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    let filter = query.of(period)?;
    token_file(&context, staff.scope, filter, language.language()).await
}

/// All tokens that a list has.
///
/// # Errors
/// The database's.
pub async fn token_file(
    context: &Context,
    scope: Scope,
    filter: Filter,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("token", "tokens"),
        columns: &[
            ("Dibuat (WIB)", "created_at_wib"),
            ("ID token", "token_id"),
            ("Nama", "name"),
            ("Peran", "role"),
            ("ID merchant", "merchant_id"),
            ("ID pengguna", "user_id"),
            ("Pertama dipakai (WIB)", "first_used_at_wib"),
            ("Berlaku sampai (WIB)", "expires_at_wib"),
            ("Dicabut (WIB)", "revoked_at_wib"),
        ],
        cells: |row: &TokenView| {
            vec![
                wib::format(row.created_at),
                row.id.to_string(),
                row.name.clone(),
                row.role.to_string(),
                cell(row.merchant_id),
                cell(row.user_id),
                cell(row.first_used_at.map(wib::format)),
                wib::format(row.expires_at),
                cell(row.revoked_at.map(wib::format)),
            ]
        },
        place: |row| (row.created_at, row.id.as_uuid()),
    };
    shape
        .file(language, (context.clone(), scope, filter), |asked, page| {
            async move { token::list(&asked.0, asked.1, &asked.2, page).await }.boxed()
        })
        .await
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
