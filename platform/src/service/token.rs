//! Bearer tokens: making one, and finding out who holds one.

use chrono::{DateTime, TimeDelta, Utc};
use domain::role::{Permission, Role};
use serde::Serialize;
use wire::ids::{DeviceId, MerchantId, TokenId};

use super::{Context, Error, Noun, Result, Unit, secret};
use crate::store::{self, Scope, token::Holder};

/// Who a caller turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A person or a program with a role.
    Role {
        /// The token that proved it.
        token_id: TokenId,
        /// Its role.
        role: Role,
        /// For merchant roles: whose data it may see.
        merchant_id: Option<MerchantId>,
    },
    /// A box.
    Device(DeviceId),
}

impl Principal {
    /// How the audit log and rate limits name it.
    pub fn name(&self) -> String {
        match self {
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
#[derive(Debug, Serialize)]
pub struct NewToken {
    /// Its id.
    pub id: TokenId,
    /// What the caller sends as `Authorization: Bearer …`.
    pub token: String,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// Makes a token for a role.
///
/// # Errors
/// A merchant role without a merchant or another with one; a merchant that does not exist.
pub async fn create(
    unit: &mut Unit,
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
    let expires_at = unit.now() + lifetime;
    let new = NewToken {
        id: TokenId::from_uuid(unit.uuid()),
        token: secret::token("sbt"),
        expires_at,
    };
    let holder = Holder::Role {
        role: role.as_str(),
        merchant_id,
    };
    let now = unit.now();
    store::token::insert(
        unit.conn(),
        new.id,
        &secret::hash(&new.token),
        name,
        holder,
        now,
        expires_at,
    )
    .await
    .map_err(|error| {
        if Error::breaks(&error, "tokens_merchant") {
            Error::NotFound(Noun::Merchant)
        } else {
            error.into()
        }
    })?;
    let after = serde_json::json!({ "role": role, "merchant_id": merchant_id, "name": name, "expires_at": expires_at });
    unit.audit("token.create", new.id, None, Some(after))
        .await?;
    Ok(new)
}

/// Makes a token for a box; the ones it has stay valid until this one is first used.
///
/// # Errors
/// The database's.
pub(super) async fn create_for_device(unit: &mut Unit, device_id: DeviceId) -> Result<NewToken> {
    let expires_at = unit.now() + unit.context().settings().device_token_lifetime;
    let new = NewToken {
        id: TokenId::from_uuid(unit.uuid()),
        token: secret::token("sbd"),
        expires_at,
    };
    let now = unit.now();
    store::token::insert(
        unit.conn(),
        new.id,
        &secret::hash(&new.token),
        "device",
        Holder::Device(device_id),
        now,
        expires_at,
    )
    .await?;
    Ok(new)
}

/// Finds out who holds a token.
///
/// # Errors
/// [`Error::Unauthenticated`] for one that is unknown, expired or revoked.
pub async fn authenticate(context: &Context, token: &str) -> Result<Principal> {
    let now = context.clock().now();
    let mut conn = context.pool().acquire().await?;
    let found = store::token::find_live(&mut conn, &secret::hash(token), now)
        .await?
        .ok_or(Error::Unauthenticated)?;
    if !found.used {
        store::token::mark_used(&mut conn, found.id, now).await?;
    }
    match (found.role, found.device_id) {
        (_, Some(device_id)) => Ok(Principal::Device(device_id)),
        (Some(role), None) => {
            let role = role
                .parse()
                .map_err(|error| anyhow::anyhow!("the role of {}: {error}", found.id))?;
            Ok(Principal::Role {
                token_id: found.id,
                role,
                merchant_id: found.merchant_id,
            })
        }
        (None, None) => Err(Error::Unauthenticated),
    }
}
