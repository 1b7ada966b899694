//! Passwords that people set for themselves: with the present one, or with a one-time code.

use domain::user::{Email, check_password};
use serde::Deserialize;
use serde_json::json;
use store::Scope;
use store::people::user::User;
use utoipa::ToSchema;
use wire::ids::{TokenId, UserId};

use super::login::{PASSWORD_BYTES_MAX, count, forget};
use super::{password, setup_code};
use crate::{Actor, Checks, Context, Error, Result};

/// The longest code that is checked, bytes.
const CODE_BYTES_MAX: usize = 100;

/// A person's own new password.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct PasswordChange {
    #[schema(min_length = 1)]
    pub current_password: String,
    #[schema(min_length = 12, max_length = 128)]
    pub new_password: String,
}

/// A password that a person sets with a one-time code.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct PasswordSetup {
    #[schema(max_length = 254)]
    pub email: String,
    #[schema(min_length = 1, max_length = 100)]
    pub code: String,
    /// The other half, where two people hold one each.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    pub second_code: Option<String>,
    #[schema(min_length = 12, max_length = 128)]
    pub password: String,
}

/// Changes the password of the user of `token_id`, and ends all of the user's other sessions. Failed tries count like
/// logins.
///
/// # Errors
/// [`Error::Forbidden`] for a program; wrong fields, of which `current_password` may be one; [`Error::RateLimited`] after
/// too many wrong ones.
pub async fn change(
    context: &Context,
    asker: (TokenId, Option<UserId>),
    change: PasswordChange,
    address: Option<String>,
    request_id: Option<String>,
) -> Result<User> {
    let (token_id, Some(user_id)) = asker else {
        return Err(Error::Forbidden("a program's token has no password"));
    };
    let mut conn = context.pool().acquire().await?;
    let user = store::people::user::find(&mut conn, Scope::All, user_id)
        .await?
        .ok_or(Error::Unauthenticated)?;
    let known = store::people::user::credentials(&mut conn, &user.email).await?;
    drop(conn);
    let mut checks = Checks::default();
    if let Err(problem) = check_password(&change.new_password, &user.email) {
        checks.refuse("new_password", problem);
    } else if change.new_password == change.current_password {
        checks.refuse("new_password", "is the present one");
    }
    if change.current_password.len() > PASSWORD_BYTES_MAX {
        checks.refuse("current_password", "is wrong");
    }
    checks.finish()?;
    let email: Email = user.email.parse().map_err(anyhow::Error::from)?;
    let attempt = count(context, &email, address).await?;
    let hash = known.as_ref().and_then(|known| known.password_hash.clone());
    if !password::verify(change.current_password, hash).await? {
        return Err(Error::field("current_password", "is wrong"));
    }
    let hash = password::hash(change.new_password).await?;
    let name = user_id.to_string();
    let mut unit = context.begin(Actor { name, request_id }).await?;
    let before = store::people::user::lock(unit.conn(), user_id)
        .await?
        .ok_or(Error::Unauthenticated)?;
    unit.refresh_now();
    // The user may have been disabled, or given another password, during the hashing.
    let still = match &known {
        Some(proven) => store::people::user::hold_active(unit.conn(), proven).await?,
        None => None,
    };
    if still.is_none() {
        return Err(Error::Unauthenticated);
    }
    let now = unit.now();
    forget(&mut unit, &attempt).await?;
    store::people::user::set_password(unit.conn(), user_id, &hash, now).await?;
    let ended =
        store::people::token::revoke_user(unit.conn(), user_id, Some(token_id), now).await?;
    let after = User {
        updated_at: now,
        ..before.clone()
    };
    let mut shown = json!(after);
    shown["ended_sessions"] = ended.into();
    unit.audit("user.password", user_id, Some(json!(before)), Some(shown))
        .await?;
    unit.commit().await?;
    Ok(after)
}

/// Sets the password of the user with this email, once, with the code that was made for it. The wait before this user
/// may confirm anything begins now. Failed tries count like logins.
///
/// # Errors
/// Wrong fields; [`Error::WrongLogin`] when email or code is wrong, or the code was used or is too old;
/// [`Error::RateLimited`] after too many of those.
pub async fn set_up(
    context: &Context,
    setup: PasswordSetup,
    address: Option<String>,
    request_id: Option<String>,
) -> Result<User> {
    let mut checks = Checks::default();
    let email: Option<Email> = checks.parse("email", &setup.email);
    for (field, code) in [
        ("code", Some(setup.code.as_str())),
        ("second_code", setup.second_code.as_deref()),
    ] {
        if code.is_some_and(|code| code.trim().is_empty() || code.len() > CODE_BYTES_MAX) {
            checks.refuse(field, "is required");
        }
    }
    if let Err(problem) = check_password(&setup.password, &setup.email) {
        checks.refuse("password", problem);
    }
    checks.finish()?;
    let email = email.ok_or_else(|| Error::field("email", "is required"))?;
    let attempt = count(context, &email, address).await?;
    // The same work whether or not there is such a user and such a code.
    let hash = password::hash(setup.password).await?;
    let hashes = setup_code::candidates(&setup.code, setup.second_code.as_deref());
    let mut unit = context
        .begin(Actor {
            name: "system".into(),
            request_id: request_id.clone(),
        })
        .await?;
    let now = unit.now();
    let Some(before) =
        store::people::user::lock_by_setup(unit.conn(), email.as_str(), &hashes, now).await?
    else {
        return Err(Error::WrongLogin);
    };
    unit.act_as(before.id.to_string());
    unit.refresh_now();
    let now = unit.now();
    forget(&mut unit, &attempt).await?;
    let after = User {
        access_changed_at: now,
        updated_at: now,
        ..before.clone()
    };
    store::people::user::set_password(unit.conn(), after.id, &hash, now).await?;
    store::people::user::update(unit.conn(), &after).await?;
    unit.audit(
        "user.password",
        after.id,
        Some(json!(before)),
        Some(json!(after)),
    )
    .await?;
    unit.commit().await?;
    Ok(after)
}
