//! What a partner answers when it is asked about a transaction: judged like its callbacks, and archived like them.

use bytes::Bytes;
use domain::callback::{CallbackStatus, CallbackTarget};
use domain::dialect::KnownOrder;
use serde_json::{Value, json};
use store::Scope;
use store::payment::partner_order::Due;
use wire::ids::CallbackId;

use super::handler::CallbackHandler;
use super::receiver::count;
use super::verified::Verified;
use super::{COUNTER, count_adjustments};
use crate::{Actor, Context, Result};

/// What the archive calls where it came from.
const ROUTE: &str = "v1.0/qr/qr-mpm-query";

/// Takes an answer.
///
/// # Errors
/// One that does not read, or speaks of another transaction; the database's.
pub async fn take(context: &Context, due: &Due, answer: Vec<u8>) -> Result<()> {
    let Some(partner) = context.qris_partner(&due.partner_id) else {
        return Ok(());
    };
    let id = due.transaction_id;
    let asked = KnownOrder {
        name: &due.order_name,
        id,
    };
    let mut message = partner
        .dialect
        .read_answer(&answer, asked)
        .map_err(anyhow::Error::from)?;
    let speaks_of = match (&message.target, &message.order) {
        (Some(CallbackTarget::Transaction { id, .. }), _) => Some(id.to_string()),
        // An order that is none of ours.
        (_, Some(name)) => Some(name.clone()),
        // The names of a merchant alone: the order is known from the question.
        (_, None) => {
            let target = CallbackTarget::Transaction { id, nmid: None };
            message.target = Some(target);
            None
        }
    };
    if let Some(other) = speaks_of.filter(|named| *named != id.to_string()) {
        return Err(anyhow::anyhow!("asked about {id}, it speaks of {other}").into());
    }
    let Some(status) = message.happened() else {
        count(COUNTER, "pending");
        return Ok(());
    };
    let actor = Actor {
        name: due.partner_id.clone(),
        request_id: None,
    };
    let mut unit = context.begin(actor).await?;
    let transaction = store::payment::transaction::find(unit.conn(), Scope::All, id)
        .await?
        .ok_or_else(|| anyhow::anyhow!("{id} is asked about and not there"))?;
    // It was asked about this one; what it leaves out of a failure is known. A success says everything itself.
    if message.partner_reference.is_none() {
        message.partner_reference.clone_from(&due.reference_no);
    }
    if status != CallbackStatus::Success {
        message.amount.get_or_insert(transaction.amount.into());
        message
            .partner_reference
            .get_or_insert_with(|| id.to_string());
    }
    let event_id = format!("query-{}", due.queries);
    let callback = message
        .callback(Some(&event_id), status)
        .map_err(anyhow::Error::from)?;
    count_adjustments(&callback.adjustments);
    let (headers, body): (Value, Bytes) = (json!({}), answer.into());
    let verified = Verified {
        id: CallbackId::from_uuid(unit.uuid()),
        partner_id: &due.partner_id,
        route: ROUTE,
        headers: &headers,
        body: &body,
        received_at: unit.now(),
        verified_at: unit.now(),
    };
    let handler = CallbackHandler::new(&unit, verified, &callback);
    let outcome = handler.apply(&mut unit).await?;
    let after = store::payment::transaction::find(unit.conn(), Scope::All, id).await?;
    let open = after.is_some_and(|after| after.status.is_open());
    if !open {
        store::payment::partner_order::settle(unit.conn(), id).await?;
    }
    unit.commit().await?;
    count(COUNTER, outcome.name());
    Ok(())
}
