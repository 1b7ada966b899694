//! Endpoints, and whether messages get through to them.

use chrono::{DateTime, Utc};
use domain::webhook::WebhookEvent;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::{MerchantId, WebhookEndpointId};

use crate::{Page, exactly_one};

/// An endpoint, as the API shows it: never its secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Endpoint {
    pub id: WebhookEndpointId,
    pub url: String,
    #[schema(value_type = Vec<WebhookEvent>)]
    pub events: Vec<WebhookEvent>,
    /// Whose events; null: everybody's.
    pub merchant_id: Option<MerchantId>,
    pub enabled: bool,
    /// Why the platform switched it off.
    pub disabled_reason: Option<String>,
    /// Failures in a row.
    pub failures: i32,
    /// Until when nothing is sent because of them.
    pub paused_until: Option<DateTime<Utc>>,
    /// Until when messages are signed with the secret before this one too.
    pub previous_until: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// An endpoint, `$rest` of it.
macro_rules! query_endpoints {
    ($rest:literal, $($argument:expr),*) => {
        sqlx::query_as!(
            Endpoint,
            r#"SELECT id, url, events AS "events: Vec<WebhookEvent>", merchant_id, enabled, disabled_reason, failures, paused_until,
                 previous_until, created_at, updated_at FROM webhook_endpoints "# + $rest,
            $($argument),*
        )
    };
}

/// Stores an endpoint with its secret.
///
/// # Errors
/// `webhook_endpoints_merchant` when the merchant does not exist.
pub async fn insert(
    conn: &mut PgConnection,
    endpoint: &Endpoint,
    secret: &[u8],
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO webhook_endpoints (id, url, events, merchant_id, enabled, enabled_at, secret, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $6, $6)",
        endpoint.id as _,
        endpoint.url,
        &endpoint.events as _,
        endpoint.merchant_id as _,
        endpoint.enabled,
        endpoint.created_at,
        secret
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// All endpoints, newest first.
pub async fn list(conn: &mut PgConnection, page: Page) -> sqlx::Result<Vec<Endpoint>> {
    query_endpoints!(
        "WHERE $2::timestamptz IS NULL OR (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $1",
        page.limit,
        page.after_time(),
        page.after_id()
    )
    .fetch_all(conn)
    .await
}

/// One endpoint.
pub async fn find(
    conn: &mut PgConnection,
    id: WebhookEndpointId,
) -> sqlx::Result<Option<Endpoint>> {
    query_endpoints!("WHERE id = $1", id as _)
        .fetch_optional(conn)
        .await
}

/// One endpoint, locked.
pub async fn lock(
    conn: &mut PgConnection,
    id: WebhookEndpointId,
) -> sqlx::Result<Option<Endpoint>> {
    query_endpoints!("WHERE id = $1 FOR NO KEY UPDATE", id as _)
        .fetch_optional(conn)
        .await
}

/// The endpoints that are switched on.
pub async fn enabled(conn: &mut PgConnection) -> sqlx::Result<Vec<Endpoint>> {
    query_endpoints!("WHERE enabled",).fetch_all(conn).await
}

/// Stores what people can change of an endpoint. One that they switch on begins anew.
pub async fn update(conn: &mut PgConnection, endpoint: &Endpoint) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE webhook_endpoints SET url = $2, events = $3, enabled = $4, disabled_reason = NULL, failures = 0,
             paused_until = NULL, updated_at = $5, enabled_at = CASE WHEN $4 AND NOT enabled THEN $5 ELSE enabled_at END
         WHERE id = $1",
        endpoint.id as _,
        endpoint.url,
        &endpoint.events as _,
        endpoint.enabled,
        endpoint.updated_at
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// Gives an endpoint another secret; messages are signed with both until a time.
pub async fn rotate(
    conn: &mut PgConnection,
    id: WebhookEndpointId,
    secret: &[u8],
    previous_until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE webhook_endpoints SET previous_secret = secret, previous_until = $3, secret = $2, updated_at = $4
         WHERE id = $1",
        id as _,
        secret,
        previous_until,
        now
    )
    .execute(conn)
    .await?;
    exactly_one(&result)
}

/// Removes an endpoint with its messages.
pub async fn delete(conn: &mut PgConnection, id: WebhookEndpointId) -> sqlx::Result<()> {
    let result = sqlx::query!("DELETE FROM webhook_endpoints WHERE id = $1", id as _)
        .execute(conn)
        .await?;
    exactly_one(&result)
}

/// Notes that an endpoint took a message.
pub async fn note_success(conn: &mut PgConnection, id: WebhookEndpointId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_endpoints SET failures = 0, paused_until = NULL WHERE id = $1 AND failures > 0",
        id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that an endpoint did not take a message that was begun at a time, and pauses it. Of messages that were sent beside
/// each other one counts.
pub async fn note_failure(
    conn: &mut PgConnection,
    id: WebhookEndpointId,
    began: DateTime<Utc>,
    failures: i32,
    paused_until: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_endpoints SET failures = $3, paused_until = $4
         WHERE id = $1 AND failures < $3 AND (paused_until IS NULL OR paused_until <= $2)",
        id as _,
        began,
        failures,
        paused_until
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Switches an endpoint off; `false` when it was off.
pub async fn disable(
    conn: &mut PgConnection,
    id: WebhookEndpointId,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE webhook_endpoints SET enabled = false, disabled_reason = $2, updated_at = $3 WHERE id = $1 AND enabled",
        id as _,
        reason,
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}
