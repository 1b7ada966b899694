//! Users: making them, disabling them, giving them roles and new passwords.
//!
//! A password is chosen by the person who makes the user only where one person's word is enough. Otherwise a user begins without
//! one and sets it with a one-time code ([`super::setup_code`]).

use chrono::{DateTime, Utc};
use domain::role::Role;
use domain::user::{Email, UserStatus, check_password};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::people::user::{Filter, User};
use store::{Page, Period, Scope};
use utoipa::ToSchema;
use wire::ids::{MerchantId, UserId};

use crate::people::{password, setup_code};
use crate::{Checks, Context, Error, Noun, Result, UnitOfWork};

/// What a user is made from.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct NewUser {
    #[schema(max_length = 254, example = "ani@example.id")]
    pub email: String,
    #[schema(value_type = domain::role::Role)]
    pub role: String,
    #[serde(default)]
    pub merchant_id: Option<MerchantId>,
    /// Made for the user when absent. Refused where two people are needed: then the user sets it.
    #[serde(default, skip_serializing)]
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

/// A user without a password, at the only moment at which the code for setting one can be read.
#[derive(Serialize, ToSchema)]
#[schema(as = UserWithSetupCode)]
pub struct SetUp {
    /// The user.
    #[serde(flatten)]
    pub user: User,
    /// The code, or the second half of it.
    #[schema(value_type = Option<String>)]
    pub setup_code: String,
    /// Until when the code is good.
    pub setup_expires_at: DateTime<Utc>,
}

/// What changes of a user.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct UserPatch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<domain::user::UserStatus>)]
    pub status: Option<String>,
    /// Another role of the same kind: staff stay staff, a merchant's users stay the merchant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<domain::role::Role>)]
    pub role: Option<String>,
    /// Refused where two people are needed: then the user is reset.
    #[serde(default, skip_serializing)]
    #[schema(min_length = 12, max_length = 128)]
    pub password: Option<String>,
}

impl UserPatch {
    /// Whether it gives a user more than before: a role, or a way in.
    pub(crate) fn empowers(&self) -> bool {
        self.role.is_some() || self.status.as_deref() == Some(UserStatus::Active.as_str())
    }
}

/// Makes a user who may log in.
///
/// # Errors
/// Wrong fields; an email that is another user's; a merchant that does not exist.
pub async fn create(unit: &mut UnitOfWork, new: NewUser) -> Result<Made> {
    let wrong = new
        .password
        .as_deref()
        .and_then(|chosen| check_password(chosen, &new.email).err());
    let chosen = new.password.clone();
    let user = insert(unit, new, wrong).await?;
    let made = chosen.is_none().then(password::generate);
    let hash = password::hash(chosen.or_else(|| made.clone()).unwrap_or_default()).await?;
    let now = unit.now();
    store::people::user::set_password(unit.conn(), user.id, &hash, now).await?;
    Ok(Made {
        user,
        password: made,
    })
}

/// Makes a user who may log in after setting a password, with a code of which another person holds the first half.
///
/// # Errors
/// As [`create`].
pub(crate) async fn create_without_password(
    unit: &mut UnitOfWork,
    new: NewUser,
    first_half: &[u8],
) -> Result<SetUp> {
    let user = insert(unit, new, None).await?;
    expect_setup(unit, user, Some(first_half)).await
}

async fn insert(
    unit: &mut UnitOfWork,
    new: NewUser,
    wrong_password: Option<String>,
) -> Result<User> {
    let mut checks = Checks::default();
    let email: Option<Email> = checks.parse("email", &new.email);
    let role: Option<Role> = checks.parse("role", &new.role);
    if role.is_some_and(|role| role.is_of_merchant() != new.merchant_id.is_some()) {
        checks.refuse(
            "merchant_id",
            "merchant roles, and only they, belong to a merchant",
        );
    }
    if let Some(problem) = wrong_password {
        checks.refuse("password", problem);
    }
    checks.finish()?;
    let (Some(email), Some(role)) = (email, role) else {
        return Err(Error::field("email", "is required"));
    };
    let now = unit.now();
    let user = User {
        id: UserId::from_uuid(unit.uuid()),
        email: email.to_string(),
        role,
        merchant_id: new.merchant_id,
        status: UserStatus::Active,
        access_changed_at: now,
        created_at: now,
        updated_at: now,
    };
    store::people::user::insert(unit.conn(), &user)
        .await
        .map_err(known)?;
    unit.audit("user.create", user.id, None, Some(json!(user)))
        .await?;
    Ok(user)
}

async fn expect_setup(
    unit: &mut UnitOfWork,
    user: User,
    first_half: Option<&[u8]>,
) -> Result<SetUp> {
    let code = setup_code::generate();
    let hash = setup_code::hash(&code);
    let hashes: Vec<&[u8]> = first_half.into_iter().chain([hash.as_slice()]).collect();
    let setup = setup_code::setup(&hashes, unit.now());
    store::people::user::expect_setup(unit.conn(), user.id, &setup).await?;
    Ok(SetUp {
        user,
        setup_code: code,
        setup_expires_at: setup.expires_at,
    })
}

/// Disables or enables a user, gives it another role or a new password. Each ends what its logins gave it, but for enabling.
///
/// # Errors
/// Wrong fields, of which a role of the other kind is one; [`Noun::User`] not found.
pub async fn patch(unit: &mut UnitOfWork, id: UserId, patch: UserPatch) -> Result<User> {
    let mut checks = Checks::default();
    let status: Option<UserStatus> = patch
        .status
        .as_deref()
        .and_then(|text| checks.parse("status", text));
    let role: Option<Role> = patch
        .role
        .as_deref()
        .and_then(|text| checks.parse("role", text));
    checks.finish()?;
    let hash = match patch.password {
        Some(secret) => Some(hash_for(unit, id, secret).await?),
        None => None,
    };
    let mut user = lock(unit, id).await?;
    let before = json!(user);
    if role.is_some_and(|role| role.is_of_merchant() != user.merchant_id.is_some()) {
        return Err(Error::field(
            "role",
            "merchant roles, and only they, belong to a merchant",
        ));
    }
    let is_role_new = role.is_some_and(|role| role != user.role);
    let is_enabled = status == Some(UserStatus::Active) && user.status != UserStatus::Active;
    if let Some(role) = role {
        user.role = role;
    }
    if let Some(status) = status {
        user.status = status;
    }
    let now = unit.now();
    user.updated_at = now;
    if is_role_new || is_enabled || hash.is_some() {
        user.access_changed_at = now;
    }
    store::people::user::update(unit.conn(), &user).await?;
    if let Some(hash) = &hash {
        store::people::user::set_password(unit.conn(), id, hash, now).await?;
    }
    if is_role_new || hash.is_some() || status == Some(UserStatus::Disabled) {
        store::people::token::revoke_user(unit.conn(), id, None, now).await?;
    }
    let mut after = json!(user);
    after["new_password"] = hash.is_some().into();
    unit.audit("user.patch", id, Some(before), Some(after))
        .await?;
    Ok(user)
}

/// Checks and hashes a password before the user's row is locked: logins of this user do not wait for our hashing.
async fn hash_for(unit: &mut UnitOfWork, id: UserId, secret: String) -> Result<String> {
    let user = store::people::user::find(unit.conn(), Scope::All, id)
        .await?
        .ok_or(Error::NotFound(Noun::User))?;
    check_password(&secret, &user.email).map_err(|problem| Error::field("password", problem))?;
    password::hash(secret).await
}

async fn lock(unit: &mut UnitOfWork, id: UserId) -> Result<User> {
    let user = store::people::user::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::User))?;
    unit.refresh_now();
    Ok(user)
}

/// Takes a user's password away and ends what its logins gave it. The person sets another with the code in the answer, of
/// which another person may hold the first half.
///
/// # Errors
/// [`Noun::User`] not found; [`Error::InvalidState`] for a disabled user.
pub async fn reset(unit: &mut UnitOfWork, id: UserId, first_half: Option<&[u8]>) -> Result<SetUp> {
    let mut user = lock(unit, id).await?;
    if user.status != UserStatus::Active {
        return Err(Error::InvalidState {
            current: user.status.to_string(),
            message: "a disabled user gets no password".into(),
        });
    }
    let before = json!(user);
    let now = unit.now();
    user.updated_at = now;
    user.access_changed_at = now;
    store::people::user::update(unit.conn(), &user).await?;
    store::people::token::revoke_user(unit.conn(), id, None, now).await?;
    unit.audit("user.reset", id, Some(before), Some(json!(user)))
        .await?;
    expect_setup(unit, user, first_half).await
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

/// Which users a list shows.
///
/// # Errors
/// A role or a status that does not exist.
pub fn filter(
    email: Option<&str>,
    role: Option<&str>,
    status: Option<&str>,
    period: Period,
) -> Result<Filter> {
    let mut checks = Checks::default();
    let filter = Filter {
        email: email.map(str::to_ascii_lowercase),
        role: role.and_then(|role| checks.parse("role", role)),
        status: status.and_then(|status| checks.parse("status", status)),
        period,
    };
    checks.finish()?;
    Ok(filter)
}

/// Users, newest first.
pub async fn list(
    context: &Context,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> Result<Vec<User>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::people::user::list(&mut conn, scope, filter, page).await?)
}

fn known(error: sqlx::Error) -> Error {
    if Error::breaks(&error, "users_merchant") {
        Error::NotFound(Noun::Merchant)
    } else if Error::breaks(&error, "users_email_unique") {
        Error::duplicate("this email is another user's")
    } else {
        error.into()
    }
}
