//! `/admin/ledger-entries` and `/admin/ledger/trial-balance`.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use service::Context;
use service::money::ledger::{self, TrialBalance};
use store::money::ledger::{Entry, Filter};
use utoipa::IntoParams;
use wire::ids::{MerchantId, PayoutId, SettlementId, TransactionId};

use crate::auth::Staff;
use crate::auth::grants::LedgerRead;
use crate::envelope::{self, Data, List};
use crate::error::ApiError;
use crate::page::{Cursor, PageQuery};
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Ledger")
        .get(
            "/admin/ledger-entries",
            list,
            "Lines of the double-entry ledger, newest first",
            &[],
        )
        .get(
            "/admin/ledger/trial-balance",
            trial_balance,
            "The sums of all accounts, now or at an earlier moment",
            &[],
        )
}

#[derive(Deserialize, IntoParams)]
struct ListQuery {
    account: Option<String>,
    kind: Option<String>,
    merchant_id: Option<MerchantId>,
    transaction_id: Option<TransactionId>,
    /// Whole postings that touch this settlement.
    settlement_id: Option<SettlementId>,
    payout_id: Option<PayoutId>,
}

async fn list(
    staff: Staff<LedgerRead>,
    State(context): State<Context>,
    page: PageQuery,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
) -> Result<List<Entry>, ApiError> {
    let scope = staff.scope.narrowed_to(query.merchant_id);
    let (account, kind) = ledger::words(query.account.as_deref(), query.kind.as_deref())?;
    let filter = Filter {
        account,
        kind,
        transaction_id: query.transaction_id,
        settlement_id: query.settlement_id,
        payout_id: query.payout_id,
        period,
    };
    let rows = ledger::list(&context, scope, &filter, page.store_page()).await?;
    page.reply(rows, |row| Cursor::numbered(row.created_at, row.id))
}

#[derive(Deserialize, IntoParams)]
struct BalanceQuery {
    merchant_id: Option<MerchantId>,
    /// Up to and including this moment; now, unless it says otherwise.
    at: Option<DateTime<Utc>>,
}

async fn trial_balance(
    _: Staff<LedgerRead>,
    State(context): State<Context>,
    Query(query): Query<BalanceQuery>,
) -> Result<Data<TrialBalance>, ApiError> {
    envelope::ok(&ledger::trial_balance(&context, query.merchant_id, query.at).await?)
}
