//! Bearer tokens: making one, and finding out who holds one.

use chrono::{DateTime, TimeDelta, Utc};
use domain::role::{Permission, Role};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::people::token::{Filter, Holder, TokenView};
use store::people::user::User;
use store::{Page, Scope};
use utoipa::ToSchema;
use wire::ids::{DeviceId, MerchantId, TokenId, UserId};

use crate::retry::retried;
use crate::{Checks, Context, Error, Noun, Result, UnitOfWork, secret};

/// How long a login is good.
const LOGIN_LIFETIME: TimeDelta = TimeDelta::hours(12);
/// How long a program's token is good, seconds.
const LIFETIME_DEFAULT_S: i64 = 90 * 86_400;
const LIFETIME_S: std::ops::RangeInclusive<i64> = 60..=10 * 365 * 86_400;

/// Who a caller turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A person or a program with a role.
    Role {
        /// The token that proved it.
        token_id: TokenId,
        /// The person whose login made the token; none for a program's.
        user_id: Option<UserId>,
        /// Its role.
        role: Role,
        /// For merchant roles: whose data it may see.
        merchant_id: Option<MerchantId>,
    },
    /// A box.
    Device(DeviceId),
}

impl Principal {
    /// How the audit log and rate limits name it: a person by itself, whatever token it holds today.
    pub fn name(&self) -> String {
        match self {
            Self::Role {
                user_id: Some(user_id),
                ..
            } => user_id.to_string(),
            Self::Role { token_id, .. } => token_id.to_string(),
            Self::Device(device_id) => device_id.to_string(),
        }
    }

    /// Whose data it may see.
    pub fn scope(&self) -> Option<Scope> {
        match self {
            Self::Role {
                merchant_id: Some(merchant_id),
                ..
            } => Some(Scope::Merchant(*merchant_id)),
            Self::Role {
                role,
                merchant_id: None,
                ..
            } if !role.is_of_merchant() => Some(Scope::All),
            _ => None,
        }
    }

    /// Whether it has a permission.
    pub fn may(&self, permission: Permission) -> bool {
        match self {
            Self::Role { role, .. } => role.may(permission),
            Self::Device(_) => false,
        }
    }
}

/// A token at the only moment at which it can be read.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewToken {
    /// Its id.
    pub id: TokenId,
    /// What the caller sends as `Authorization: Bearer …`.
    #[schema(value_type = Option<String>)]
    pub token: String,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// Makes a token for a role.
///
/// # Errors
/// A merchant role without a merchant or another with one; a merchant that does not exist.
pub async fn create(
    unit: &mut UnitOfWork,
    role: Role,
    merchant_id: Option<MerchantId>,
    name: &str,
    lifetime: TimeDelta,
) -> Result<NewToken> {
    if role.is_of_merchant() != merchant_id.is_some() {
        return Err(Error::field(
            "merchant_id",
            "merchant roles, and only they, belong to a merchant",
        ));
    }
    let holder = Holder::Role {
        role,
        merchant_id,
        user_id: None,
    };
    let new = insert(unit, holder, name, lifetime)
        .await
        .map_err(|error| {
            if Error::breaks(&error, "tokens_merchant") {
                Error::NotFound(Noun::Merchant)
            } else {
                error.into()
            }
        })?;
    let after = json!({ "role": role, "merchant_id": merchant_id, "name": name, "expires_at": new.expires_at });
    unit.audit("token.create", new.id, None, Some(after))
        .await?;
    Ok(new)
}

/// Makes a token for a person who has just proven who it is.
pub(crate) async fn create_for_user(unit: &mut UnitOfWork, user: &User) -> Result<NewToken> {
    let holder = Holder::Role {
        role: user.role,
        merchant_id: user.merchant_id,
        user_id: Some(user.id),
    };
    Ok(insert(unit, holder, "login", LOGIN_LIFETIME).await?)
}

async fn insert(
    unit: &mut UnitOfWork,
    holder: Holder<'_>,
    name: &str,
    lifetime: TimeDelta,
) -> sqlx::Result<NewToken> {
    let now = unit.now();
    let new = NewToken {
        id: TokenId::from_uuid(unit.uuid()),
        token: secret::token("sbt"),
        expires_at: now + lifetime,
    };
    let hash = secret::hash(&new.token);
    store::people::token::insert(
        unit.conn(),
        new.id,
        &hash,
        name,
        holder,
        now,
        new.expires_at,
    )
    .await?;
    Ok(new)
}

/// What a program's token is made from.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct TokenRequest {
    #[schema(value_type = domain::role::Role)]
    pub role: String,
    #[serde(default)]
    pub merchant_id: Option<MerchantId>,
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// Seconds; 90 days unless said otherwise.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub expires_in: Option<i64>,
}

/// Makes the token that an operator asks for.
///
/// # Errors
/// Wrong fields; a merchant that does not exist.
pub async fn request(unit: &mut UnitOfWork, request: TokenRequest) -> Result<NewToken> {
    let mut checks = Checks::default();
    let role: Option<Role> = checks.parse("role", &request.role);
    checks.text("name", &request.name, 100);
    let seconds = request.expires_in.unwrap_or(LIFETIME_DEFAULT_S);
    if !LIFETIME_S.contains(&seconds) {
        checks.refuse(
            "expires_in",
            format!("{} to {} seconds", LIFETIME_S.start(), LIFETIME_S.end()),
        );
    }
    checks.finish()?;
    let role = role.ok_or_else(|| Error::field("role", "is required"))?;
    let lifetime = TimeDelta::seconds(seconds);
    create(unit, role, request.merchant_id, &request.name, lifetime).await
}

/// Revokes a person's or a program's token, from now on. Revoking it again changes nothing.
///
/// # Errors
/// [`Noun::Token`] not found; boxes' tokens are revoked with their device.
pub async fn revoke(unit: &mut UnitOfWork, id: TokenId) -> Result<TokenView> {
    let mut token = store::people::token::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Token))?;
    if token.revoked_at.is_some() {
        return Ok(token);
    }
    let before = json!(token);
    let now = unit.now();
    store::people::token::revoke(unit.conn(), id, now).await?;
    token.revoked_at = Some(now);
    unit.audit("token.revoke", id, Some(before), Some(json!(token)))
        .await?;
    Ok(token)
}

/// People's and programs' tokens, newest first.
pub async fn list(
    context: &Context,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> Result<Vec<TokenView>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::people::token::list(&mut conn, scope, filter, page).await?)
}

/// Makes the token that goes with a certificate of a box; the ones it has stay valid until this one is first used.
pub(crate) async fn create_for_device(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    certificate_serial: &str,
) -> Result<NewToken> {
    let expires_at = unit.now() + unit.context().settings().device_token_lifetime;
    let new = NewToken {
        id: TokenId::from_uuid(unit.uuid()),
        token: secret::token("sbd"),
        expires_at,
    };
    let now = unit.now();
    store::people::token::insert(
        unit.conn(),
        new.id,
        &secret::hash(&new.token),
        "device",
        Holder::Device {
            device_id,
            certificate_serial,
        },
        now,
        expires_at,
    )
    .await?;
    Ok(new)
}

/// Notes the first use of a token. Those of a box that it succeeded end now.
async fn use_first(
    context: &Context,
    found: &store::people::token::Token,
    now: DateTime<Utc>,
) -> Result<()> {
    let mut tx = context.transaction().await?;
    if let Some(device_id) = found.device_id {
        store::fleet::device::hold(&mut tx, &[device_id]).await?;
    }
    store::people::token::mark_used(&mut tx, found.id, now).await?;
    if let Some(device_id) = found.device_id {
        store::people::token::end_predecessors(&mut tx, device_id, found.id, now).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Finds out who holds a token.
///
/// # Errors
/// [`Error::Unauthenticated`] for one that is unknown, expired or revoked.
pub async fn authenticate(context: &Context, token: &str) -> Result<Principal> {
    let now = context.clock().now();
    let mut conn = context.pool().acquire().await?;
    let found = store::people::token::find_live(&mut conn, &secret::hash(token), now)
        .await?
        .ok_or(Error::Unauthenticated)?;
    drop(conn);
    if !found.used {
        retried(|| use_first(context, &found, now)).await?;
    }
    match (found.role, found.device_id) {
        (_, Some(device_id)) => Ok(Principal::Device(device_id)),
        (Some(role), None) => Ok(Principal::Role {
            token_id: found.id,
            user_id: found.user_id,
            role,
            merchant_id: found.merchant_id,
        }),
        (None, None) => Err(Error::Unauthenticated),
    }
}
