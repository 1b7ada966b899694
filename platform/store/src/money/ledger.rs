//! The double-entry ledger.

use chrono::{DateTime, Utc};
use domain::ledger::{Account, PostingKind};
use domain::total::Total;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::Rupiah;
use wire::ids::{MerchantId, PayoutId, SettlementId, TransactionId};

use crate::{Page, Period, Scope, column, total};

/// What a posting is about.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Subject<'a> {
    pub posting_id: Uuid,
    pub kind: PostingKind,
    pub merchant_id: MerchantId,
    pub partner_id: Option<&'a str>,
    pub transaction_id: Option<TransactionId>,
    /// The settlement whose part of the accounts the lines of it belong to.
    pub settlement_id: Option<SettlementId>,
    pub payout_id: Option<PayoutId>,
    pub at: DateTime<Utc>,
}

/// One line: an account and what it is debited or credited.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The posting that it is part of.
    pub subject: Subject<'a>,
    /// Which account.
    pub account: Account,
    /// Debited; zero on a credit line.
    pub debit: Rupiah,
    /// Credited; zero on a debit line.
    pub credit: Rupiah,
    /// Whether it belongs to the settlement's part of the account.
    pub of_settlement: bool,
}

/// Books postings: all of their lines in one statement, which the database refuses unless each posting balances.
///
/// # Errors
/// `ledger_entries_balanced`, `ledger_entries_once`, `ledger_entries_payout_once`, `ledger_entries_settlement_once`.
pub async fn insert(conn: &mut PgConnection, lines: &[Line<'_>]) -> sqlx::Result<()> {
    let postings = column(lines, |line| line.subject.posting_id);
    let kinds = column(lines, |line| line.subject.kind);
    let accounts = column(lines, |line| line.account);
    let merchants = column(lines, |line| line.subject.merchant_id);
    let partners = column(lines, |line| line.subject.partner_id);
    let transactions = column(lines, |line| line.subject.transaction_id);
    let settlements = column(lines, |line| {
        line.subject.settlement_id.filter(|_| line.of_settlement)
    });
    let payouts = column(lines, |line| line.subject.payout_id);
    let debits = column(lines, |line| line.debit);
    let credits = column(lines, |line| line.credit);
    let times = column(lines, |line| line.subject.at);
    sqlx::query!(
        "INSERT INTO ledger_entries (posting_id, kind, account, merchant_id, partner_id, transaction_id, settlement_id, payout_id,
             debit, credit, created_at)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::uuid[], $7::uuid[], $8::uuid[],
             $9::bigint[], $10::bigint[], $11::timestamptz[])",
        &postings as _,
        &kinds as _,
        &accounts as _,
        &merchants as _,
        &partners as _,
        &transactions as _,
        &settlements as _,
        &payouts as _,
        &debits as _,
        &credits as _,
        &times
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One line of the ledger, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Entry {
    pub id: i64,
    /// The same for all lines of one event.
    pub posting_id: String,
    pub kind: PostingKind,
    pub account: Account,
    pub merchant_id: MerchantId,
    pub partner_id: Option<String>,
    pub transaction_id: Option<TransactionId>,
    /// The settlement whose part of the account the line belongs to.
    pub settlement_id: Option<SettlementId>,
    pub payout_id: Option<PayoutId>,
    pub debit: Rupiah,
    pub credit: Rupiah,
    pub created_at: DateTime<Utc>,
}

/// Which lines a list shows.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is a filter of the same name")]
pub struct Filter {
    pub account: Option<Account>,
    pub kind: Option<PostingKind>,
    pub transaction_id: Option<TransactionId>,
    /// Whole postings: also their lines that belong to no settlement.
    pub settlement_id: Option<SettlementId>,
    pub payout_id: Option<PayoutId>,
    /// When it was booked.
    pub period: Period,
}

/// Lines, newest first.
pub async fn list(
    conn: &mut PgConnection,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<Entry>> {
    let after_id = page
        .after_id()
        .map(|id| i64::try_from(id.as_u128()).unwrap_or(i64::MAX));
    let rows = sqlx::query!(
        "SELECT id, posting_id, kind, account, merchant_id, partner_id, transaction_id, settlement_id, payout_id, debit, credit,
                created_at
         FROM ledger_entries
         WHERE ($1::uuid IS NULL OR merchant_id = $1) AND ($2::text IS NULL OR account = $2) AND ($3::text IS NULL OR kind = $3)
           AND ($4::uuid IS NULL OR transaction_id = $4)
           AND ($5::uuid IS NULL OR posting_id IN (SELECT posting_id FROM ledger_entries WHERE settlement_id = $5))
           AND ($6::uuid IS NULL OR payout_id = $6)
           AND ($7::timestamptz IS NULL OR created_at >= $7) AND ($8::timestamptz IS NULL OR created_at < $8)
           AND ($9::timestamptz IS NULL OR (created_at, id) < ($9, $10::bigint))
         ORDER BY created_at DESC, id DESC LIMIT $11",
        scope.merchant(),
        filter.account as _,
        filter.kind as _,
        filter.transaction_id as _,
        filter.settlement_id as _,
        filter.payout_id as _,
        filter.period.from,
        filter.period.to,
        page.after_time(),
        after_id,
        page.limit
    )
    .fetch_all(conn)
    .await?;
    let entries = rows.into_iter().map(|row| Entry {
        id: row.id,
        posting_id: row.posting_id.to_string(),
        kind: row.kind,
        account: row.account,
        merchant_id: row.merchant_id,
        partner_id: row.partner_id,
        transaction_id: row.transaction_id,
        settlement_id: row.settlement_id,
        payout_id: row.payout_id,
        debit: row.debit,
        credit: row.credit,
        created_at: row.created_at,
    });
    Ok(entries.collect())
}

/// What was booked on one account.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Balance {
    /// Which.
    pub account: Account,
    /// All that was debited.
    pub debit: Total,
    /// All that was credited.
    pub credit: Total,
    /// Debits minus credits.
    pub balance: Total,
}

/// The sums of every account that has lines, up to a moment.
pub async fn balances(
    conn: &mut PgConnection,
    scope: Scope,
    at: DateTime<Utc>,
) -> sqlx::Result<Vec<Balance>> {
    let rows = sqlx::query!(
        r#"SELECT account, sum(debit)::text AS "debit!", sum(credit)::text AS "credit!"
           FROM ledger_entries WHERE ($1::uuid IS NULL OR merchant_id = $1) AND created_at <= $2
           GROUP BY account ORDER BY account"#,
        scope.merchant(),
        at
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let (debit, credit) = (total(&row.debit)?, total(&row.credit)?);
            Ok(Balance {
                account: row.account,
                debit,
                credit,
                balance: debit - credit,
            })
        })
        .collect()
}
