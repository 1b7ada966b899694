//! Users, logins and tokens, and the audit log.

mod audit;
mod login;
mod password;
mod token;
mod user;

pub use audit::audit_file;
pub use token::token_file;
pub use user::user_file;

use super::routes::Routes;

/// The routes of these nouns.
pub(super) fn routes() -> Routes {
    login::routes()
        .merge(password::routes())
        .merge(user::routes())
        .merge(token::routes())
        .merge(audit::routes())
}
