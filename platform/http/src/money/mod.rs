//! Fees, settlements, payouts and the ledger.

mod approval;
mod fee;
mod ledger;
mod payout;
mod payout_callback;
mod reconciliation;
mod settlement;
mod statement;

pub use approval::approval_file;
pub use ledger::ledger_file;
pub use payout::payout_file;
pub use reconciliation::{reconciliation_file, reconciliations_file};
pub use settlement::settlement_file;
pub use statement::{statement_file, statement_page};

use super::routes::Routes;

/// The routes of these nouns.
pub(super) fn routes() -> Routes {
    settlement::routes()
        .merge(statement::routes())
        .merge(fee::routes())
        .merge(approval::routes())
        .merge(payout::routes())
        .merge(ledger::routes())
        .merge(reconciliation::routes())
        .merge(payout_callback::routes())
}
