//! Money that came and could not be attributed, until an operator says whose it is.

use domain::alert::{AlertKind, AlertSubject, NewAlert};
use domain::merchant::MerchantStatus;
use domain::transaction::TransactionStatus;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::payment::transaction::{Cause, PartnerReference};
use store::payment::unmatched_payment::{Closing, Filter, NewUnmatched, UnmatchedPayment};
use store::shop::merchant::Merchant;
use store::{Page, Scope};
use utoipa::ToSchema;
use wire::Rupiah;
use wire::ids::{TerminalId, UnmatchedPaymentId};
use wire::rupiah::AmountError;

use super::booking::Sale;
use super::callback::consequence::announce;
use super::notification::Payment;
use super::partner_name;
use crate::payment::trace::Origin;
use crate::{Context, Error, Noun, Result, UnitOfWork};

/// The states that there are.
const STATUSES: [&str; 3] = ["open", "assigned", "reversed"];

/// Keeps money that cannot be attributed, and raises an alert for its partner, which is open until the partner's last
/// unmatched money is assigned or reversed.
pub(super) async fn keep(unit: &mut UnitOfWork, money: &NewUnmatched<'_>) -> Result<()> {
    store::payment::unmatched_payment::insert(unit.conn(), money).await?;
    unit.raise(NewAlert::new(
        AlertKind::UnmatchedPayment,
        AlertSubject::Partner(money.partner_id.to_owned()),
        json!({
            "unmatched_payment_id": money.id, "amount": money.amount, "reason": money.reason, "tried": money.tried,
        }),
    ));
    Ok(())
}

/// Unmatched money, newest first.
///
/// # Errors
/// A status that does not exist.
pub async fn list(context: &Context, filter: &Filter, page: Page) -> Result<Vec<UnmatchedPayment>> {
    if filter
        .status
        .as_deref()
        .is_some_and(|status| !STATUSES.contains(&status))
    {
        return Err(Error::field(
            "status",
            format!("expected one of {}", STATUSES.join(", ")),
        ));
    }
    let mut conn = context.lists().acquire().await?;
    Ok(store::payment::unmatched_payment::list(&mut conn, filter, page).await?)
}

/// Whose money it is.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The till that it was paid at.
    pub terminal_id: TerminalId,
    /// Whether the partner's names in the message become names of the terminal, its outlet and its merchant, where they
    /// are free, so that the next payment is attributed by itself.
    #[serde(default)]
    pub remember: bool,
}

/// Makes a transaction of unmatched money. It is announced as delayed while it is fresh, and not at all later.
///
/// # Errors
/// [`Error::Duplicate`] when another takes a name that is to be remembered at the same time;
/// [`Error::InvalidState`] when it is no longer open, or when the partner credits another merchant;
/// [`Error::InvalidAmount`] beyond `payments.amount_max`: such an amount is first to be confirmed by the partner.
pub async fn assign(
    unit: &mut UnitOfWork,
    id: UnmatchedPaymentId,
    assignment: Assignment,
) -> Result<UnmatchedPayment> {
    let seen = find(unit, id).await?;
    // A callback about this money waits until it is decided what it is, and then finds the transaction.
    let reference = PartnerReference {
        partner_id: &seen.partner_id,
        reference: &seen.partner_reference,
    };
    store::payment::transaction::lock_references(unit.conn(), &[reference]).await?;
    unit.refresh_now();
    let money = find(unit, id).await?;
    if money.status != "open" {
        return Err(Error::InvalidState {
            current: money.status,
            message: "this money is not open any more".into(),
        });
    }
    let terminal = store::shop::terminal::find(unit.conn(), Scope::All, assignment.terminal_id)
        .await?
        .ok_or(Error::NotFound(Noun::Terminal))?;
    let merchant = store::shop::merchant::find(unit.conn(), Scope::All, terminal.merchant_id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    check(unit, &money, &merchant).await?;
    let amount = payable(unit, &money)?;
    let lessons = match assignment.remember {
        true => Some(partner_name::learn(unit, &money, &merchant, &terminal).await?),
        false => None,
    };
    let now = unit.now();
    let payee = store::payment::payee::of_merchant(unit.conn(), merchant.id, money.paid_at).await?;
    let sale = Sale {
        payee: &payee,
        outlet_id: terminal.outlet_id,
        terminal_id: terminal.id,
        partner_id: &money.partner_id,
        partner_reference: &money.partner_reference,
        amount,
        paid_at: money.paid_at,
        rrn: money.rrn.as_deref(),
        issuer: money.issuer.as_deref(),
        cause: Cause {
            at: now,
            cause: "assigned",
            callback_id: None,
        },
    };
    unit.decided();
    let transaction = sale.book(unit).await?;
    let by = unit.actor_name().to_owned();
    let closing = Closing {
        assigned_to: Some(transaction.id),
        closed_at: now,
        closed_by: &by,
    };
    store::payment::unmatched_payment::close(unit.conn(), id, closing).await?;
    if let Some(lessons) = &lessons {
        store::payment::unmatched_payment::set_remembered(unit.conn(), id, lessons).await?;
    }
    let mut window = unit
        .context()
        .settings()
        .announcement
        .window(money.paid_at, now);
    window.delayed_after = now;
    let payment = Payment::first(&transaction, &payee, money.paid_at, window);
    announce(unit, &payment).await?;
    unit.trace(Origin {
        transaction_id: transaction.id,
        name: "assign",
        verdict: "accepted",
        pays: true,
        received_at: now,
        verified_at: now,
    });
    let after = find(unit, id).await?;
    unit.audit(
        "unmatched_payment.assign",
        id,
        Some(json!(money)),
        Some(json!({
            "terminal_id": terminal.id, "transaction_id": transaction.id, "status": TransactionStatus::Paid,
            "remembered": lessons,
        })),
    )
    .await?;
    Ok(after)
}

/// The amount, if it can be a payment.
fn payable(unit: &UnitOfWork, money: &UnmatchedPayment) -> Result<Rupiah> {
    let max = unit.context().settings().amount_max;
    money
        .amount
        .ok_or(AmountError::NotPayable { max })
        .and_then(|amount| amount.payable(max))
        .map_err(|error| Error::InvalidAmount(error.to_string()))
}

async fn find(unit: &mut UnitOfWork, id: UnmatchedPaymentId) -> Result<UnmatchedPayment> {
    store::payment::unmatched_payment::find(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::UnmatchedPayment))
}

/// The partner says which merchant it credits, if it says anything: no other merchant may have the money.
async fn check(unit: &mut UnitOfWork, money: &UnmatchedPayment, merchant: &Merchant) -> Result<()> {
    let refuse = |message: &str| {
        Err(Error::InvalidState {
            current: money.status.clone(),
            message: message.into(),
        })
    };
    if merchant.status == MerchantStatus::Suspended {
        return Err(Error::InvalidState {
            current: merchant.status.to_string(),
            message: "the merchant is suspended: the money is kept until that is over".into(),
        });
    }
    if merchant.qris_partner_id.as_ref() != Some(&money.partner_id) {
        return refuse(
            "the merchant of this terminal is not registered with the partner who holds the money",
        );
    }
    if let Some(nmid) = &money.nmid {
        let credited =
            store::shop::merchant::find_by_nmid(unit.conn(), &money.partner_id, nmid).await?;
        if credited.is_some_and(|credited| credited.id != merchant.id) {
            return refuse("the partner credits another merchant with this money");
        }
    }
    if let Some(claimed) = money.claimed_transaction_id {
        let claimed = store::payment::transaction::find(unit.conn(), Scope::All, claimed).await?;
        if claimed.is_some_and(|claimed| claimed.merchant_id != merchant.id) {
            return refuse("the money was paid for a code of another merchant");
        }
    }
    Ok(())
}
