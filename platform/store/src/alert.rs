//! Alerts: opened once for each subject and kind, listed, acknowledged, closed. What opens and closes those that are
//! searched for is in [`super::fleet::health`]; the others are raised where they happen, and closed here.

use chrono::{DateTime, Utc};
use domain::alert::{AlertKind, AlertState, AlertSubject, NewAlert};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::ids::{AlertId, DeviceId, MerchantId, OutletId, TerminalId};

use crate::{Page, Period};

/// An alert, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Alert {
    pub id: AlertId,
    pub kind: AlertKind,
    pub state: AlertState,
    /// What it is about: an id with its prefix, `partner:NAME` or `platform`.
    pub subject: String,
    /// The box, when it is about one.
    pub device_id: Option<DeviceId>,
    pub serial_number: Option<String>,
    /// Whose it is: for a box, where it stands now.
    pub merchant_id: Option<MerchantId>,
    pub outlet_id: Option<OutletId>,
    pub terminal_id: Option<TerminalId>,
    /// When what it tells of began.
    pub since: DateTime<Utc>,
    #[schema(value_type = Object)]
    pub details: Value,
    pub opened_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
    pub acknowledged_at: Option<DateTime<Utc>>,
    pub acknowledged_by: Option<String>,
}

/// Something wrong with a box, or with the boxes of a terminal.
#[derive(Debug, Clone)]
pub struct Finding {
    /// With what: a box or a terminal.
    pub subject: AlertSubject,
    /// Whose the terminal is; a box's merchant is that of its binding.
    pub merchant_id: Option<MerchantId>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// What is known of it.
    pub details: Value,
}

/// Opens an alert for each finding whose subject has no open one of this kind; returns how many. `ids` are as many as
/// `findings`.
pub async fn open(
    conn: &mut PgConnection,
    kind: AlertKind,
    ids: &[Uuid],
    findings: &[Finding],
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let devices: Vec<Option<DeviceId>> =
        findings.iter().map(|one| device_of(&one.subject)).collect();
    let subjects: Vec<String> = findings.iter().map(|one| one.subject.to_string()).collect();
    let subject_ids: Vec<Option<Uuid>> = findings.iter().map(|one| one.subject.uuid()).collect();
    let merchants: Vec<Option<MerchantId>> = findings.iter().map(|one| one.merchant_id).collect();
    let since: Vec<DateTime<Utc>> = findings.iter().map(|one| one.since).collect();
    let details: Vec<Value> = findings.iter().map(|one| one.details.clone()).collect();
    let result = sqlx::query!(
        "INSERT INTO alerts (id, subject, subject_id, device_id, merchant_id, kind, since, details, opened_at)
         SELECT id, subject, subject_id, device_id, merchant_id, $8, since, details, $9
         FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::uuid[], $6::timestamptz[], $7::jsonb[])
             AS f (id, subject, subject_id, device_id, merchant_id, since, details)
         ORDER BY subject
         ON CONFLICT (subject, kind) WHERE closed_at IS NULL DO NOTHING",
        ids,
        &subjects,
        &subject_ids as _,
        &devices as _,
        &merchants as _,
        &since,
        &details,
        kind as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// The box that an alert is about.
fn device_of(subject: &AlertSubject) -> Option<DeviceId> {
    match subject {
        AlertSubject::Device(id) => Some(*id),
        _ => None,
    }
}

/// Opens an alert unless one of its kind is open for its subject; returns whether it did. It waits for no row but an
/// alert of the same subject and kind that is being opened.
pub async fn raise(
    conn: &mut PgConnection,
    id: AlertId,
    alert: &NewAlert,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "INSERT INTO alerts (id, subject, subject_id, device_id, merchant_id, kind, since, details, opened_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $7) ON CONFLICT (subject, kind) WHERE closed_at IS NULL DO NOTHING",
        id as _,
        alert.subject.to_string(),
        alert.subject.uuid(),
        device_of(&alert.subject) as _,
        alert.merchant_id as _,
        alert.kind as _,
        now,
        alert.details
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Replaces what an open alert says, when it gives another reason than this one; it is then no longer acknowledged. Waits
/// for no row when the reason is the same.
pub async fn renew(
    conn: &mut PgConnection,
    alert: &NewAlert,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE alerts SET details = $3, since = $4, acknowledged_at = NULL, acknowledged_by = NULL
         WHERE subject = $1 AND kind = $2 AND closed_at IS NULL AND details ->> 'reason' IS DISTINCT FROM $3::jsonb ->> 'reason'",
        alert.subject.to_string(),
        alert.kind as _,
        alert.details,
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() > 0)
}

/// Closes the alert of this kind for this subject, because its reason is over; returns whether there was one.
pub async fn close(
    conn: &mut PgConnection,
    kind: AlertKind,
    subject: &AlertSubject,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE alerts SET closed_at = $3 WHERE subject = $1 AND kind = $2 AND closed_at IS NULL",
        subject.to_string(),
        kind as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() > 0)
}

/// Closes the raised alerts of this kind whose reason is over; returns how many. A kind whose end the database does not
/// show is over once the alert is acknowledged.
pub async fn close_over(
    conn: &mut PgConnection,
    kind: AlertKind,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let result = match kind {
        // A later payment there was announced, or the alert is acknowledged.
        AlertKind::UnannouncedPayment => {
            sqlx::query!(
                "UPDATE alerts a SET closed_at = $1 WHERE a.kind = 'unannounced_payment' AND a.closed_at IS NULL AND (
                     a.acknowledged_at IS NOT NULL
                     OR EXISTS (SELECT 1 FROM bindings b JOIN notifications n ON n.device_id = b.device_id
                                WHERE a.subject_id IN (b.terminal_id, b.merchant_id) AND b.unbound_at IS NULL
                                  AND n.binding_id = b.id AND n.created_at > a.since AND (n.status = 'played' OR n.is_final)))",
                now
            )
            .execute(conn)
            .await?
        }
        AlertKind::UnmatchedPayment => {
            sqlx::query!(
                "UPDATE alerts a SET closed_at = $1 WHERE a.kind = 'unmatched_payment' AND a.closed_at IS NULL
                   AND NOT EXISTS (SELECT 1 FROM unmatched_payments u
                                   WHERE 'partner:' || u.partner_id = a.subject AND u.status = 'open')",
                now
            )
            .execute(conn)
            .await?
        }
        AlertKind::Incident => {
            sqlx::query!(
                "UPDATE alerts a SET closed_at = $1 WHERE a.kind = 'incident' AND a.closed_at IS NULL
                   AND NOT EXISTS (SELECT 1 FROM incidents i
                                   WHERE 'partner:' || i.partner_id = a.subject AND i.resolved_at IS NULL)",
                now
            )
            .execute(conn)
            .await?
        }
        // Closed by what ends the reason: the check of the certificate, the end of the hold, a start without the listener, people
        // who switch an endpoint on. An acknowledgement does not.
        AlertKind::ServerCertificateExpiring
        | AlertKind::PayoutHeld
        | AlertKind::PlainMqtt
        | AlertKind::WebhookDisabled => return Ok(0),
        // A later announcement was played, or the alert is acknowledged.
        AlertKind::UndeliverableMessage => {
            sqlx::query!(
                "UPDATE alerts a SET closed_at = $1 WHERE a.kind = 'undeliverable_message' AND a.closed_at IS NULL AND (
                     a.acknowledged_at IS NOT NULL
                     OR EXISTS (SELECT 1 FROM notifications n WHERE n.device_id = a.device_id
                                AND n.created_at > a.since AND (n.status = 'played' OR n.is_final)))",
                now
            )
            .execute(conn)
            .await?
        }
        _ => {
            sqlx::query!(
                "UPDATE alerts SET closed_at = $2 WHERE kind = $1 AND closed_at IS NULL AND acknowledged_at IS NOT NULL",
                kind as _,
                now
            )
            .execute(conn)
            .await?
        }
    };
    Ok(result.rows_affected())
}

/// Which alerts a list shows.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is a filter of the same name")]
pub struct Filter {
    pub open: Option<bool>,
    pub kind: Option<AlertKind>,
    pub device_id: Option<DeviceId>,
    pub merchant_id: Option<MerchantId>,
    pub acknowledged: Option<bool>,
    /// What it is about: the id, or the serial number of a box.
    pub q: Option<String>,
    /// When it was opened.
    pub period: Period,
}

/// Alerts, newest first, or only the one with `id`.
pub async fn list(
    conn: &mut PgConnection,
    id: Option<AlertId>,
    filter: &Filter,
    page: Page,
) -> sqlx::Result<Vec<Alert>> {
    sqlx::query_as!(
        Alert,
        r#"SELECT a.id, a.kind, CASE WHEN a.closed_at IS NULL THEN 'open' ELSE 'closed' END AS "state!: AlertState", a.subject,
                  a.device_id, d.serial_number AS "serial_number?", coalesce(b.merchant_id, a.merchant_id) AS "merchant_id: MerchantId",
                  coalesce(b.outlet_id, t.outlet_id) AS "outlet_id: OutletId",
                  coalesce(b.terminal_id, t.id) AS "terminal_id: TerminalId", a.since, a.details, a.opened_at, a.closed_at,
                  a.acknowledged_at, a.acknowledged_by
           FROM alerts a
           LEFT JOIN devices d ON d.id = a.device_id
           LEFT JOIN bindings b ON b.device_id = a.device_id AND b.unbound_at IS NULL
           LEFT JOIN terminals t ON t.id = a.subject_id
           WHERE ($1::uuid IS NULL OR a.id = $1)
             AND ($2::boolean IS NULL OR (a.closed_at IS NULL) = $2)
             AND ($3::text IS NULL OR a.kind = $3)
             AND ($4::uuid IS NULL OR a.device_id = $4
                  OR a.subject_id = (SELECT terminal_id FROM bindings WHERE device_id = $4 AND unbound_at IS NULL))
             -- Whose it is, as above; so that the boxes of the merchant are read once, and not the binding of every alert.
             AND ($5::uuid IS NULL
                  OR a.device_id IN (SELECT x.device_id FROM bindings x WHERE x.merchant_id = $5 AND x.unbound_at IS NULL)
                  OR (a.merchant_id IS NOT DISTINCT FROM $5
                      AND (SELECT x.id FROM bindings x WHERE x.device_id = a.device_id AND x.unbound_at IS NULL) IS NULL))
             AND ($6::boolean IS NULL OR (a.acknowledged_at IS NOT NULL) = $6)
             AND ($7::timestamptz IS NULL OR a.opened_at >= $7) AND ($8::timestamptz IS NULL OR a.opened_at < $8)
             AND ($9::text IS NULL OR a.subject = $9 OR a.device_id = (SELECT x.id FROM devices x WHERE x.serial_number = $9))
             AND ($10::timestamptz IS NULL OR (a.opened_at, a.id) < ($10, $11::uuid))
           ORDER BY a.opened_at DESC, a.id DESC LIMIT $12"#,
        id as _,
        filter.open,
        filter.kind as _,
        filter.device_id as _,
        filter.merchant_id as _,
        filter.acknowledged,
        filter.period.from,
        filter.period.to,
        filter.q,
        page.after_time(),
        page.after_id(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// Records who acknowledged an alert; the first stays. `false` when it is acknowledged already, or there is no such alert.
pub async fn acknowledge(
    conn: &mut PgConnection,
    id: AlertId,
    by: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE alerts SET acknowledged_at = $3, acknowledged_by = $2 WHERE id = $1 AND acknowledged_at IS NULL",
        id as _,
        by,
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// How many alerts of one kind are open.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OpenAlerts {
    /// The kind.
    pub kind: AlertKind,
    /// How many.
    pub open: i64,
}

/// The open alerts by kind, all of them or a merchant's.
pub async fn count_open(
    conn: &mut PgConnection,
    merchant_id: Option<MerchantId>,
) -> sqlx::Result<Vec<OpenAlerts>> {
    sqlx::query_as!(
        OpenAlerts,
        r#"SELECT a.kind, count(*) AS "open!" FROM alerts a
           WHERE a.closed_at IS NULL AND ($1::uuid IS NULL OR a.merchant_id = $1 OR EXISTS (
               SELECT 1 FROM bindings b WHERE b.device_id = a.device_id AND b.unbound_at IS NULL AND b.merchant_id = $1))
           GROUP BY a.kind ORDER BY a.kind"#,
        merchant_id as _
    )
    .fetch_all(conn)
    .await
}

/// Deletes up to `limit` alerts that were closed before `before`.
pub async fn forget(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM alerts WHERE id = ANY(ARRAY(SELECT id FROM alerts WHERE closed_at < $1 LIMIT $2))",
        before,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
