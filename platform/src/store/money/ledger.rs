//! The double-entry ledger.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;
use wire::Rupiah;
use wire::ids::{MerchantId, TransactionId};

/// What a posting is about.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Subject<'a> {
    pub posting_id: Uuid,
    pub kind: &'a str,
    pub merchant_id: MerchantId,
    pub partner_id: &'a str,
    pub transaction_id: TransactionId,
    pub at: DateTime<Utc>,
}

/// One line: an account and what it is debited or credited.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// The account's name.
    pub account: &'static str,
    /// Debited; zero on a credit line.
    pub debit: Rupiah,
    /// Credited; zero on a debit line.
    pub credit: Rupiah,
}

/// Books a posting: all of its lines in one statement, which the database refuses unless it balances.
///
/// # Errors
/// The database's; `ledger_entries_balanced`, `ledger_entries_once`.
pub async fn insert(
    conn: &mut PgConnection,
    subject: Subject<'_>,
    lines: &[Line],
) -> sqlx::Result<()> {
    let accounts: Vec<String> = lines.iter().map(|line| line.account.to_owned()).collect();
    let debits: Vec<i64> = lines.iter().map(|line| line.debit.to_i64()).collect();
    let credits: Vec<i64> = lines.iter().map(|line| line.credit.to_i64()).collect();
    sqlx::query!(
        "INSERT INTO ledger_entries (posting_id, kind, account, merchant_id, partner_id, transaction_id, debit, credit, created_at)
         SELECT $1, $2, line.account, $3, $4, $5, line.debit, line.credit, $6
         FROM unnest($7::text[], $8::bigint[], $9::bigint[]) AS line (account, debit, credit)",
        subject.posting_id,
        subject.kind,
        subject.merchant_id.as_uuid(),
        subject.partner_id,
        subject.transaction_id.as_uuid(),
        subject.at,
        &accounts,
        &debits,
        &credits
    )
    .execute(conn)
    .await?;
    Ok(())
}
