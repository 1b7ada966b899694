//! Users: making them, disabling them, giving them new passwords.

use domain::role::Role;
use domain::user::{Email, UserStatus, check_password};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use wire::ids::{MerchantId, UserId};

use crate::service::people::password;
use crate::service::{Checks, Context, Error, Noun, Result, Unit};
use crate::store::people::user::{Filter, User};
use crate::store::{self, Page, Scope};

/// What a user is made from.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct NewUser {
    #[schema(max_length = 254, example = "ani@example.id")]
    pub email: String,
    #[schema(value_type = domain::role::Role)]
    pub role: String,
    #[serde(default)]
    pub merchant_id: Option<MerchantId>,
    /// Made for the user when absent.
    #[serde(default)]
    #[schema(min_length = 12, max_length = 128)]
    pub password: Option<String>,
}

/// A user at the only moment at which a password that was made for it can be read.
#[derive(Serialize, ToSchema)]
#[schema(as = NewUserAnswer)]
pub struct Made {
    /// The user.
    #[serde(flatten)]
    pub user: User,
    /// The password, when it was not the caller who chose it.
    pub password: Option<String>,
}

/// What changes of a user.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct UserPatch {
    #[serde(default)]
    #[schema(value_type = Option<domain::user::UserStatus>)]
    pub status: Option<String>,
    #[serde(default)]
    #[schema(min_length = 12, max_length = 128)]
    pub password: Option<String>,
}

/// Makes a user who may log in.
///
/// # Errors
/// Wrong fields; an email that is another user's; a merchant that does not exist.
pub async fn create(unit: &mut Unit, new: NewUser) -> Result<Made> {
    let mut checks = Checks::default();
    let email: Option<Email> = checks.parse("email", &new.email);
    let role: Option<Role> = checks.parse("role", &new.role);
    if role.is_some_and(|role| role.is_of_merchant() != new.merchant_id.is_some()) {
        checks.refuse(
            "merchant_id",
            "merchant roles, and only they, belong to a merchant",
        );
    }
    if let Some(Err(problem)) = new.password.as_deref().map(check_password) {
        checks.refuse("password", problem);
    }
    checks.finish()?;
    let (Some(email), Some(role)) = (email, role) else {
        return Err(Error::field("email", "is required"));
    };
    let made = new.password.is_none().then(password::generate);
    let secret = new.password.or_else(|| made.clone()).unwrap_or_default();
    let hash = password::hash(secret).await?;
    let now = unit.now();
    let user = User {
        id: UserId::from_uuid(unit.uuid()),
        email: email.to_string(),
        role: role.to_string(),
        merchant_id: new.merchant_id,
        status: UserStatus::Active.to_string(),
        created_at: now,
        updated_at: now,
    };
    store::people::user::insert(unit.conn(), &user, &hash)
        .await
        .map_err(known)?;
    unit.audit("user.create", user.id, None, Some(json!(user)))
        .await?;
    Ok(Made {
        user,
        password: made,
    })
}

/// Disables or enables a user, or gives it a new password. Either ends what its logins gave it.
///
/// # Errors
/// Wrong fields; [`Noun::User`] not found.
pub async fn patch(unit: &mut Unit, id: UserId, patch: UserPatch) -> Result<User> {
    let mut checks = Checks::default();
    let status: Option<UserStatus> = patch
        .status
        .as_deref()
        .and_then(|text| checks.parse("status", text));
    if let Some(Err(problem)) = patch.password.as_deref().map(check_password) {
        checks.refuse("password", problem);
    }
    checks.finish()?;
    let new_password = patch.password.is_some();
    // Before the row is locked: logins of this user do not wait for our hashing.
    let hash = match patch.password {
        Some(secret) => Some(password::hash(secret).await?),
        None => None,
    };
    let mut user = store::people::user::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::User))?;
    unit.catch_up();
    let before = json!(user);
    let now = unit.now();
    if let Some(status) = status {
        user.status = status.to_string();
    }
    user.updated_at = now;
    store::people::user::update(unit.conn(), &user, hash.as_deref()).await?;
    if new_password || status == Some(UserStatus::Disabled) {
        store::people::token::revoke_user(unit.conn(), id, now).await?;
    }
    let mut after = json!(user);
    after["new_password"] = new_password.into();
    unit.audit("user.patch", id, Some(before), Some(after))
        .await?;
    Ok(user)
}

/// One user.
///
/// # Errors
/// [`Noun::User`] not found, or not for this scope.
pub async fn get(context: &Context, scope: Scope, id: UserId) -> Result<User> {
    let mut conn = context.pool().acquire().await?;
    store::people::user::find(&mut conn, scope, id)
        .await?
        .ok_or(Error::NotFound(Noun::User))
}

/// Users, newest first.
///
/// # Errors
/// A role or a status that does not exist.
pub async fn list(
    context: &Context,
    scope: Scope,
    mut filter: Filter,
    page: Page,
) -> Result<Vec<User>> {
    let mut checks = Checks::default();
    if let Some(role) = &filter.role {
        let _: Option<Role> = checks.parse("role", role);
    }
    if let Some(status) = &filter.status {
        let _: Option<UserStatus> = checks.parse("status", status);
    }
    checks.finish()?;
    filter.email = filter.email.map(|email| email.to_ascii_lowercase());
    let mut conn = context.lists().acquire().await?;
    Ok(store::people::user::list(&mut conn, scope, &filter, page).await?)
}

fn known(error: sqlx::Error) -> Error {
    if Error::breaks(&error, "users_merchant") {
        Error::NotFound(Noun::Merchant)
    } else if Error::breaks(&error, "users_email_unique") {
        Error::Duplicate {
            message: "this email is another user's".into(),
            retry_after_s: None,
        }
    } else {
        error.into()
    }
}
