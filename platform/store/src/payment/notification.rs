//! Notifications: the outbox of announcements.
//!
//! A row is open (pending, sent, received) until the box has acknowledged its end or its time is over.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use domain::announcement::NotificationStatus;
use domain::box_profile::Confirmation;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use wire::ids::{BindingId, DeviceId, EventId, TransactionId};
use wire::{Encoding, Language, Rupiah};

use crate::outbox::{BATCH_MAX, Header, OutboxRow, Selection};
use crate::{Page, Scope, column};

/// An announcement, as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Notification {
    pub event_id: EventId,
    pub sequence: i64,
    pub transaction_id: TransactionId,
    pub device_id: DeviceId,
    pub amount: Rupiah,
    pub status: NotificationStatus,
    /// The most that the box can tell of it: `received` is the end where that is not `played`.
    pub confirmation: Confirmation,
    pub reason: Option<String>,
    pub attempts: i32,
    pub replay: bool,
    pub created_at: DateTime<Utc>,
    pub sent_at: Option<DateTime<Utc>>,
    pub received_at: Option<DateTime<Utc>>,
    pub played_at: Option<DateTime<Utc>>,
    pub acked_at: Option<DateTime<Utc>>,
    pub announce_until: DateTime<Utc>,
}

/// A new announcement of a payment by one box.
#[derive(Debug)]
pub struct Announcement<'a> {
    /// As the outbox reads it; [`insert`] gives it its number.
    pub row: DueNotification,
    /// Why nothing is spoken any more: the announcement is stale from the beginning.
    pub stale_reason: Option<&'a str>,
    /// It is handed over as soon as it is committed, and is `sent` from the beginning: when it is sent again.
    pub sent_again_at: Option<DateTime<Utc>>,
}

/// Puts [`Announcement`]s into the outboxes of their boxes, in this order, each with its box's next sequence number, and
/// executes what follows in the same statement: it may read the rows `numbered` (event_id, sequence); the announcements are
/// its parameters 1 to 13, its own follow.
macro_rules! insert_with {
    ($conn:expr, $announcements:expr, $rest:literal $(+ $more:literal)* $(, $own:expr)* $(,)?) => {{
        let announcements = $announcements;
        let events = column(announcements, |one| one.row.event_id);
        let devices = column(announcements, |one| one.row.device_id);
        let bindings = column(announcements, |one| one.row.binding_id);
        let transactions = column(announcements, |one| one.row.transaction_id);
        let merchants = column(announcements, |one| one.row.merchant_name.as_str());
        let amounts = column(announcements, |one| one.row.amount);
        let paid_at = column(announcements, |one| one.row.paid_at);
        let replays = column(announcements, |one| one.row.replay);
        let created_at = column(announcements, |one| one.row.created_at);
        let delayed_after = column(announcements, |one| one.row.delayed_after);
        let announce_until = column(announcements, |one| one.row.announce_until);
        let stale_reasons = column(announcements, |one| one.stale_reason);
        let sent_again_at = column(announcements, |one| one.sent_again_at);
        sqlx::query!(
            "WITH announced AS (
                 SELECT *, row_number() OVER (PARTITION BY device_id ORDER BY place) AS step
                 FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::timestamptz[], $8::boolean[],
                     $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::text[], $13::timestamptz[]) WITH ORDINALITY
                 AS n (event_id, device_id, binding_id, transaction_id, merchant_name, amount, paid_at, replay, created_at, delayed_after,
                     announce_until, stale_reason, sent_again_at, place)),
             boxes AS (
                 SELECT device_id FROM notification_sequences WHERE device_id = ANY($2) ORDER BY device_id FOR UPDATE),
             next AS (
                 UPDATE notification_sequences s SET last_sequence = s.last_sequence + steps.count
                 FROM boxes JOIN (SELECT device_id, count(*) AS count FROM announced GROUP BY device_id) AS steps USING (device_id)
                 WHERE s.device_id = boxes.device_id
                 RETURNING s.device_id, s.last_sequence - steps.count AS before),
             numbered AS (
                 INSERT INTO notifications (event_id, device_id, sequence, binding_id, transaction_id, merchant_name, amount, paid_at,
                     replay, status, reason, attempts, created_at, sent_at, next_attempt_at, delayed_after, announce_until)
                 SELECT event_id, device_id, next.before + step, binding_id, transaction_id, merchant_name, amount, paid_at, replay,
                     CASE WHEN stale_reason IS NOT NULL THEN 'stale' WHEN sent_again_at IS NOT NULL THEN 'sent' ELSE 'pending' END,
                     stale_reason, CASE WHEN sent_again_at IS NULL THEN 0 ELSE 1 END, created_at,
                     CASE WHEN sent_again_at IS NOT NULL THEN created_at END, coalesce(sent_again_at, created_at), delayed_after,
                     announce_until
                 FROM announced JOIN next USING (device_id)
                 RETURNING event_id, sequence)"
                + $rest $(+ $more)*,
            &events as _,
            &devices as _,
            &bindings as _,
            &transactions as _,
            &merchants as _,
            &amounts as _,
            &paid_at,
            &replays,
            &created_at,
            &delayed_after,
            &announce_until,
            &stale_reasons as _,
            &sent_again_at as _
            $(, $own)*
        )
        .fetch_all($conn)
        .await
    }};
}
pub(super) use insert_with;

/// Puts announcements into the outboxes of their boxes, in this order, and gives each its box's next sequence number.
///
/// # Errors
/// `notifications_once`.
pub async fn insert(
    conn: &mut PgConnection,
    announcements: &mut [Announcement<'_>],
) -> sqlx::Result<()> {
    let numbered = insert_with!(
        conn,
        &*announcements,
        "SELECT event_id, sequence FROM numbered"
    )?;
    let numbers = numbered.into_iter().map(|row| (row.event_id, row.sequence));
    number(announcements, numbers)
}

/// Marks a replay as one that a person at the box asked for.
pub async fn mark_requested(conn: &mut PgConnection, event_id: EventId) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE notifications SET requested = true WHERE event_id = $1",
        event_id as _
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}

/// Gives announcements that were stored the numbers that they got.
pub(super) fn number(
    announcements: &mut [Announcement<'_>],
    numbers: impl Iterator<Item = (EventId, i64)>,
) -> sqlx::Result<()> {
    let numbers: HashMap<EventId, i64> = numbers.collect();
    for announcement in announcements {
        let number = numbers.get(&announcement.row.event_id);
        announcement.row.sequence = *number.ok_or(sqlx::Error::RowNotFound)?;
    }
    Ok(())
}

/// An announcement that is to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct DueNotification {
    pub event_id: EventId,
    pub device_id: DeviceId,
    pub sequence: i64,
    pub binding_id: BindingId,
    pub transaction_id: TransactionId,
    pub merchant_name: String,
    pub amount: Rupiah,
    pub paid_at: DateTime<Utc>,
    pub replay: bool,
    pub attempts: i32,
    pub created_at: DateTime<Utc>,
    pub delayed_after: DateTime<Utc>,
    pub announce_until: DateTime<Utc>,
    pub payload_encoding: Encoding,
    /// Of the box's configuration, as it is now.
    pub language: Language,
    /// Of the box's configuration, as it is now.
    pub announce_merchant_name: bool,
    pub requested: bool,
}

impl OutboxRow for DueNotification {
    type Id = EventId;

    fn header(&self) -> Header<EventId> {
        Header {
            device_id: self.device_id,
            id: self.event_id,
            attempts: self.attempts,
            encoding: self.payload_encoding,
            expires_at: Some(self.announce_until),
        }
    }

    /// In sequence order for each box. One that was acknowledged as `received` is not sent again.
    async fn due(
        conn: &mut PgConnection,
        devices: &[DeviceId],
        selection: Selection,
    ) -> sqlx::Result<Vec<Self>> {
        sqlx::query_as!(
            DueNotification,
            r#"SELECT n.event_id, n.device_id, n.sequence, n.binding_id, n.transaction_id, n.merchant_name, n.amount, n.paid_at,
                    n.replay, n.attempts, n.created_at, n.delayed_after, n.announce_until, d.payload_encoding, n.requested,
                    coalesce(c.language, 'id') AS "language!: Language",
                    coalesce(c.announce_merchant_name, false) AS "announce_merchant_name!"
               FROM notifications n JOIN devices d ON d.id = n.device_id LEFT JOIN device_configs c ON c.device_id = n.device_id
               WHERE n.device_id = ANY($1) AND n.is_open AND n.status <> 'received'
                 AND n.next_attempt_at <= $2 AND n.announce_until > $3 AND d.status = 'active'
               ORDER BY n.device_id, n.sequence LIMIT $4"#,
            devices as _,
            selection.due_by(),
            selection.now,
            BATCH_MAX
        )
        .fetch_all(conn)
        .await
    }

    async fn devices_with_due(
        conn: &mut PgConnection,
        incarnation: i64,
        now: DateTime<Utc>,
        limit: i64,
    ) -> sqlx::Result<Vec<DeviceId>> {
        sqlx::query_scalar!(
            "SELECT DISTINCT n.device_id FROM notifications n JOIN sessions s ON s.device_id = n.device_id AND s.connected AND s.incarnation = $3
             WHERE n.is_open AND n.status <> 'received'
               AND n.next_attempt_at <= $1 AND n.announce_until > $1 LIMIT $2",
            now,
            limit,
            incarnation
        )
        .fetch_all(conn)
        .await
    }

    async fn mark_sent(
        conn: &mut PgConnection,
        sent: &[(EventId, DateTime<Utc>)],
        now: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let (events, next_attempts): (Vec<EventId>, Vec<DateTime<Utc>>) =
            sent.iter().copied().unzip();
        sqlx::query!(
            "WITH sent AS (SELECT * FROM unnest($1::uuid[], $2::timestamptz[]) AS s (event_id, next_attempt_at)),
             locked AS (SELECT n.event_id FROM notifications n JOIN sent USING (event_id) ORDER BY n.event_id FOR UPDATE OF n)
             UPDATE notifications n SET attempts = attempts + 1, next_attempt_at = s.next_attempt_at,
                 sent_at = coalesce(n.sent_at, $3), status = CASE n.status WHEN 'pending' THEN 'sent' ELSE n.status END
             FROM sent s JOIN locked l USING (event_id) WHERE n.event_id = s.event_id",
            &events as _,
            &next_attempts,
            now
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    /// One that was to be handed over as soon as it was committed is pending again.
    async fn postpone(
        conn: &mut PgConnection,
        unsent: &[Header<EventId>],
        until: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let events = column(unsent, |one| one.id);
        let attempts = column(unsent, |one| one.attempts);
        sqlx::query!(
            "WITH unsent AS (SELECT * FROM unnest($1::uuid[], $2::int[]) AS u (event_id, attempts)),
             locked AS (SELECT n.event_id FROM notifications n JOIN unsent USING (event_id)
                        WHERE n.status IN ('pending', 'sent') ORDER BY n.event_id FOR UPDATE OF n)
             UPDATE notifications n SET next_attempt_at = $3, attempts = u.attempts,
                 status = CASE u.attempts WHEN 0 THEN 'pending' ELSE n.status END,
                 sent_at = CASE u.attempts WHEN 0 THEN NULL ELSE n.sent_at END
             FROM unsent u JOIN locked l USING (event_id) WHERE n.event_id = u.event_id",
            &events as _,
            &attempts,
            until
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn fail(
        conn: &mut PgConnection,
        unsent: &Header<EventId>,
        reason: &str,
        now: DateTime<Utc>,
    ) -> sqlx::Result<bool> {
        let result = sqlx::query!(
            "UPDATE notifications SET status = 'failed', reason = $2, acked_at = $3, attempts = $4::int,
                 sent_at = CASE $4::int WHEN 0 THEN NULL ELSE sent_at END
             WHERE event_id = $1 AND status IN ('pending', 'sent')",
            unsent.id as _,
            reason,
            now,
            unsent.attempts
        )
        .execute(conn)
        .await?;
        Ok(result.rows_affected() == 1)
    }
}

/// An acknowledgement of an announcement.
#[derive(Debug, Clone)]
pub struct Ack {
    /// The announcement.
    pub event_id: EventId,
    /// The box that sent it: it counts only for announcements of that box.
    pub device_id: DeviceId,
    /// received, failed, stale or played.
    pub status: NotificationStatus,
    /// When it was played, by the box's clock.
    pub played_at: Option<DateTime<Utc>>,
    /// Why it failed, or by what it is known.
    pub reason: Option<String>,
    /// The box cannot tell more than this: nothing better is waited for.
    pub is_final: bool,
}

/// What became of an announcement by an acknowledgement.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// The announcement; it is the acknowledging box's.
    pub event_id: EventId,
    /// The box.
    pub device_id: DeviceId,
    /// The payment that it announces.
    pub transaction_id: TransactionId,
    /// What is known of it now, when that is more than before.
    pub risen_to: Option<Risen>,
}

/// A step on an announcement's way.
#[derive(Debug, Clone)]
pub struct Risen {
    /// received, failed, stale or played.
    pub status: NotificationStatus,
    /// Whether it is the box's first acknowledgement of it.
    pub first: bool,
    /// Whether it is a replay.
    pub replay: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Takes acknowledgements: what is known of an announcement only rises ([`NotificationStatus::raised_to`]). Of several
/// acknowledgements of one announcement by one box, the one that rises highest is written; of equal ones, the first. Returns
/// the announcements that belong to the box that acknowledged them; the others are not this box's to acknowledge.
pub async fn acknowledge(
    conn: &mut PgConnection,
    acks: &[Ack],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Acknowledged>> {
    let mut highest: BTreeMap<(EventId, DeviceId), &Ack> = BTreeMap::new();
    for ack in acks {
        let kept = highest.entry((ack.event_id, ack.device_id)).or_insert(ack);
        if kept.status.raised_to(ack.status).is_some() {
            *kept = ack;
        }
    }
    let acks: Vec<&Ack> = highest.into_values().collect();
    let events = column(&acks, |ack| ack.event_id);
    let devices = column(&acks, |ack| ack.device_id);
    let reported = column(&acks, |ack| ack.status);
    let played = column(&acks, |ack| ack.played_at);
    let reasons = column(&acks, |ack| ack.reason.as_deref());
    let finals = column(&acks, |ack| ack.is_final);
    let ranks = column(NotificationStatus::ALL, |status| status.rank());
    // Postgres computes `rises`, and what the update writes, from the rows as they are under the lock.
    let rows = sqlx::query!(
        r#"WITH locked AS (
             SELECT n.event_id, n.device_id, n.transaction_id, n.replay, n.created_at, a.status, a.played_at, a.reason, a.is_final,
                 ($7::smallint[])[array_position($6::text[], a.status)] > ($7::smallint[])[array_position($6::text[], n.status)] AS rises
             FROM notifications n
             JOIN unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $9::boolean[])
                 AS a (event_id, device_id, status, played_at, reason, is_final) ON a.event_id = n.event_id AND a.device_id = n.device_id
             ORDER BY n.event_id FOR UPDATE OF n),
           risen AS (
             UPDATE notifications n SET status = l.status, reason = l.reason, is_final = l.is_final AND l.status = 'received',
                 received_at = coalesce(n.received_at, $8), sent_at = coalesce(n.sent_at, $8),
                 played_at = CASE l.status WHEN 'played' THEN coalesce(l.played_at, $8) ELSE n.played_at END,
                 acked_at = CASE WHEN l.status = 'received' AND NOT l.is_final THEN n.acked_at ELSE $8 END
             FROM locked l WHERE n.event_id = l.event_id AND l.rises
             RETURNING n.event_id, n.received_at = $8 AS first)
           SELECT l.event_id, l.device_id, l.transaction_id, l.status AS "status!: NotificationStatus", l.replay, l.created_at,
               r.first AS "first?"
           FROM locked l LEFT JOIN risen r USING (event_id)"#,
        &events as _,
        &devices as _,
        &reported as _,
        &played as _,
        &reasons as _,
        NotificationStatus::ALL as _,
        &ranks,
        now,
        &finals
    )
    .fetch_all(conn)
    .await?;
    let acknowledged = rows.into_iter().map(|row| Acknowledged {
        event_id: row.event_id,
        device_id: row.device_id,
        transaction_id: row.transaction_id,
        risen_to: row.first.map(|first| Risen {
            status: row.status,
            first,
            replay: row.replay,
            created_at: row.created_at,
        }),
    });
    Ok(acknowledged.collect())
}

/// Leaves a notification open and lets it never be due again.
pub async fn keep_from_repeating(
    conn: &mut PgConnection,
    device_id: DeviceId,
    event_id: EventId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE notifications SET next_attempt_at = 'infinity' WHERE event_id = $1 AND device_id = $2 AND is_open",
        event_id as _,
        device_id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Closes the outbox of an ended binding: nothing of it is announced any more.
pub async fn cancel_binding(
    conn: &mut PgConnection,
    binding_id: BindingId,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "WITH locked AS (
             SELECT event_id FROM notifications WHERE binding_id = $1 AND is_open
             ORDER BY event_id FOR UPDATE)
         UPDATE notifications n SET status = 'failed', reason = 'unbound', acked_at = $2
         FROM locked l WHERE n.event_id = l.event_id",
        binding_id as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// Closes the outbox for a transaction that was taken back.
pub async fn cancel_transaction(
    conn: &mut PgConnection,
    transaction_id: TransactionId,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "WITH locked AS (
             SELECT event_id FROM notifications WHERE transaction_id = $1 AND is_open
             ORDER BY event_id FOR UPDATE)
         UPDATE notifications n SET status = 'failed', reason = 'reversed', acked_at = $2
         FROM locked l WHERE n.event_id = l.event_id",
        transaction_id as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// Up to `limit` announcements whose time was over by `before`, each with its box.
pub async fn stale(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<(EventId, DeviceId)>> {
    let rows = sqlx::query!(
        "SELECT event_id, device_id FROM notifications
         WHERE is_open AND announce_until < $1 LIMIT $2",
        before,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.event_id, row.device_id))
        .collect())
}

/// Ends up to `limit` announcements whose time was over by `before`, of these or of all.
pub async fn end_stale(
    conn: &mut PgConnection,
    before: DateTime<Utc>,
    only: Option<&[EventId]>,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "UPDATE notifications SET status = 'stale', reason = 'not_heard_in_time' WHERE event_id IN (
             SELECT event_id FROM notifications
             WHERE is_open AND announce_until < $1
               AND ($3::uuid[] IS NULL OR event_id = ANY($3)) LIMIT $2 FOR UPDATE SKIP LOCKED)",
        before,
        limit,
        only as _
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// One announcement, if it is this box's.
pub async fn find_of_device(
    conn: &mut PgConnection,
    device_id: DeviceId,
    event_id: EventId,
) -> sqlx::Result<Option<Notification>> {
    sqlx::query_as!(
        Notification,
        r#"SELECT event_id, sequence, transaction_id, device_id, amount, status, reason, attempts, replay, created_at, sent_at,
                received_at, played_at, acked_at, announce_until,
                (SELECT d.confirmation FROM devices d WHERE d.id = notifications.device_id) AS "confirmation!: Confirmation"
         FROM notifications WHERE event_id = $1 AND device_id = $2"#,
        event_id as _,
        device_id as _
    )
    .fetch_optional(conn)
    .await
}

/// A box's announcements, newest first.
pub async fn list_of_device(
    conn: &mut PgConnection,
    scope: Scope,
    device_id: DeviceId,
    page: Page,
) -> sqlx::Result<Vec<Notification>> {
    sqlx::query_as!(
        Notification,
        r#"SELECT event_id, sequence, transaction_id, device_id, amount, status, reason, attempts, replay, created_at, sent_at,
                received_at, played_at, acked_at, announce_until,
                (SELECT d.confirmation FROM devices d WHERE d.id = notifications.device_id) AS "confirmation!: Confirmation"
         FROM notifications WHERE device_id = $1 AND ($2::timestamptz IS NULL OR (created_at, event_id) < ($2, $3::uuid))
           AND ($4::uuid IS NULL OR $4 = (SELECT t.merchant_id FROM transactions t WHERE t.id = notifications.transaction_id))
         ORDER BY created_at DESC, event_id DESC LIMIT $5"#,
        device_id as _,
        page.after_time(),
        page.after_id(),
        scope.merchant(),
        page.limit
    )
    .fetch_all(conn)
    .await
}

/// The announcements of a transaction.
pub async fn list_of_transaction(
    conn: &mut PgConnection,
    transaction_id: TransactionId,
) -> sqlx::Result<Vec<Notification>> {
    sqlx::query_as!(
        Notification,
        r#"SELECT event_id, sequence, transaction_id, device_id, amount, status, reason, attempts, replay, created_at, sent_at,
                received_at, played_at, acked_at, announce_until,
                (SELECT d.confirmation FROM devices d WHERE d.id = notifications.device_id) AS "confirmation!: Confirmation"
         FROM notifications WHERE transaction_id = $1 ORDER BY created_at, event_id"#,
        transaction_id as _
    )
    .fetch_all(conn)
    .await
}
