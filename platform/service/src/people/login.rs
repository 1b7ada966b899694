//! Logging in: an email and a password for a token.
//!
//! An attempt is counted before its password is checked, in a transaction of its own, and the count is removed when it
//! succeeds. So parallel guesses have no advantage over sequential ones, in one process or several. An unknown email is
//! counted, hashed and answered like any other.
//!
//! Attempts count for the pair of email and address, and for the address: guessing another person's password is slowed
//! down, while that person can still log in from elsewhere. Behind a proxy no address is known, and attempts count for the
//! email alone.

use aws_lc_rs::digest;
use chrono::{DateTime, TimeDelta, Utc};
use domain::user::Email;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::people::login::Attempt;
use store::people::user::User;

use crate::people::{password, token};
use crate::{Actor, Checks, Context, Error, Result, UnitOfWork};
use utoipa::ToSchema;

/// How long a failed attempt counts.
const WINDOW: TimeDelta = TimeDelta::minutes(15);
/// Failed attempts in that time for one email from one address: enough for a person who tries several passwords.
const PER_EMAIL_AND_ADDRESS_MAX: i64 = 10;
/// Failed attempts from one address for all emails: an office may share one address.
const PER_ADDRESS_MAX: i64 = 50;
/// A longer text is refused without hashing it.
pub(super) const PASSWORD_BYTES_MAX: usize = 1024;

/// What a person sends to log in.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Login {
    #[schema(min_length = 1)]
    pub email: String,
    #[schema(min_length = 1)]
    pub password: String,
}

/// What a person gets for it.
#[derive(Serialize, ToSchema)]
#[schema(as = LoggedIn)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct NewSession {
    pub token: String,
    pub token_type: &'static str,
    pub expires_at: DateTime<Utc>,
    pub user: User,
}

/// Logs a person in. `address` is the client's network, for throttling.
///
/// # Errors
/// [`Error::WrongLogin`], whichever part is wrong; [`Error::RateLimited`] after too many of those.
pub async fn login(
    context: &Context,
    login: Login,
    address: Option<String>,
    request_id: Option<String>,
) -> Result<NewSession> {
    let mut checks = Checks::default();
    let email: Option<Email> = checks.parse("email", &login.email);
    if login.password.is_empty() || login.password.len() > PASSWORD_BYTES_MAX {
        checks.refuse("password", "is required");
    }
    checks.finish()?;
    let email = email.ok_or_else(|| Error::field("email", "is required"))?;

    let attempt = count(context, &email, address).await?;
    let mut conn = context.pool().acquire().await?;
    let known = store::people::user::credentials(&mut conn, email.as_str()).await?;
    // No connection is held while the password is hashed.
    drop(conn);
    let hash = known.as_ref().and_then(|known| known.password_hash.clone());
    let right = password::verify(login.password, hash).await?;
    let Some(proven) = known.filter(|_| right) else {
        metrics::counter!("logins_total", "result" => "refused").increment(1);
        return Err(Error::WrongLogin);
    };

    let mut unit = context
        .begin(Actor {
            name: proven.id.to_string(),
            request_id,
        })
        .await?;
    // The user may have been disabled, or given a new password, during the hashing.
    let Some(user) = store::people::user::hold_active(unit.conn(), &proven).await? else {
        metrics::counter!("logins_total", "result" => "refused").increment(1);
        return Err(Error::WrongLogin);
    };
    forget(&mut unit, &attempt).await?;
    let new = token::create_for_user(&mut unit, &user).await?;
    let after = json!({ "token_id": new.id, "expires_at": new.expires_at });
    unit.audit("user.login", user.id, None, Some(after)).await?;
    unit.commit().await?;
    metrics::counter!("logins_total", "result" => "accepted").increment(1);
    Ok(NewSession {
        token: new.token,
        token_type: "Bearer",
        expires_at: new.expires_at,
        user,
    })
}

/// Removes the attempt of a successful login.
pub(super) async fn forget(unit: &mut UnitOfWork, attempt: &Attempt) -> Result<()> {
    store::people::login::delete(unit.conn(), attempt.id).await?;
    Ok(())
}

/// Counts an attempt, unless there were too many.
pub(super) async fn count(
    context: &Context,
    email: &Email,
    address: Option<String>,
) -> Result<Attempt> {
    let mut unit = context.begin(Actor::system()).await?;
    let now = unit.now();
    let attempt = Attempt {
        id: unit.uuid(),
        email_sha256: digest::digest(&digest::SHA256, email.as_str().as_bytes())
            .as_ref()
            .to_vec(),
        address,
        attempted_at: now,
    };
    let since = now - WINDOW;
    let conn = unit.conn();
    store::people::login::serialise(conn, &attempt).await?;
    let of_pair =
        store::people::login::nth_of_pair(conn, &attempt, since, PER_EMAIL_AND_ADDRESS_MAX).await?;
    let of_address =
        store::people::login::nth_of_address(conn, &attempt, since, PER_ADDRESS_MAX).await?;
    // The oldest that counts must have left the window.
    if let Some(oldest) = of_pair.max(of_address) {
        metrics::counter!("logins_total", "result" => "throttled").increment(1);
        let wait = (oldest - since).num_seconds() + 1;
        return Err(Error::RateLimited {
            message: "too many failed logins",
            retry_after_s: u32::try_from(wait).unwrap_or(1),
        });
    }
    store::people::login::insert(conn, &attempt).await?;
    unit.commit().await?;
    Ok(attempt)
}
