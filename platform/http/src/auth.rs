//! Authentication and authorisation, as extractors in every handler's signature.
//!
//! `Staff<MerchantWrite>` is a caller whose role has that permission, `DeviceCaller` a device. They are
//! the first extractors of a handler, so that nothing else of a request is read before its sender is
//! authenticated. One table says which role has which permission: [`domain::role`].

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use certs::identity::PeerIdentity;
use domain::role::{Permission, Role};
use secrecy::{ExposeSecret, SecretString};
use service::fleet::credential;
use service::people::token::{self, Principal};
use service::span;
use service::{Actor, Context, Error};
use store::Scope;
use wire::ids::{DeviceId, MerchantId, TokenId, UserId};

use super::error::{ApiError, ErrorCode};
use super::listener::Peer;
use super::operation::{Callers, Describe, Operation};
use super::{query, rate, request};

/// The longest token that is looked up, in bytes.
const TOKEN_LEN_MAX: usize = 256;

/// A permission as a type, for [`Staff`].
pub trait Grant: Send + Sync {
    /// The permission.
    const PERMISSION: Permission;
}

/// Declares the types that stand for permissions.
macro_rules! grants {
    ($($name:ident)+) => {
        /// Permissions as types: one for each [`Permission`] that a route asks for.
        pub mod grants {
            $(
                #[doc = concat!("[`Permission::", stringify!($name), "`](super::Permission).")]
                #[derive(Debug, Clone, Copy)]
                pub struct $name;

                impl super::Grant for $name {
                    const PERMISSION: super::Permission = super::Permission::$name;
                }
            )+
        }
    };
}

grants! {
    MerchantRead MerchantWrite OutletRead OutletWrite TerminalRead TerminalWrite DeviceRead DeviceWrite
    CommandRead CommandWrite FirmwareRead FirmwareWrite TransactionRead TransactionWrite SettlementRead
    SettlementWrite LedgerRead LedgerWrite FeeRead FeeWrite ApprovalRead ApprovalWrite IncidentRead IncidentWrite AuditRead UserRead
    UserWrite WebhookRead WebhookWrite SeedWrite PortalRead
}

/// A person or program with a role that has the permission `P`.
#[derive(Debug, Clone)]
pub struct Staff<P> {
    /// The caller.
    pub principal: Principal,
    /// The data that it may see.
    pub scope: Scope,
    permission: PhantomData<P>,
}

impl<P> Staff<P> {
    /// The caller, for the audit log.
    pub fn actor(&self) -> Actor {
        actor(&self.principal)
    }

    /// The merchant it belongs to.
    ///
    /// # Errors
    /// FORBIDDEN for those who belong to none.
    pub fn merchant(&self) -> Result<MerchantId, ApiError> {
        match self.scope {
            Scope::Merchant(id) => Ok(id),
            Scope::All => Err(forbidden()),
        }
    }
}

impl<P: Grant> FromRequestParts<Context> for Staff<P> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        let principal = authenticate_role(parts, context).await?;
        if !principal.may(P::PERMISSION) {
            return Err(forbidden());
        }
        mark_authenticated(parts);
        let scope = principal.scope().ok_or_else(forbidden)?;
        if let Scope::Merchant(id) = scope {
            span::set_merchant(id);
        }
        query::refuse_unknown(parts)?;
        parts.extensions.insert(principal.clone());
        Ok(Self {
            principal,
            scope,
            permission: PhantomData,
        })
    }
}

async fn authenticate_role(parts: &Parts, context: &Context) -> Result<Principal, ApiError> {
    let token = bearer(&parts.headers).ok_or(Error::Unauthenticated)?;
    let principal = token::authenticate(context, token).await?;
    request::set_principal(&principal.name());
    rate::admit_principal(&parts.extensions, &principal)?;
    Ok(principal)
}

impl<P: Grant> Describe for Staff<P> {
    fn describe(operation: &mut Operation) {
        operation.callers = Callers::Roles(P::PERMISSION.roles());
        operation.fails(&[
            ErrorCode::Unauthenticated,
            ErrorCode::Forbidden,
            // An unknown parameter in the query string.
            ErrorCode::ValidationFailed,
        ]);
    }
}

/// A person or program with any role: for routes about the caller's own token.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// The caller's token.
    pub token_id: TokenId,
    /// The person whose login made it; none for a program's.
    pub user_id: Option<UserId>,
    principal: Principal,
}

impl LoggedIn {
    /// The caller, for the audit log.
    pub fn actor(&self) -> Actor {
        actor(&self.principal)
    }
}

impl FromRequestParts<Context> for LoggedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        let principal = authenticate_role(parts, context).await?;
        let Principal::Role {
            token_id, user_id, ..
        } = principal
        else {
            return Err(forbidden());
        };
        mark_authenticated(parts);
        query::refuse_unknown(parts)?;
        Ok(Self {
            token_id,
            user_id,
            principal,
        })
    }
}

impl Describe for LoggedIn {
    fn describe(operation: &mut Operation) {
        operation.callers = Callers::Roles(Role::ALL);
        operation.fails(&[
            ErrorCode::Unauthenticated,
            ErrorCode::Forbidden,
            ErrorCode::ValidationFailed,
        ]);
    }
}

/// A device, by its token or by its client certificate on this connection.
#[derive(Debug, Clone)]
pub struct DeviceCaller {
    /// The device.
    pub id: DeviceId,
    proof: Proof,
}

/// How a device authenticated.
#[derive(Debug, Clone)]
enum Proof {
    Token(SecretString),
    Certificate(Arc<PeerIdentity>),
}

impl DeviceCaller {
    /// The caller, for the audit log.
    pub fn actor(&self) -> Actor {
        actor(&Principal::Device(self.id))
    }

    /// Whether its token or certificate is still valid: for a request that has waited.
    ///
    /// # Errors
    /// DEVICE_UNAUTHORIZED.
    pub async fn still_may(&self, context: &Context) -> Result<(), Error> {
        let id = match &self.proof {
            Proof::Token(token) => authenticate_token(context, token.expose_secret()).await?,
            Proof::Certificate(certificate) => {
                credential::authenticate(context, certificate).await?
            }
        };
        if id == self.id {
            Ok(())
        } else {
            Err(UNKNOWN_DEVICE)
        }
    }

    /// Refuses a request in which a device names another one.
    ///
    /// # Errors
    /// FORBIDDEN.
    pub fn must_be(&self, named: DeviceId) -> Result<(), ApiError> {
        if named == self.id {
            Ok(())
        } else {
            Err(Error::Forbidden("a device may only speak of itself").into())
        }
    }
}

impl FromRequestParts<Context> for DeviceCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        device(parts, context, Purpose::Anything).await
    }
}

/// A device that renews its credentials: its certificate may have expired recently.
#[derive(Debug, Clone)]
pub struct RenewingDevice(pub DeviceCaller);

impl FromRequestParts<Context> for RenewingDevice {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        device(parts, context, Purpose::Renewal).await.map(Self)
    }
}

impl Describe for DeviceCaller {
    fn describe(operation: &mut Operation) {
        operation.callers = Callers::Devices;
        operation.fails(&[ErrorCode::DeviceUnauthorized, ErrorCode::Forbidden]);
    }
}

impl Describe for RenewingDevice {
    fn describe(operation: &mut Operation) {
        DeviceCaller::describe(operation);
    }
}

/// What a device authenticates for.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Anything,
    Renewal,
}

async fn device(
    parts: &mut Parts,
    context: &Context,
    purpose: Purpose,
) -> Result<DeviceCaller, ApiError> {
    let certificate = parts
        .extensions
        .get::<Peer>()
        .and_then(|peer| peer.certificate.clone());
    let (id, proof) = authenticate_device(context, &parts.headers, certificate, purpose).await?;
    span::set_device(id);
    let principal = Principal::Device(id);
    request::set_principal(&principal.name());
    rate::admit_principal(&parts.extensions, &principal)?;
    parts.extensions.insert(principal);
    mark_authenticated(parts);
    Ok(DeviceCaller { id, proof })
}

/// An authenticated connection is not evicted.
fn mark_authenticated(parts: &Parts) {
    if let Some(peer) = parts.extensions.get::<Peer>() {
        peer.standing.authenticated();
    }
}

const UNKNOWN_DEVICE: Error =
    Error::DeviceUnauthorized("a device token or a device certificate is required");

/// A token takes precedence; a certificate beside it must be the same device's.
async fn authenticate_device(
    context: &Context,
    headers: &HeaderMap,
    certificate: Option<Arc<PeerIdentity>>,
    purpose: Purpose,
) -> Result<(DeviceId, Proof), Error> {
    if !headers.contains_key(AUTHORIZATION) {
        let certificate = certificate.ok_or(UNKNOWN_DEVICE)?;
        let id = match purpose {
            Purpose::Anything => credential::authenticate(context, &certificate).await?,
            Purpose::Renewal => credential::authenticate_for_renewal(context, &certificate).await?,
        };
        return Ok((id, Proof::Certificate(certificate)));
    }
    let token = bearer(headers).ok_or(UNKNOWN_DEVICE)?;
    let id = authenticate_token(context, token).await?;
    if certificate.is_some_and(|certificate| certificate.device() != Some(id)) {
        return Err(UNKNOWN_DEVICE);
    }
    Ok((id, Proof::Token(token.into())))
}

async fn authenticate_token(context: &Context, token: &str) -> Result<DeviceId, Error> {
    match token::authenticate(context, token).await {
        Ok(Principal::Device(id)) => Ok(id),
        Ok(_) | Err(Error::Unauthenticated) => Err(UNKNOWN_DEVICE),
        Err(other) => Err(other),
    }
}

fn actor(principal: &Principal) -> Actor {
    Actor {
        name: principal.name(),
        request_id: Some(request::id()),
    }
}

fn forbidden() -> ApiError {
    Error::Forbidden("your role may not do this").into()
}

/// The token of `Authorization: Bearer …`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && (1..=TOKEN_LEN_MAX).contains(&token.len()))
        .then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_is_a_token() {
        let token = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(token("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(token("bearer  abc").as_deref(), Some("abc"));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "abc",
            "Basic abc",
            &format!("Bearer {}", "x".repeat(257)),
        ] {
            assert_eq!(token(wrong), None, "{wrong}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
