//! `/merchant`: the portal of a merchant's own people, limited to the caller's merchant.

use axum::extract::State;
use serde::Deserialize;
use service::fleet::device;
use service::payment::transaction::TransactionView;
use service::payment::{notification, transaction};
use service::shop::portal::{Me, Summary};
use service::shop::{outlet, portal};
use service::{Context, Error, word};
use store::fleet::device_view::DeviceView;
use store::payment::notification::Notification;
use store::payment::transaction::{Filter, Transaction};
use store::shop::outlet::Outlet;
use store::{Period, Scope};
use utoipa::IntoParams;
use wire::ids::{DeviceId, OutletId, TerminalId, TransactionId};

use crate::auth::Staff;
use crate::auth::grants::PortalRead;
use crate::envelope::{self, Data, List};
use crate::error::ApiError;
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Merchant portal")
        .get("/merchant/me", me, "Whose portal this is", &[])
        .get(
            "/merchant/dashboard/summary",
            summary,
            "Today, yesterday, the last seven days, by outlet, and the boxes",
            &[],
        )
        .get(
            "/merchant/transactions",
            transactions,
            "One's own payments, newest first",
            &[],
        )
        .get(
            "/merchant/transactions/{transaction_id}",
            transaction,
            "One of one's own payments",
            &[],
        )
        .get(
            "/merchant/devices",
            devices,
            "One's own boxes, newest first",
            &[],
        )
        .get(
            "/merchant/devices/{device_id}/notifications",
            notifications,
            "Which of one's own payments one of one's boxes was told of, newest first",
            &[],
        )
        .get(
            "/merchant/outlets",
            outlets,
            "One's own outlets, newest first",
            &[],
        )
}

async fn me(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
) -> Result<Data<Me>, ApiError> {
    let merchant = staff.merchant()?;
    envelope::ok(&portal::me(&context, &staff.principal, merchant).await?)
}

async fn summary(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
) -> Result<Data<Summary>, ApiError> {
    envelope::ok(&portal::summary(&context, staff.merchant()?).await?)
}

#[derive(Deserialize, IntoParams)]
pub(crate) struct TransactionQuery {
    status: Option<String>,
    outlet_id: Option<OutletId>,
    terminal_id: Option<TerminalId>,
}

impl TransactionQuery {
    /// Which transactions are asked for.
    pub(crate) fn of(self, period: Period) -> Result<Filter, Error> {
        Ok(Filter {
            status: word("status", self.status.as_deref())?,
            terminal_id: self.terminal_id,
            outlet_id: self.outlet_id,
            partner_reference: None,
            period,
        })
    }
}

async fn transactions(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<TransactionQuery>,
) -> Result<List<Transaction>, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    let filter = query.of(period)?;
    let rows = transaction::list(&context, scope, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn transaction(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    Id(id): Id<TransactionId>,
) -> Result<Data<TransactionView>, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    envelope::ok(&transaction::get(&context, scope, id).await?)
}

#[derive(Deserialize, IntoParams)]
struct DeviceQuery {
    online: Option<bool>,
    terminal_id: Option<TerminalId>,
}

async fn devices(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(query): Query<DeviceQuery>,
) -> Result<List<DeviceView>, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    let filter = store::fleet::device_view::Filter {
        online: query.online,
        terminal_id: query.terminal_id,
        ..store::fleet::device_view::Filter::default()
    };
    let rows = device::list(&context, scope, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn notifications(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    page: PageQuery,
) -> Result<List<Notification>, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    device::get(&context, scope, id).await?;
    let rows = notification::list_of_device(&context, scope, id, page.store_page()).await?;
    page.reply(rows, |row| {
        Cursor::new(row.created_at, row.event_id.as_uuid())
    })
}

async fn outlets(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    page: PageQuery,
) -> Result<List<Outlet>, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    let rows = outlet::list(&context, scope, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}
