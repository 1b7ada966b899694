//! What a payment costs, and how the rest reaches its merchant.

mod settlement;

use super::routes::Routes;

/// The routes of these nouns.
pub(super) fn routes() -> Routes {
    settlement::routes()
}
