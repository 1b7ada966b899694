//! Merchants, their outlets and terminals, and what a merchant sees of its own.

mod merchant;
mod outlet;
pub(super) mod portal;
mod terminal;

pub use merchant::merchant_file;

use super::routes::Routes;

/// The routes of these nouns.
pub(super) fn routes() -> Routes {
    merchant::routes()
        .merge(outlet::routes())
        .merge(terminal::routes())
        .merge(portal::routes())
}
