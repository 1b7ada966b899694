//! The double-entry ledger: booking what moved, and finding out whether it all adds up.

use chrono::{DateTime, Utc};
use domain::ledger::{Account, Posting, PostingKind};
use domain::total::Total;
use serde::Serialize;
use store::money::ledger::{Balance, Entry, Filter, NewPosting};
use store::money::proof;
use store::{Page, Scope};
use utoipa::ToSchema;
use wire::ids::{MerchantId, PayoutId, SettlementId, TransactionId};

use crate::{Checks, Context, Result, UnitOfWork};

/// More than a person looks at.
const FINDINGS_MAX: i64 = 100;

/// What a posting is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// Whose money it is.
    pub merchant_id: MerchantId,
    /// The partner that reported it.
    pub partner_id: Option<&'a str>,
    /// The payment.
    pub transaction_id: Option<TransactionId>,
    /// Which refund of the payment; 0: none.
    pub refund_number: i16,
    /// The settlement.
    pub settlement_id: Option<SettlementId>,
    /// The payout.
    pub payout_id: Option<PayoutId>,
}

impl Subject<'_> {
    /// A merchant's money, and nothing more is known.
    pub(crate) const fn of(merchant_id: MerchantId) -> Self {
        Self {
            merchant_id,
            partner_id: None,
            transaction_id: None,
            refund_number: 0,
            settlement_id: None,
            payout_id: None,
        }
    }
}

/// Books a posting in the transaction that it records.
///
/// # Errors
/// The database's, which refuses a posting that does not balance or was booked before.
pub(crate) async fn post(
    unit: &mut UnitOfWork,
    subject: Subject<'_>,
    posting: &Posting,
) -> Result<()> {
    let row = row(unit, subject, posting);
    store::money::ledger::insert(unit.conn(), &row).await?;
    Ok(())
}

/// The row of a posting.
pub(crate) fn row<'a>(
    unit: &UnitOfWork,
    subject: Subject<'a>,
    posting: &Posting,
) -> NewPosting<'a> {
    NewPosting {
        posting_id: unit.uuid(),
        kind: posting.kind(),
        merchant_id: subject.merchant_id,
        partner_id: subject.partner_id,
        transaction_id: subject.transaction_id,
        refund_number: subject.refund_number,
        settlement_id: subject.settlement_id,
        payout_id: subject.payout_id,
        amounts: posting.amounts(),
        at: unit.now(),
    }
}

/// An account and a kind by which lines are filtered.
///
/// # Errors
/// An account or a kind that does not exist.
pub fn words(
    account: Option<&str>,
    kind: Option<&str>,
) -> Result<(Option<Account>, Option<PostingKind>)> {
    let mut checks = Checks::default();
    let account = account.and_then(|account| checks.parse("account", account));
    let kind = kind.and_then(|kind| checks.parse("kind", kind));
    checks.finish()?;
    Ok((account, kind))
}

/// Lines, newest first.
pub async fn list(
    context: &Context,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> Result<Vec<Entry>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::money::ledger::list(&mut conn, scope, filter, page).await?)
}

/// The sums of all accounts at a moment.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialBalance {
    /// The moment.
    pub at: DateTime<Utc>,
    /// Of one merchant alone.
    pub merchant_id: Option<MerchantId>,
    /// Every account.
    pub accounts: Vec<Balance>,
    /// All debits.
    pub debit: Total,
    /// All credits.
    pub credit: Total,
    /// Whether they are the same.
    pub balanced: bool,
}

/// The sums of all accounts, of all merchants or of one, now or at an earlier moment.
pub async fn trial_balance(
    context: &Context,
    merchant_id: Option<MerchantId>,
    at: Option<DateTime<Utc>>,
) -> Result<TrialBalance> {
    let at = at.unwrap_or_else(|| context.clock().now());
    let scope = merchant_id.map_or(Scope::All, Scope::Merchant);
    let mut conn = context.lists().acquire().await?;
    let booked = store::money::ledger::balances(&mut conn, scope, at).await?;
    let accounts: Vec<Balance> = Account::ALL
        .iter()
        .map(|account| {
            let found = booked.iter().find(|balance| balance.account == *account);
            found.cloned().unwrap_or(Balance {
                account: *account,
                debit: Total::ZERO,
                credit: Total::ZERO,
                balance: Total::ZERO,
            })
        })
        .collect();
    let sum = |of: fn(&Balance) -> Total| -> Total { accounts.iter().map(of).sum() };
    let (debit, credit) = (sum(|balance| balance.debit), sum(|balance| balance.credit));
    Ok(TrialBalance {
        at,
        merchant_id,
        debit,
        credit,
        balanced: debit == credit,
        accounts,
    })
}

/// What [`verify`] found.
#[derive(Debug)]
pub struct Report {
    /// Lines that were looked at.
    pub entries: i64,
    /// Postings that they belong to.
    pub postings: i64,
    /// What does not add up, in sentences; empty when all is well.
    pub findings: Vec<String>,
}

/// Compares the ledger with everything that it records: payments, settlements, payouts, merchants.
pub async fn verify(context: &Context) -> Result<Report> {
    let mut tx = context.transaction().await?;
    proof::look_at_one_moment(&mut tx).await?;
    let (entries, postings) = proof::size(&mut tx).await?;
    let groups = [
        (
            "posting",
            proof::unbalanced_postings(&mut tx, FINDINGS_MAX).await?,
        ),
        (
            "posting",
            proof::orphaned_postings(&mut tx, FINDINGS_MAX).await?,
        ),
        (
            "payment",
            proof::wrong_payments(&mut tx, FINDINGS_MAX).await?,
        ),
        (
            "settlement",
            proof::wrong_settlements(&mut tx, FINDINGS_MAX).await?,
        ),
        ("payout", proof::wrong_payouts(&mut tx, FINDINGS_MAX).await?),
        (
            "merchant",
            proof::wrong_merchants(&mut tx, FINDINGS_MAX).await?,
        ),
    ];
    let findings = groups
        .into_iter()
        .flat_map(|(noun, found)| {
            found
                .into_iter()
                .map(move |finding| format!("{noun} {}: {}", finding.subject, finding.problem))
        })
        .collect();
    Ok(Report {
        entries,
        postings,
        findings,
    })
}
