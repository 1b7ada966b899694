//! What follows from a callback: transitions, ledger lines, announcements.

use chrono::{DateTime, Utc};
use domain::callback::CallbackStatus;
use domain::ledger::Posting;
use domain::qris::{Nmid, TerminalLabel};
use domain::transaction::{QrType, TransactionStatus};
use wire::ids::TransactionId;

use super::judgement::{Reception, Verdict};
use crate::service::money::fee;
use crate::service::payment::notification::{self, Payment};
use crate::service::{Result, Unit};
use crate::store;
use crate::store::payment::transaction::Transaction;
use crate::store::shop::merchant::Merchant;

impl Reception<'_> {
    /// paid: the transition, the ledger lines and the outbox rows.
    pub(super) async fn pay(
        &self,
        unit: &mut Unit,
        transaction: &Transaction,
        merchant: &Merchant,
        from: TransactionStatus,
        late: bool,
    ) -> Result<()> {
        let paid_at = self.callback.paid_at.unwrap_or(self.received_at);
        let accepted_at = unit.now();
        let cost = fee::of_payment(unit, merchant, transaction.amount, paid_at).await?;
        let payment = store::payment::transaction::Payment {
            late,
            fee: cost.fee,
            net: cost.net,
            fee_profile_id: &merchant.fee_profile_id,
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
        self.post(unit, transaction, &posting).await?;
        self.announce(unit, transaction, merchant, paid_at).await
    }

    async fn announce(
        &self,
        unit: &mut Unit,
        transaction: &Transaction,
        merchant: &Merchant,
        paid_at: DateTime<Utc>,
    ) -> Result<()> {
        let window = unit
            .context()
            .settings()
            .announcement
            .window(paid_at, unit.now());
        let payment = Payment {
            transaction,
            merchant_name: &merchant.brand_name,
            paid_at,
            window,
            replay: false,
        };
        notification::enqueue(unit, &payment).await?;
        Ok(())
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

    pub(super) async fn reverse(&self, unit: &mut Unit, transaction: &Transaction) -> Result<()> {
        let (paid, reversed) = (TransactionStatus::Paid, TransactionStatus::Reversed);
        let cause = self.cause(unit);
        store::payment::transaction::set_status(
            unit.conn(),
            transaction.id,
            paid.as_str(),
            reversed.as_str(),
            cause,
        )
        .await?;
        let cost = transaction
            .fee
            .ok_or_else(|| anyhow::anyhow!("{} is paid without a fee", transaction.id))?;
        let posting = Posting::refund(transaction.amount, cost).map_err(anyhow::Error::from)?;
        self.post(unit, transaction, &posting).await?;
        // What was taken back before it was heard is not announced any more.
        let now = unit.now();
        store::payment::notification::cancel_transaction(unit.conn(), transaction.id, now).await?;
        Ok(())
    }

    /// A payment of a printed code makes its own transaction.
    pub(super) async fn judge_static(
        &self,
        unit: &mut Unit,
        nmid: &Nmid,
        label: Option<&TerminalLabel>,
    ) -> Result<Verdict> {
        if self.callback.status != CallbackStatus::Success {
            self.keep(unit, "ignored", Some("no_such_payment"), None, 200)
                .await?;
            return Ok(Verdict::taken("ignored", None, None));
        }
        let merchant =
            store::shop::merchant::find_by_nmid(unit.conn(), self.partner_id, nmid.as_str())
                .await?;
        let terminal = match &merchant {
            Some(merchant) => {
                store::shop::terminal::find_for_static(
                    unit.conn(),
                    merchant.id,
                    label.map(TerminalLabel::as_str),
                )
                .await?
            }
            None => None,
        };
        let (Some(merchant), Some(terminal)) = (merchant, terminal) else {
            self.keep(unit, "unmatched", Some("no_such_terminal"), None, 200)
                .await?;
            self.keep_money(unit, None, "no_such_terminal").await?;
            return Ok(Verdict::taken("unmatched", None, None));
        };
        let paid_at = self.callback.paid_at.unwrap_or(self.received_at);
        let now = unit.now();
        let cost = fee::of_payment(unit, &merchant, self.callback.amount, paid_at).await?;
        let transaction = Transaction {
            id: TransactionId::from_uuid(unit.uuid()),
            merchant_id: merchant.id,
            outlet_id: terminal.outlet_id,
            terminal_id: terminal.id,
            device_id: None,
            qr_type: QrType::Static.to_string(),
            amount: self.callback.amount,
            currency: "IDR".into(),
            status: TransactionStatus::Paid.to_string(),
            late: false,
            fee: Some(cost.fee),
            net: Some(cost.net),
            fee_profile_id: Some(merchant.fee_profile_id.clone()),
            fee_version: Some(cost.version),
            partner_id: self.partner_id.to_owned(),
            partner_reference: Some(self.callback.partner_reference.clone()),
            rrn: self.callback.rrn.clone(),
            issuer: self.callback.issuer.clone(),
            qr_reference: None,
            qr_payload: None,
            request_id: None,
            created_at: now,
            expires_at: None,
            paid_at: Some(paid_at),
            accepted_at: Some(now),
            settlement_id: None,
        };
        let cause = self.cause(unit);
        store::payment::transaction::insert(unit.conn(), &transaction, cause).await?;
        self.keep(unit, "accepted", None, Some(transaction.id), 200)
            .await?;
        let posting = Posting::sale(transaction.amount, cost.fee).map_err(anyhow::Error::from)?;
        self.post(unit, &transaction, &posting).await?;
        self.announce(unit, &transaction, &merchant, paid_at)
            .await?;
        Ok(Verdict::taken(
            "accepted",
            Some(&transaction),
            Some(TransactionStatus::Paid),
        ))
    }
}
