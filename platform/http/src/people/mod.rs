//! Users, logins and tokens, and the audit log.

mod audit;
mod login;
mod password;
mod token;
mod user;

use super::routes::Routes;

/// The routes of these nouns.
pub(super) fn routes() -> Routes {
    login::routes()
        .merge(password::routes())
        .merge(user::routes())
        .merge(token::routes())
        .merge(audit::routes())
}
