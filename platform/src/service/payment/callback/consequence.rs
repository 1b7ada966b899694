//! What follows from a callback: transitions, ledger lines, announcements.

use chrono::{DateTime, Utc};
use domain::announcement::AnnouncementWindow;
use domain::callback::CallbackStatus;
use domain::ledger::Posting;
use domain::qris::{Nmid, TerminalLabel};
use domain::transaction::TransactionStatus;

use super::judgement::{Reception, Verdict};
use crate::service::money::fee;
use crate::service::payment::booking::{self, Sale};
use crate::service::payment::notification::{self, Payment};
use crate::service::{Result, Unit};
use crate::store;
use crate::store::payment::payee::Payee;
use crate::store::payment::transaction::Transaction;
use crate::store::payment::unmatched_payment::Closing;

impl Reception<'_> {
    pub(super) fn paid_at(&self) -> DateTime<Utc> {
        self.callback.paid_at.unwrap_or(self.received_at)
    }

    /// paid: the transition, the ledger lines and the outbox rows.
    pub(super) async fn pay(
        &self,
        unit: &mut Unit,
        transaction: &Transaction,
        payee: &Payee,
        from: TransactionStatus,
        late: bool,
    ) -> Result<()> {
        let paid_at = self.paid_at();
        let accepted_at = unit.now();
        // What was paid is booked, announced and settled: with a tip, that is more than was asked.
        let amount = self.callback.amount;
        let tip = match &transaction.tip_mode {
            Some(_) => amount.checked_sub(transaction.amount),
            None => None,
        };
        let transaction = &Transaction {
            amount,
            tip,
            ..transaction.clone()
        };
        let cost = fee::of_payment(payee, amount, paid_at)?;
        let payment = store::payment::transaction::Payment {
            late,
            amount,
            tip,
            fee: cost.fee,
            net: cost.net,
            fee_profile_id: &payee.fee_profile_id,
            fee_version: cost.version,
            partner_reference: &self.callback.partner_reference,
            rrn: self.callback.rrn.as_deref(),
            issuer: self.callback.issuer.as_deref(),
            paid_at,
            accepted_at,
        };
        let cause = self.cause(unit);
        store::payment::transaction::mark_paid(
            unit.conn(),
            transaction.id,
            from.as_str(),
            &payment,
            cause,
        )
        .await?;
        let posting = Posting::sale(transaction.amount, cost.fee).map_err(anyhow::Error::from)?;
        booking::post(unit, transaction, &posting).await?;
        let window = self.window(unit);
        announce(unit, transaction, &payee.brand_name, paid_at, window).await
    }

    fn window(&self, unit: &Unit) -> AnnouncementWindow {
        let policy = unit.context().settings().announcement;
        policy.window(self.paid_at(), unit.now())
    }

    pub(super) async fn end(
        &self,
        unit: &mut Unit,
        transaction: &Transaction,
        from: TransactionStatus,
        to: TransactionStatus,
    ) -> Result<Verdict> {
        self.keep(unit, "accepted", None, Some(transaction.id), 200)
            .await?;
        let cause = self.cause(unit);
        store::payment::transaction::set_status(
            unit.conn(),
            transaction.id,
            from.as_str(),
            to.as_str(),
            cause,
        )
        .await?;
        Ok(Verdict::taken("accepted", Some(transaction), Some(to)))
    }

    /// A payment of a printed code makes its own transaction.
    pub(super) async fn judge_static(
        &self,
        unit: &mut Unit,
        nmid: &Nmid,
        label: Option<&TerminalLabel>,
    ) -> Result<Verdict> {
        if self.callback.status == CallbackStatus::Reversed && self.take_back_kept(unit).await? {
            self.keep(unit, "accepted", Some("unmatched_reversed"), None, 200)
                .await?;
            return Ok(Verdict::taken("accepted", None, None));
        }
        if self.callback.status != CallbackStatus::Success {
            self.keep(unit, "ignored", Some("no_such_payment"), None, 200)
                .await?;
            return Ok(Verdict::taken("ignored", None, None));
        }
        let payee = store::payment::payee::of_nmid(
            unit.conn(),
            self.partner_id,
            nmid.as_str(),
            self.paid_at(),
        )
        .await?;
        let terminal = match &payee {
            Some(payee) => {
                store::shop::terminal::find_for_static(
                    unit.conn(),
                    payee.merchant_id,
                    label.map(TerminalLabel::as_str),
                )
                .await?
            }
            None => None,
        };
        let reference = &self.callback.partner_reference;
        let kept = store::payment::unmatched_payment::find_by_reference(
            unit.conn(),
            self.partner_id,
            reference,
        )
        .await?;
        let (Some(payee), Some(terminal), None) = (payee, terminal, &kept) else {
            self.keep(unit, "unmatched", Some("no_such_terminal"), None, 200)
                .await?;
            self.keep_money(unit, None, "no_such_terminal").await?;
            return Ok(Verdict::taken("unmatched", None, None));
        };
        let sale = Sale {
            payee: &payee,
            outlet_id: terminal.outlet_id,
            terminal_id: terminal.id,
            partner_id: self.partner_id,
            partner_reference: reference,
            amount: self.callback.amount,
            paid_at: self.paid_at(),
            rrn: self.callback.rrn.as_deref(),
            issuer: self.callback.issuer.as_deref(),
            cause: self.cause(unit),
        };
        let transaction = sale.book(unit).await?;
        self.keep(unit, "accepted", None, Some(transaction.id), 200)
            .await?;
        let window = self.window(unit);
        announce(
            unit,
            &transaction,
            &payee.brand_name,
            self.paid_at(),
            window,
        )
        .await?;
        Ok(Verdict::taken(
            "accepted",
            Some(&transaction),
            Some(TransactionStatus::Paid),
        ))
    }

    /// A reversal of money that was kept as unmatched: nobody may assign it any more. False when none is open.
    pub(super) async fn take_back_kept(&self, unit: &mut Unit) -> Result<bool> {
        let kept = store::payment::unmatched_payment::find_by_reference(
            unit.conn(),
            self.partner_id,
            &self.callback.partner_reference,
        )
        .await?;
        let Some(open) = kept.filter(|kept| kept.status == "open") else {
            return Ok(false);
        };
        let closing = Closing {
            assigned_to: None,
            closed_at: unit.now(),
            closed_by: self.partner_id,
        };
        store::payment::unmatched_payment::close(unit.conn(), open.id, closing).await?;
        Ok(true)
    }
}

/// The outbox rows of a payment.
pub(in crate::service::payment) async fn announce(
    unit: &mut Unit,
    transaction: &Transaction,
    merchant_name: &str,
    paid_at: DateTime<Utc>,
    window: AnnouncementWindow,
) -> Result<()> {
    let payment = Payment {
        transaction,
        merchant_name,
        paid_at,
        window,
        replay: false,
    };
    notification::enqueue(unit, &payment).await?;
    Ok(())
}
