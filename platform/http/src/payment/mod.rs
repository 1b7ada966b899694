//! Payments: codes, callbacks, transactions and notifications.

mod callback;
mod dynamic_qr;
mod incident;
mod notification;
mod received_callback;
mod snap;
mod stats;
mod transaction;
mod transaction_export;
mod unmatched_payment;

use super::routes::Routes;

/// The routes of these nouns.
pub(super) fn routes() -> Routes {
    transaction::routes()
        .merge(transaction_export::routes())
        .merge(notification::routes())
        .merge(stats::routes())
        .merge(dynamic_qr::routes())
        .merge(callback::routes())
        .merge(snap::routes())
        .merge(incident::routes())
        .merge(received_callback::routes())
        .merge(unmatched_payment::routes())
}
