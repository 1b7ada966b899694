//! `/admin/users`: people who may log in.

use axum::extract::State;
use domain::wib;
use futures_util::FutureExt as _;
use serde::Deserialize;
use service::money::approval;
use service::people::user::{self, Made, NewUser, SetUp, UserPatch};
use service::{Context, Error};
use store::people::user::{Filter, User};
use store::{Period, Scope};
use utoipa::IntoParams;
use wire::ids::UserId;

use crate::auth::Staff;
use crate::auth::grants::{UserRead, UserWrite};
use crate::csv::CsvFile;
use crate::done_or_proposed::{DoneOrProposed, settle};
use crate::envelope::{self, Created, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin};
use crate::json::{Action, Json, Nothing};
use crate::language::{Language, LanguageQuery};
use crate::list_file::{Shape, cell};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    use ErrorCode::{InvalidState, MerchantNotFound};

    Routes::of("Users")
        .post(
            "/admin/users",
            create,
            "Makes a user; a password that was made is in this answer only; 202 when another person must confirm it",
            &[MerchantNotFound],
        )
        .get("/admin/users", list, "Users, newest first", &[])
        .get(
            "/admin/users.csv",
            download,
            "All users that a list with these filters has, as a CSV file, newest first",
            &[],
        )
        .get("/admin/users/{user_id}", read, "One user", &[])
        .patch(
            "/admin/users/{user_id}",
            patch,
            "Disables or enables a user, gives a role or a password; 202 when another person must confirm it",
            &[InvalidState],
        )
        .post(
            "/admin/users/{user_id}/reset",
            reset,
            "Takes the password away; a code for setting another is in this answer only; 202 when another person must confirm it",
            &[InvalidState],
        )
}

/// A password that was made for the user is in the first answer and null in every repetition.
async fn create(
    staff: Staff<UserWrite>,
    State(context): State<Context>,
    request: Keyed<Json<NewUser>>,
) -> Answer<DoneOrProposed<Created<Made>>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let outcome = approval::create_user(&mut unit, request.body.0).await?;
    settle(unit, outcome, &["password"], envelope::created).await
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    email: Option<String>,
    role: Option<String>,
    status: Option<String>,
}

impl ListQuery {
    fn of(&self, period: Period) -> Result<Filter, Error> {
        let (email, role) = (self.email.as_deref(), self.role.as_deref());
        user::filter(email, role, self.status.as_deref(), period)
    }
}

async fn list(
    staff: Staff<UserRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<User>, ApiError> {
    let filter = query.of(period)?;
    let rows = user::list(&context, staff.scope, &filter, page.store_page()).await?;
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
    user_file(&context, staff.scope, filter, language.language()).await
}

/// All users that a list has.
///
/// # Errors
/// The database's.
pub async fn user_file(
    context: &Context,
    scope: Scope,
    filter: Filter,
    language: Language,
) -> Result<CsvFile, ApiError> {
    let shape = Shape {
        name: ("pengguna", "users"),
        columns: &[
            ("Dibuat (WIB)", "created_at_wib"),
            ("ID pengguna", "user_id"),
            ("Email", "email"),
            ("Peran", "role"),
            ("Status", "status"),
            ("ID merchant", "merchant_id"),
            ("Akses sejak (WIB)", "access_changed_at_wib"),
        ],
        cells: |row: &User| {
            vec![
                wib::format(row.created_at),
                row.id.to_string(),
                row.email.clone(),
                row.role.to_string(),
                row.status.to_string(),
                cell(row.merchant_id),
                wib::format(row.access_changed_at),
            ]
        },
        place: |row| (row.created_at, row.id.as_uuid()),
    };
    shape
        .file(language, (context.clone(), scope, filter), |asked, page| {
            async move { user::list(&asked.0, asked.1, &asked.2, page).await }.boxed()
        })
        .await
}

async fn read(
    staff: Staff<UserRead>,
    State(context): State<Context>,
    Id(id): Id<UserId>,
) -> Result<Data<User>, ApiError> {
    envelope::ok(&user::get(&context, staff.scope, id).await?)
}

async fn patch(
    staff: Staff<UserWrite>,
    State(context): State<Context>,
    Id(id): Id<UserId>,
    Json(change): Json<UserPatch>,
) -> Answer<DoneOrProposed<Data<User>>> {
    let mut unit = context.begin(staff.actor()).await?;
    let outcome = approval::patch_user(&mut unit, id, change).await?;
    settle(unit, outcome, &[], envelope::ok).await
}

/// The code is in the first answer and null in every repetition.
async fn reset(
    staff: Staff<UserWrite>,
    State(context): State<Context>,
    Id(id): Id<UserId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<DoneOrProposed<Data<SetUp>>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let outcome = approval::reset_user(&mut unit, id).await?;
    settle(unit, outcome, &["setup_code"], envelope::ok).await
}
