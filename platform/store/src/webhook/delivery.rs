//! Messages: one event for one endpoint.

use chrono::{DateTime, Utc};
use domain::webhook::{DeliveryStatus, WebhookEvent};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::ids::{WebhookDeliveryId, WebhookEndpointId};

use crate::{Page, column};

/// A message that is new.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct NewDelivery {
    pub id: WebhookDeliveryId,
    pub endpoint_id: WebhookEndpointId,
    pub event: WebhookEvent,
    pub subject_id: Uuid,
    pub body: String,
}

/// A message as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Delivery {
    /// Also the `webhook-id` of the message.
    pub id: WebhookDeliveryId,
    pub endpoint_id: WebhookEndpointId,
    pub event: WebhookEvent,
    pub status: DeliveryStatus,
    pub attempts: i32,
    /// When it is tried next; null: it was taken.
    pub due_at: Option<DateTime<Utc>>,
    pub attempted_at: Option<DateTime<Utc>>,
    /// What the endpoint answered last.
    pub answer_status: Option<i32>,
    /// Why it did not take the message.
    pub error: Option<String>,
    /// The message, as it is sent.
    pub body: String,
    pub created_at: DateTime<Utc>,
    pub delivered_at: Option<DateTime<Utc>>,
}

/// A message that is to be sent now.
#[derive(Debug, Clone)]
pub struct Due {
    /// Its id.
    pub id: WebhookDeliveryId,
    /// To whom.
    pub endpoint_id: WebhookEndpointId,
    /// Where that is.
    pub url: String,
    /// What is sent.
    pub body: String,
    /// The secret of the endpoint.
    pub secret: Vec<u8>,
    /// The secret before it, while it is still good.
    pub previous_secret: Option<Vec<u8>>,
    /// With this one.
    pub attempts: i32,
    /// Failures of the endpoint in a row, before this attempt.
    pub failures: i32,
    /// Since when it is tried: since it was made, or since its endpoint was switched on.
    pub since: DateTime<Utc>,
}

/// Stores messages in the order of what happened. They are due at once.
pub async fn insert(
    conn: &mut PgConnection,
    deliveries: &[NewDelivery],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let ids = column(deliveries, |one| one.id);
    let endpoints = column(deliveries, |one| one.endpoint_id);
    let events = column(deliveries, |one| one.event.as_str().to_owned());
    let subjects = column(deliveries, |one| one.subject_id);
    let bodies = column(deliveries, |one| one.body.clone());
    sqlx::query!(
        "INSERT INTO webhook_deliveries (id, endpoint_id, event, subject_id, body, status, due_at, created_at)
         SELECT d.id, d.endpoint_id, d.event, d.subject_id, d.body, 'pending', $6, $6
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[])
             WITH ORDINALITY AS d (id, endpoint_id, event, subject_id, body, place)
         -- One that was removed meanwhile is not told of anything.
         WHERE EXISTS (SELECT FROM webhook_endpoints e WHERE e.id = d.endpoint_id)
         ORDER BY d.place",
        &ids as _,
        &endpoints as _,
        &events,
        &subjects,
        &bodies,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes messages that are due: up to `each` of every endpoint that is switched on, not paused and not in `busy`, and up to
/// `limit` in all. Of one subject only the first that was not taken. They are due again at `lease_until`, in case nothing is
/// heard of this attempt, or as soon as the node of this incarnation is found dead.
pub async fn take_due(
    conn: &mut PgConnection,
    busy: &[WebhookEndpointId],
    each: i64,
    limit: i64,
    incarnation: i64,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        r#"WITH due AS MATERIALIZED (
             SELECT d.id FROM webhook_endpoints e CROSS JOIN LATERAL (
                 SELECT d.id, d.place FROM webhook_deliveries d
                 WHERE d.endpoint_id = e.id AND d.due_at <= $1
                   AND NOT EXISTS (SELECT FROM webhook_deliveries earlier
                                   WHERE earlier.endpoint_id = d.endpoint_id AND earlier.subject_id = d.subject_id
                                     AND earlier.status = 'pending' AND earlier.place < d.place)
                 ORDER BY d.due_at, d.place LIMIT $4) d
             WHERE e.enabled AND (e.paused_until IS NULL OR e.paused_until <= $1) AND e.id <> ALL($3)
             ORDER BY d.place LIMIT $5)
         -- A row that another process has taken meanwhile is not due any more.
         UPDATE webhook_deliveries d SET due_at = $2, taken_by = $6, attempts = d.attempts + 1, attempted_at = $1
         FROM webhook_endpoints e
         WHERE d.id = ANY(ARRAY(SELECT id FROM due)) AND d.due_at <= $1 AND e.id = d.endpoint_id
         RETURNING d.id, d.endpoint_id, e.url, d.body, e.secret,
             CASE WHEN e.previous_until > $1 THEN e.previous_secret END AS previous_secret, d.attempts, e.failures,
             greatest(d.created_at, e.enabled_at) AS "since!""#,
        now,
        lease_until,
        busy as _,
        each,
        limit,
        incarnation
    )
    .fetch_all(conn)
    .await
}

/// Notes that a message was taken.
pub async fn note_delivered(
    conn: &mut PgConnection,
    id: WebhookDeliveryId,
    answer_status: i32,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_deliveries SET status = 'delivered', due_at = NULL, taken_by = NULL, answer_status = $2, error = NULL, delivered_at = $3
         WHERE id = $1",
        id as _,
        answer_status,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that a message was not taken, and when it is tried again.
pub async fn note_failed(
    conn: &mut PgConnection,
    id: WebhookDeliveryId,
    answer_status: Option<i32>,
    error: &str,
    due_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_deliveries SET due_at = $4, taken_by = NULL, answer_status = $2, error = $3 WHERE id = $1 AND status = 'pending'",
        id as _,
        answer_status,
        error,
        due_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes a message due now, also one that was taken. `None`: there is none.
pub async fn send_again(
    conn: &mut PgConnection,
    id: WebhookDeliveryId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Delivery>> {
    sqlx::query_as!(
        Delivery,
        r#"UPDATE webhook_deliveries SET status = 'pending', due_at = $2, delivered_at = NULL WHERE id = $1
         RETURNING id, endpoint_id, event, status, attempts, due_at,
             attempted_at, answer_status, error, body, created_at, delivered_at"#,
        id as _,
        now
    )
    .fetch_optional(conn)
    .await
}

/// The messages to an endpoint, newest first.
pub async fn list(
    conn: &mut PgConnection,
    endpoint_id: WebhookEndpointId,
    status: Option<DeliveryStatus>,
    page: Page,
) -> sqlx::Result<Vec<Delivery>> {
    sqlx::query_as!(
        Delivery,
        r#"SELECT id, endpoint_id, event, status, attempts, due_at,
             attempted_at, answer_status, error, body, created_at, delivered_at
         FROM webhook_deliveries
         WHERE endpoint_id = $1 AND ($2::text IS NULL OR status = $2)
           AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5))
         ORDER BY created_at DESC, id DESC LIMIT $3"#,
        endpoint_id as _,
        status as _,
        page.limit,
        page.after_time(),
        page.after_id()
    )
    .fetch_all(conn)
    .await
}

/// Deletes up to `limit` messages that were taken before a time.
pub async fn forget(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM webhook_deliveries WHERE id = ANY(ARRAY(
             SELECT id FROM webhook_deliveries WHERE status = 'delivered' AND delivered_at < $1 LIMIT $2))",
        before,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
