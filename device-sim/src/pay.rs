//! `pay`: sends one callback, as an acquirer.

use serde::Serialize;
use serde_json::Value;
use wire::{Rupiah, TransactionId};

use crate::output::Output;
use crate::partner::{Callback, Partner};

#[derive(Serialize)]
#[serde(tag = "event", rename = "callback_accepted")]
struct OutputEvent<'a> {
    event_id: &'a str,
    partner_reference: &'a str,
    transaction_id: Option<TransactionId>,
    amount: Rupiah,
    status: &'a str,
    accepted_at: String,
    callback_ms: u64,
    answer: &'a Value,
}

/// Posts the callback once.
pub async fn run(partner: &Partner, callback: &Callback, output: Output) -> anyhow::Result<()> {
    let accepted = partner.post(callback).await?;
    let event = OutputEvent {
        event_id: &callback.event_id,
        partner_reference: &callback.partner_reference,
        transaction_id: callback.transaction_id,
        amount: callback.amount,
        status: &callback.status,
        accepted_at: wire::time::format(accepted.accepted_at),
        callback_ms: accepted.callback_ms,
        answer: &accepted.answer,
    };
    output.emit(&event, || {
        format!(
            "accepted after {} ms: {} Rp {}",
            accepted.callback_ms, callback.partner_reference, callback.amount
        )
    });
    Ok(())
}
