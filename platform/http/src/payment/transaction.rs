//! `/admin/transactions`.

use axum::extract::State;
use serde::Deserialize;
use service::payment::notification;
use service::payment::refund::Wanted;
use service::payment::reversal::{self, Reason};
use service::payment::transaction::{self, TransactionView};
use service::{Context, Error, word};
use store::payment::notification::Notification;
use store::payment::transaction::{Filter, Transaction, TransactionEvent};
use store::{Period, Scope};
use utoipa::{IntoParams, ToSchema};
use wire::ids::{MerchantId, OutletId, TerminalId, TransactionId};

use crate::auth::Staff;
use crate::auth::grants::{TransactionRead, TransactionWrite};
use crate::envelope::{self, Accepted, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit};
use crate::json::{Action, Amount, Json, Nothing};
use crate::page::{Cursor, PageQuery};
use crate::path::Id;
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    use ErrorCode::{DeviceNotBound, InvalidAmount, InvalidState, PartnerTimeout};

    Routes::of("Transactions")
        .get("/admin/transactions", list, "Payments, newest first", &[])
        .get(
            "/admin/transactions/{transaction_id}",
            read,
            "One payment, with its announcements",
            &[],
        )
        .get(
            "/admin/transactions/{transaction_id}/events",
            events,
            "The life of one payment, from its beginning",
            &[],
        )
        .post(
            "/admin/transactions/{transaction_id}/retry-notification",
            retry_notification,
            "Announces a payment again, as a replay",
            &[InvalidState, DeviceNotBound],
        )
        .post(
            "/admin/transactions/{transaction_id}/refund",
            refund,
            "Has the partner take a payment back, or a part of it",
            &[InvalidState, InvalidAmount, PartnerTimeout],
        )
        .post(
            "/admin/transactions/{transaction_id}/cancel",
            cancel,
            "Withdraws a code that is not paid",
            &[InvalidState, PartnerTimeout],
        )
}

#[derive(Deserialize, IntoParams)]
pub(super) struct ListQuery {
    status: Option<String>,
    merchant_id: Option<MerchantId>,
    outlet_id: Option<OutletId>,
    terminal_id: Option<TerminalId>,
    partner_reference: Option<String>,
}

impl ListQuery {
    /// Whose transactions are asked for, and which.
    pub(super) fn of(self, scope: Scope, period: Period) -> Result<(Scope, Filter), Error> {
        let filter = Filter {
            status: word("status", self.status.as_deref())?,
            terminal_id: self.terminal_id,
            outlet_id: self.outlet_id,
            partner_reference: self.partner_reference,
            period,
        };
        Ok((scope.narrowed_to(self.merchant_id), filter))
    }
}

async fn list(
    staff: Staff<TransactionRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Transaction>, ApiError> {
    let (scope, filter) = query.of(staff.scope, period)?;
    let rows = transaction::list(&context, scope, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor::new(row.created_at, row.id.as_uuid()))
}

async fn read(
    staff: Staff<TransactionRead>,
    State(context): State<Context>,
    Id(id): Id<TransactionId>,
) -> Result<Data<TransactionView>, ApiError> {
    envelope::ok(&transaction::get(&context, staff.scope, id).await?)
}

async fn events(
    staff: Staff<TransactionRead>,
    State(context): State<Context>,
    Id(id): Id<TransactionId>,
) -> Result<List<TransactionEvent>, ApiError> {
    let rows = transaction::events(&context, staff.scope, id).await?;
    envelope::list(&rows, None)
}

async fn retry_notification(
    staff: Staff<TransactionWrite>,
    State(context): State<Context>,
    Id(id): Id<TransactionId>,
    request: Keyed<Action<Nothing>>,
) -> Answer<Accepted<Vec<Notification>>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let events = notification::retry(&mut unit, id).await?;
    commit(unit, envelope::accepted(&events)?).await
}

/// What is to be taken back of a payment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefundRequest {
    /// For the partner and the audit log.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
    /// A part of the payment, where the partner takes back parts; without it, what is left of the payment.
    amount: Option<Amount>,
}

async fn refund(
    staff: Staff<TransactionWrite>,
    State(context): State<Context>,
    Id(id): Id<TransactionId>,
    request: Keyed<Json<RefundRequest>>,
) -> Answer<Data<Transaction>> {
    let RefundRequest { reason, amount } = request.body.0;
    let wanted = Wanted {
        reason: Reason { reason },
        amount: amount.map(Amount::rupiah).transpose()?,
    };
    let unit = begin(&context, staff.actor(), request.key).await?;
    let (unit, refunded) = service::payment::refund::refund(unit, id, &wanted).await?;
    let reply = envelope::ok(&refunded)?;
    commit(unit, reply).await
}

async fn cancel(
    staff: Staff<TransactionWrite>,
    State(context): State<Context>,
    Id(id): Id<TransactionId>,
    request: Keyed<Json<Reason>>,
) -> Answer<Data<Transaction>> {
    let unit = begin(&context, staff.actor(), request.key).await?;
    let (unit, cancelled) = reversal::cancel(unit, id, &request.body.0).await?;
    let reply = envelope::ok(&cancelled)?;
    commit(unit, reply).await
}
