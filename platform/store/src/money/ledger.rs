//! The double-entry ledger.

use chrono::{DateTime, Utc};
use domain::ledger::{Account, Amounts, PostingKind};
use domain::total::Total;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::Rupiah;
use wire::ids::{MerchantId, PayoutId, SettlementId, TransactionId};

use crate::{Page, Period, Scope, total};

/// A posting: what it is about, and its amounts.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct NewPosting<'a> {
    pub posting_id: Uuid,
    pub kind: PostingKind,
    pub merchant_id: MerchantId,
    pub partner_id: Option<&'a str>,
    pub transaction_id: Option<TransactionId>,
    pub refund_number: i16,
    pub settlement_id: Option<SettlementId>,
    pub payout_id: Option<PayoutId>,
    pub amounts: Amounts,
    pub at: DateTime<Utc>,
}

/// Books a posting, which the database refuses unless it balances. The caller has inserted or locked what it is about.
///
/// # Errors
/// `postings_balanced`, `postings_once`, `postings_payout_once`, `postings_settlement_once`.
pub async fn insert(conn: &mut PgConnection, posting: &NewPosting<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO postings (posting_id, kind, merchant_id, partner_id, transaction_id, settlement_id, payout_id,
             acquirer_held, payable_open, payable_claimed, mdr, payout_in_transit, created_at, refund_number)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        posting.posting_id,
        posting.kind as _,
        posting.merchant_id as _,
        posting.partner_id,
        posting.transaction_id as _,
        posting.settlement_id as _,
        posting.payout_id as _,
        posting.amounts.acquirer_held as _,
        posting.amounts.payable_open as _,
        posting.amounts.payable_claimed as _,
        posting.amounts.mdr as _,
        posting.amounts.payout_in_transit as _,
        posting.at,
        posting.refund_number
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

/// Lines, newest first. The condition on `created_at` alone follows from the comparison of pairs. It is there because Postgres
/// can start reading an index of `postings` at a time, but not at an `id`, which the view computes.
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
        r#"SELECT id AS "id!", posting_id AS "posting_id!", kind AS "kind!", account AS "account!", merchant_id AS "merchant_id!",
                partner_id, transaction_id, settlement_id, payout_id, debit AS "debit!", credit AS "credit!",
                created_at AS "created_at!"
         FROM ledger_entries
         WHERE ($1::uuid IS NULL OR merchant_id = $1) AND ($2::text IS NULL OR account = $2) AND ($3::text IS NULL OR kind = $3)
           AND ($4::uuid IS NULL OR transaction_id = $4)
           AND ($5::uuid IS NULL OR posting_settlement_id = $5)
           AND ($6::uuid IS NULL OR payout_id = $6)
           AND ($7::timestamptz IS NULL OR created_at >= $7) AND ($8::timestamptz IS NULL OR created_at < $8)
           AND ($9::timestamptz IS NULL OR created_at <= $9)
           AND ($9::timestamptz IS NULL OR (created_at, id) < ($9, $10::bigint))
         ORDER BY created_at DESC, id DESC LIMIT $11"#,
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

/// The sums of every account, up to a moment; from the postings, because expanding their lines takes longer than adding up.
pub async fn balances(
    conn: &mut PgConnection,
    scope: Scope,
    at: DateTime<Utc>,
) -> sqlx::Result<Vec<Balance>> {
    let rows = sqlx::query!(
        r#"SELECT account AS "account!: Account", coalesce(sum(debit), 0)::text AS "debit!",
                  coalesce(sum(credit), 0)::text AS "credit!"
           FROM (SELECT sum(acquirer_held) FILTER (WHERE acquirer_held > 0) AS held_debit,
                        -sum(acquirer_held) FILTER (WHERE acquirer_held < 0) AS held_credit,
                        sum(payable_open) FILTER (WHERE payable_open > 0) AS open_debit,
                        -sum(payable_open) FILTER (WHERE payable_open < 0) AS open_credit,
                        sum(payable_claimed) FILTER (WHERE payable_claimed > 0) AS claimed_debit,
                        -sum(payable_claimed) FILTER (WHERE payable_claimed < 0) AS claimed_credit,
                        sum(mdr) FILTER (WHERE mdr > 0) AS mdr_debit,
                        -sum(mdr) FILTER (WHERE mdr < 0) AS mdr_credit,
                        sum(payout_in_transit) FILTER (WHERE payout_in_transit > 0) AS in_transit_debit,
                        -sum(payout_in_transit) FILTER (WHERE payout_in_transit < 0) AS in_transit_credit
                 FROM postings WHERE ($1::uuid IS NULL OR merchant_id = $1) AND created_at <= $2) sums,
           LATERAL (VALUES ('acquirer_held', held_debit, held_credit), ('merchant_payable', open_debit, open_credit),
                           ('merchant_payable', claimed_debit, claimed_credit), ('mdr', mdr_debit, mdr_credit),
                           ('payout_in_transit', in_transit_debit, in_transit_credit)) line (account, debit, credit)
           GROUP BY account"#,
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
