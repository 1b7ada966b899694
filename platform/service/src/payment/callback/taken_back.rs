//! A verified message that takes a payment back, or a part of it: which refund it is about, and its booking.

use domain::callback::{Callback, CallbackStatus};
use domain::refund::{KnownRefund, Refundable, recognise};
use domain::transaction::{RefundView, TransactionStatus};
use store::payment::refund::{NewRefund, Refund, RefundKey};
use store::payment::transaction::Transaction;
use wire::ids::TransactionId;

use super::handler::CallbackHandler;
use crate::payment::{booking, refund};
use crate::{Result, UnitOfWork};

/// What is known of the refunds of a payment that a message is about.
#[derive(Default)]
pub(super) struct Refunds {
    stored: Vec<Refund>,
    /// None: the message takes nothing back, or there is nothing to take back.
    refundable: Option<Refundable>,
    allows_parts: bool,
}

impl Refunds {
    /// Reads them, and locks the payment, for a message that takes money of this transaction back.
    pub(super) async fn load(
        unit: &mut UnitOfWork,
        handler: &CallbackHandler<'_>,
        transaction: &Transaction,
    ) -> Result<Self> {
        let callback = handler.callback;
        let is_own = transaction.partner_reference.as_ref() == Some(&callback.partner_reference);
        if callback.status != CallbackStatus::Reversed || !is_own {
            return Ok(Self::default());
        }
        let refundable = refund::refundable(unit, transaction.id).await?;
        let stored = store::payment::refund::list(unit.conn(), transaction.id).await?;
        let partner = unit.context().qris_partner(handler.message.partner_id);
        Ok(Self {
            stored,
            refundable: Some(refundable),
            allows_parts: partner.is_some_and(|partner| partner.dialect.takes_back_parts()),
        })
    }

    /// What a decision goes by.
    pub(super) fn view(&self, callback: &Callback) -> RefundView {
        let known = self.known();
        let known = recognised(&known, callback).map(|known| (known.amount, known.status));
        let refunded = self.refundable.map(|refundable| refundable.refunded);
        RefundView {
            allows_parts: self.allows_parts,
            refunded: refunded.unwrap_or_default(),
            known,
        }
    }

    fn known(&self) -> Vec<KnownRefund<'_>> {
        self.stored.iter().map(Refund::known).collect()
    }

    /// Learns the partner's number of a refund that is stored.
    pub(super) async fn learn(
        &self,
        unit: &mut UnitOfWork,
        callback: &Callback,
        transaction_id: TransactionId,
    ) -> Result<()> {
        let known = self.known();
        let Some((known, refund_no)) =
            recognised(&known, callback).zip(callback.refund_no.as_ref())
        else {
            return Ok(());
        };
        if known.name != Some(refund_no) {
            let key = RefundKey {
                transaction_id,
                number: known.number,
            };
            store::payment::refund::learn(unit.conn(), key, refund_no).await?;
        }
        Ok(())
    }
}

fn recognised<'r, 'a>(
    known: &'r [KnownRefund<'a>],
    callback: &Callback,
) -> Option<&'r KnownRefund<'a>> {
    let amount = callback.amount.rupiah()?;
    recognise(known, callback.refund_no.as_deref(), amount)
}

impl CallbackHandler<'_> {
    /// Books what the message takes back, and answers how the transaction stands after it.
    pub(super) async fn take_part_back(
        &self,
        unit: &mut UnitOfWork,
        transaction: &Transaction,
        refunds: &Refunds,
    ) -> Result<TransactionStatus> {
        let id = transaction.id;
        let (Some(refundable), Some(amount)) = (refunds.refundable, self.callback.amount.rupiah())
        else {
            return Err(anyhow::anyhow!("{id} is taken back without an amount").into());
        };
        let part = refundable.part(amount).map_err(anyhow::Error::from)?;
        let known = refunds.known();
        let number = match recognised(&known, self.callback) {
            Some(known) => known.number,
            None => refund::next_number(&refunds.stored)?,
        };
        let key = RefundKey {
            transaction_id: id,
            number,
        };
        if refunds.stored.iter().any(|stored| stored.number == number) {
            refunds.learn(unit, self.callback, id).await?;
        } else {
            let new = NewRefund {
                key,
                merchant_id: transaction.merchant_id,
                refund_name: None,
                refund_no: self.callback.refund_no.as_deref(),
                amount,
                reason: None,
                requested_by: self.message.partner_id,
                requested_at: unit.now(),
                callback_id: Some(self.message.id),
            };
            store::payment::refund::insert(unit.conn(), &new).await?;
        }
        let cause = self.cause(unit);
        booking::refund(unit, transaction, key, part, cause).await?;
        Ok(match part.is_last {
            true => TransactionStatus::Reversed,
            false => transaction.status,
        })
    }
}
