//! `/merchant`: the portal of a merchant's own people. Whatever is asked, only the caller's merchant answers.

use axum::extract::State;
use axum::routing::get;
use serde::Deserialize;
use wire::ids::{OutletId, TerminalId, TransactionId};

use super::auth::Staff;
use super::auth::grants::PortalRead;
use super::envelope;
use super::error::ApiError;
use super::page::{Cursor, PageQuery};
use super::path::Id;
use super::query::Query;
use super::routes::Routes;
use crate::service::{Context, Reply, device, outlet, portal, transaction};
use crate::store::{self, Scope};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/merchant/me", get(me))
        .route("/merchant/dashboard/summary", get(summary))
        .route("/merchant/transactions", get(transactions))
        .route("/merchant/transactions/{transaction_id}", get(transaction))
        .route("/merchant/devices", get(devices))
        .route("/merchant/outlets", get(outlets))
}

async fn me(staff: Staff<PortalRead>, State(context): State<Context>) -> Result<Reply, ApiError> {
    let merchant = staff.merchant()?;
    envelope::ok(&portal::me(&context, &staff.principal, merchant).await?)
}

async fn summary(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
) -> Result<Reply, ApiError> {
    envelope::ok(&portal::summary(&context, staff.merchant()?).await?)
}

#[derive(Deserialize)]
struct TransactionQuery {
    status: Option<String>,
    outlet_id: Option<OutletId>,
    terminal_id: Option<TerminalId>,
}

async fn transactions(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(query): Query<TransactionQuery>,
) -> Result<Reply, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    let filter = store::transaction::Filter {
        status: query.status,
        terminal_id: query.terminal_id,
        outlet_id: query.outlet_id,
        partner_reference: None,
    };
    let rows = transaction::list(&context, scope, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor {
        created_at: row.created_at,
        id: row.id.as_uuid(),
    })
}

async fn transaction(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    Id(id): Id<TransactionId>,
) -> Result<Reply, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    envelope::ok(&transaction::get(&context, scope, id).await?)
}

#[derive(Deserialize)]
struct DeviceQuery {
    online: Option<bool>,
    terminal_id: Option<TerminalId>,
}

async fn devices(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    page: PageQuery,
    Query(query): Query<DeviceQuery>,
) -> Result<Reply, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    let filter = store::device::Filter {
        online: query.online,
        terminal_id: query.terminal_id,
        ..store::device::Filter::default()
    };
    let rows = device::list(&context, scope, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor {
        created_at: row.created_at,
        id: row.id.as_uuid(),
    })
}

async fn outlets(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    page: PageQuery,
) -> Result<Reply, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    let rows = outlet::list(&context, scope, page.store_page()).await?;
    page.reply(rows, |row| Cursor {
        created_at: row.created_at,
        id: row.id.as_uuid(),
    })
}
