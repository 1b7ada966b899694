//! Payments: codes, callbacks, transactions and notifications.

mod callback;
mod device_request;
mod dynamic_qr;
mod incident;
mod notification;
mod partner;
mod received_callback;
mod snap;
mod stats;
mod transaction;
mod transaction_export;
mod unmatched_payment;

pub use incident::incident_file;
pub use partner::partner_file;
pub use received_callback::callback_file;
pub use transaction_export::payment_file;
pub use unmatched_payment::unmatched_payment_file;

use axum::Router;
use service::Context;

use super::routes::Routes;

/// The routes of these nouns.
pub(super) fn routes() -> Routes {
    transaction::routes()
        .merge(transaction_export::routes())
        .merge(notification::routes())
        .merge(device_request::routes())
        .merge(stats::routes())
        .merge(dynamic_qr::routes())
        .merge(callback::routes())
        .merge(snap::routes())
        .merge(incident::routes())
        .merge(received_callback::routes())
        .merge(partner::routes())
        .merge(unmatched_payment::routes())
}

/// The paths that the dialects of the configured partners add.
pub(super) fn of_dialects(context: &Context) -> Router<Context> {
    snap::of_dialects(context)
}
