//! Endpoints: made, changed, removed, given another secret, tested.

use chrono::TimeDelta;
use domain::alert::{AlertKind, AlertSubject};
use domain::webhook::{Secret, WebhookEvent, check_url};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Page;
use store::webhook::delivery::NewDelivery;
use store::webhook::endpoint::Endpoint;
use utoipa::ToSchema;
use wire::ids::{MerchantId, WebhookDeliveryId, WebhookEndpointId};

use super::message;
use crate::{Checks, Context, Error, Noun, Result, UnitOfWork, alert_record};

/// For how long a replaced secret still signs.
const PREVIOUS_LIFETIME: TimeDelta = TimeDelta::hours(24);
/// How many endpoints there may be: each message is made for each of them.
const ENDPOINTS_MAX: usize = 100;

/// What an endpoint is made from.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct NewEndpoint {
    #[schema(
        min_length = 1,
        max_length = 2048,
        example = "https://example.com/webhooks"
    )]
    pub url: String,
    #[schema(value_type = Vec<WebhookEvent>, min_items = 1)]
    pub events: Vec<String>,
    /// Only events of this merchant; all merchants' unless said.
    #[serde(default)]
    pub merchant_id: Option<MerchantId>,
}

/// What can be changed of an endpoint.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct EndpointPatch {
    #[serde(default)]
    #[schema(min_length = 1, max_length = 2048)]
    pub url: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<WebhookEvent>>, min_items = 1)]
    pub events: Option<Vec<String>>,
    /// Whether messages are sent to it. While it is off, nothing is kept for it but what it has not taken before.
    #[serde(default)]
    pub enabled: Option<bool>,
}

/// An endpoint with its secret, at the only moment at which it can be read.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndpointWithSecret {
    /// The endpoint.
    #[serde(flatten)]
    pub endpoint: Endpoint,
    /// What its signatures are verified with: `whsec_…`.
    #[schema(value_type = Option<String>)]
    pub secret: String,
}

/// Makes an endpoint. It is told of what happens from now on.
///
/// # Errors
/// Wrong fields; a merchant that does not exist.
pub async fn create(unit: &mut UnitOfWork, request: NewEndpoint) -> Result<EndpointWithSecret> {
    let mut checks = Checks::default();
    check_target(unit.context(), &mut checks, &request.url);
    let events = read_events(&mut checks, &request.events);
    checks.finish()?;
    // Otherwise two that are made at the same time could both be the last.
    store::serialise(unit.conn(), "webhook_endpoints").await?;
    let first = Page {
        limit: i64::try_from(ENDPOINTS_MAX).unwrap_or(i64::MAX),
        after: None,
    };
    if store::webhook::endpoint::list(unit.conn(), first)
        .await?
        .len()
        >= ENDPOINTS_MAX
    {
        return Err(Error::InvalidState {
            current: "full".into(),
            message: format!("there are {ENDPOINTS_MAX} webhook endpoints; remove one first"),
        });
    }
    let now = unit.now();
    let endpoint = Endpoint {
        id: WebhookEndpointId::from_uuid(unit.uuid()),
        url: request.url,
        events,
        merchant_id: request.merchant_id,
        enabled: true,
        disabled_reason: None,
        failures: 0,
        paused_until: None,
        previous_until: None,
        created_at: now,
        updated_at: now,
    };
    let secret = new_secret();
    store::webhook::endpoint::insert(unit.conn(), &endpoint, secret.as_bytes())
        .await
        .map_err(|error| {
            if Error::breaks(&error, "webhook_endpoints_merchant") {
                Error::NotFound(Noun::Merchant)
            } else {
                error.into()
            }
        })?;
    unit.audit(
        "webhook_endpoint.create",
        endpoint.id,
        None,
        Some(json!(endpoint)),
    )
    .await?;
    Ok(EndpointWithSecret {
        endpoint,
        secret: secret.to_text(),
    })
}

/// All endpoints, newest first.
pub async fn list(context: &Context, page: Page) -> Result<Vec<Endpoint>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::webhook::endpoint::list(&mut conn, page).await?)
}

/// One endpoint.
///
/// # Errors
/// [`Noun::WebhookEndpoint`] not found.
pub async fn get(context: &Context, id: WebhookEndpointId) -> Result<Endpoint> {
    let mut conn = context.pool().acquire().await?;
    store::webhook::endpoint::find(&mut conn, id)
        .await?
        .ok_or(Error::NotFound(Noun::WebhookEndpoint))
}

/// Changes an endpoint. One that is switched on is sent at once what it has not taken.
///
/// # Errors
/// [`Noun::WebhookEndpoint`] not found; wrong fields.
pub async fn patch(
    unit: &mut UnitOfWork,
    id: WebhookEndpointId,
    patch: EndpointPatch,
) -> Result<Endpoint> {
    let mut endpoint = lock(unit, id).await?;
    let before = json!(endpoint);
    let mut checks = Checks::default();
    if let Some(url) = patch.url {
        check_target(unit.context(), &mut checks, &url);
        endpoint.url = url;
    }
    if let Some(events) = patch.events {
        endpoint.events = read_events(&mut checks, &events);
    }
    checks.finish()?;
    endpoint.enabled = patch.enabled.unwrap_or(endpoint.enabled);
    endpoint.updated_at = unit.now();
    store::webhook::endpoint::update(unit.conn(), &endpoint).await?;
    if endpoint.enabled {
        let subject = AlertSubject::WebhookEndpoint(id);
        alert_record::close_in(unit, AlertKind::WebhookDisabled, &subject).await?;
    }
    let changed = lock(unit, id).await?;
    unit.audit(
        "webhook_endpoint.update",
        id,
        Some(before),
        Some(json!(changed)),
    )
    .await?;
    Ok(changed)
}

/// Removes an endpoint, with the messages that it has not taken.
///
/// # Errors
/// [`Noun::WebhookEndpoint`] not found.
pub async fn delete(unit: &mut UnitOfWork, id: WebhookEndpointId) -> Result<Endpoint> {
    let endpoint = lock(unit, id).await?;
    store::webhook::endpoint::delete(unit.conn(), id).await?;
    let subject = AlertSubject::WebhookEndpoint(id);
    alert_record::close_in(unit, AlertKind::WebhookDisabled, &subject).await?;
    unit.audit("webhook_endpoint.delete", id, Some(json!(endpoint)), None)
        .await?;
    Ok(endpoint)
}

/// Gives an endpoint another secret. For a day messages are signed with both.
///
/// # Errors
/// [`Noun::WebhookEndpoint`] not found.
pub async fn rotate_secret(
    unit: &mut UnitOfWork,
    id: WebhookEndpointId,
) -> Result<EndpointWithSecret> {
    lock(unit, id).await?;
    let (now, secret) = (unit.now(), new_secret());
    let until = now + PREVIOUS_LIFETIME;
    store::webhook::endpoint::rotate(unit.conn(), id, secret.as_bytes(), until, now).await?;
    let endpoint = lock(unit, id).await?;
    unit.audit(
        "webhook_endpoint.rotate_secret",
        id,
        None,
        Some(json!({ "previous_until": until })),
    )
    .await?;
    Ok(EndpointWithSecret {
        endpoint,
        secret: secret.to_text(),
    })
}

/// Sends an endpoint a message of the type `endpoint.test`, which it takes whatever it is told of.
///
/// # Errors
/// [`Noun::WebhookEndpoint`] not found; it is switched off.
pub async fn test(unit: &mut UnitOfWork, id: WebhookEndpointId) -> Result<WebhookDeliveryId> {
    let endpoint = lock(unit, id).await?;
    if !endpoint.enabled {
        return Err(Error::InvalidState {
            current: "disabled".into(),
            message: "the endpoint is switched off".into(),
        });
    }
    let now = unit.now();
    let delivery = NewDelivery {
        id: WebhookDeliveryId::from_uuid(unit.uuid()),
        endpoint_id: id,
        event: WebhookEvent::EndpointTest,
        subject_id: id.as_uuid(),
        body: message::test(id, now),
    };
    let delivery_id = delivery.id;
    store::webhook::delivery::insert(unit.conn(), &[delivery], now).await?;
    unit.audit("webhook_endpoint.test", id, None, None).await?;
    Ok(delivery_id)
}

async fn lock(unit: &mut UnitOfWork, id: WebhookEndpointId) -> Result<Endpoint> {
    store::webhook::endpoint::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::WebhookEndpoint))
}

fn new_secret() -> Secret {
    let bytes: [u8; 32] = rand::random();
    Secret::from_bytes(bytes.to_vec())
}

fn check_target(context: &Context, checks: &mut Checks, url: &str) {
    if let Err(error) = check_url(url, context.settings().webhook_targets) {
        checks.refuse("url", error.to_string());
    }
}

/// Each event once.
fn read_events(checks: &mut Checks, texts: &[String]) -> Vec<WebhookEvent> {
    if texts.is_empty() {
        checks.refuse("events", "at least one");
    }
    let mut events = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        match checks.parse(&format!("events[{place}]"), text) {
            Some(event) if !events.contains(&event) => events.push(event),
            _ => {}
        }
    }
    events
}
