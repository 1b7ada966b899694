//! Asking partners what became of codes: callbacks get lost, and what they say may make no sense.

use std::sync::Arc;

use domain::alert::AlertSubject;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;
use store::payment::partner_order::Due;

use super::callback::query;
use super::qr_partner::{Named, PartnerError};
use crate::retry::retried;
use crate::{Context, Result, failed_item};

/// How many partners' answers are awaited at once.
const AT_ONCE: usize = 8;
/// The pause after the first question about a transaction, seconds; it doubles.
const PAUSE_S: i32 = 5;
/// How often a transaction is asked about: from half a minute before its end to ten minutes after it.
const QUERIES_MAX: i32 = 8;

/// Asks about up to `limit` transactions that are due.
pub async fn query_due(context: &Context, limit: i64) -> Result<usize> {
    let now = context.clock().now();
    let mut conn = context.pool().acquire().await?;
    let due = store::payment::partner_order::claim_due(&mut conn, now, PAUSE_S, QUERIES_MAX, limit)
        .await?;
    drop(conn);
    let count = due.len();
    stream::iter(due)
        .for_each_concurrent(AT_ONCE, |due| ask(context, due))
        .await;
    Ok(count)
}

/// What goes wrong here is tried again when the order is due again.
async fn ask(context: &Context, due: Due) {
    let partner = Arc::clone(context.qr_partner(&due.partner_id));
    let named = Named {
        name: due.order_name.clone(),
        reference_no: due.reference_no.clone(),
        external_id: due.external_id.clone(),
        payee: due.payee(),
    };
    let transaction_id = due.transaction_id;
    match partner.query(&named).await {
        Ok(answer) => {
            let take = || query::take(context, &due, answer.clone());
            if let Err(error) = retried(take).await {
                tracing::warn!(%transaction_id, %error, "a partner's answer could not be taken");
                let subject = AlertSubject::Transaction(transaction_id);
                let details = json!({ "partner_id": due.partner_id });
                let job = "query_partner_orders";
                if let Err(error) =
                    failed_item::put_aside(context, job, subject, error, details).await
                {
                    tracing::warn!(%transaction_id, %error, "it is asked about again");
                }
            }
        }
        Err(PartnerError::Unsupported) => {}
        Err(error) => {
            tracing::warn!(%transaction_id, partner_id = due.partner_id, %error, "a partner does not say what became of a payment");
        }
    }
}
