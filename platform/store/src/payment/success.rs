//! Callbacks that say that codes of ours were paid, in two statements: one locks and reads what they are judged by, one
//! writes what they change. Each statement is a way to the server and back, which a payment waits for.

use chrono::{DateTime, Utc};
use domain::device::DeviceStatus;
use domain::transaction::TransactionStatus;
use sqlx::PgConnection;
use uuid::Uuid;
use wire::ids::{BindingId, DeviceId, TransactionId};
use wire::{Encoding, Language, Rupiah};

use super::callback::Callback;
use super::notification::{Announcement, insert_with, number};
use super::payee::Payee;
use super::transaction::{PartnerReference, Transaction};
use crate::column;
use crate::fleet::binding::Listener;
use crate::money::ledger::NewPosting;

/// What a callback says was paid.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The partner's name for the money.
    pub reference: PartnerReference<'a>,
    /// The transaction that it names.
    pub transaction_id: TransactionId,
    /// By which the fee is chosen.
    pub paid_at: DateTime<Utc>,
}

/// A transaction that was not paid, with what a payment of it needs.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is what its type says")]
pub struct Payable {
    pub transaction: Transaction,
    pub payee: Payee,
    /// At its terminal, in device order, whatever their status.
    pub listeners: Vec<Listener>,
}

/// The transactions that these name, in their order; none for one that is not its partner's, or when anything is known of the
/// reference already. Until the database transaction ends, the transactions are locked, in the order of their ids, and then
/// the bindings of the boxes at their terminals against an unbind. The caller holds the locks of the references.
pub async fn lock(
    conn: &mut PgConnection,
    claims: &[Claim<'_>],
) -> sqlx::Result<Vec<Option<Payable>>> {
    let partners = column(claims, |claim| claim.reference.partner_id);
    let references = column(claims, |claim| claim.reference.reference);
    let named = column(claims, |claim| claim.transaction_id);
    let times = column(claims, |claim| claim.paid_at);
    let rows = sqlx::query!(
        r#"WITH claims AS (
             SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::timestamptz[]) WITH ORDINALITY
             AS c (partner_id, reference, transaction_id, paid_at, place)),
           locked AS MATERIALIZED (
             SELECT t.* FROM transactions t WHERE t.id = ANY($3) AND t.partner_id = ANY($1) ORDER BY t.id FOR NO KEY UPDATE),
           listening AS MATERIALIZED (
             SELECT b.terminal_id, b.device_id, b.id AS binding_id, d.status, d.payload_encoding, coalesce(g.language, 'id') AS language,
                 coalesce(g.announce_merchant_name, false) AS announce_merchant_name
             FROM bindings b JOIN devices d ON d.id = b.device_id LEFT JOIN device_configs g ON g.device_id = b.device_id
             WHERE b.terminal_id = ANY(ARRAY(SELECT terminal_id FROM locked)) AND b.unbound_at IS NULL
             ORDER BY b.device_id FOR SHARE OF b)
           SELECT c.place AS "place!", t.id, t.merchant_id, t.outlet_id, t.terminal_id, t.device_id, t.qr_type, t.amount, t.tip_mode,
               t.amount_due, t.currency, t.status, t.partner_id, t.qr_reference, t.qr_payload, t.request_id, t.created_at, t.expires_at,
               m.brand_name, m.status AS merchant_status, m.nmid, m.merchant_criteria, m.mcc, m.fee_profile_id,
               v.version AS "fee_version!", v.rates AS "rates!",
               l.devices AS "devices: Vec<DeviceId>", l.bindings AS "bindings: Vec<BindingId>",
               l.statuses AS "statuses: Vec<DeviceStatus>", l.encodings AS "encodings: Vec<Encoding>",
               l.languages AS "languages: Vec<Language>", l.naming AS "naming: Vec<bool>"
           FROM claims c
           JOIN locked t ON t.id = c.transaction_id AND t.partner_id = c.partner_id
           JOIN merchants m ON m.id = t.merchant_id
           CROSS JOIN LATERAL fee_version_at(m.fee_profile_id, c.paid_at) v
           CROSS JOIN LATERAL (
             SELECT array_agg(device_id) AS devices, array_agg(binding_id) AS bindings, array_agg(status) AS statuses,
                 array_agg(payload_encoding) AS encodings, array_agg(language) AS languages, array_agg(announce_merchant_name) AS naming
             FROM listening WHERE terminal_id = t.terminal_id) l
           WHERE NOT EXISTS (SELECT 1 FROM payments p WHERE p.partner_reference = c.reference AND p.partner_id = c.partner_id)
             AND NOT EXISTS (SELECT 1 FROM unmatched_payments u WHERE u.partner_id = c.partner_id AND u.partner_reference = c.reference)
             AND NOT EXISTS (SELECT 1 FROM incidents i WHERE i.partner_id = c.partner_id AND i.partner_reference = c.reference
                             AND i.kind = 'reversal_before_success')
             AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.transaction_id = t.id)"#,
        &partners as _,
        &references as _,
        &named as _,
        &times
    )
    .fetch_all(conn)
    .await?;
    let mut payable: Vec<Option<Payable>> = claims.iter().map(|_| None).collect();
    for row in rows {
        let listeners = row
            .devices
            .into_iter()
            .flatten()
            .zip(row.bindings.into_iter().flatten())
            .zip(row.statuses.into_iter().flatten())
            .zip(row.encodings.into_iter().flatten())
            .zip(row.languages.into_iter().flatten())
            .zip(row.naming.into_iter().flatten())
            .map(
                |(((((device_id, binding_id), status), payload_encoding), language), naming)| {
                    Listener {
                        terminal_id: row.terminal_id,
                        device_id,
                        binding_id,
                        status,
                        payload_encoding,
                        language,
                        announce_merchant_name: naming,
                    }
                },
            )
            .collect();
        let place = usize::try_from(row.place - 1).ok();
        let Some(one) = place.and_then(|place| payable.get_mut(place)) else {
            continue;
        };
        *one = Some(Payable {
            transaction: Transaction {
                id: row.id,
                merchant_id: row.merchant_id,
                outlet_id: row.outlet_id,
                terminal_id: row.terminal_id,
                device_id: row.device_id,
                qr_type: row.qr_type,
                amount: row.amount,
                tip_mode: row.tip_mode,
                amount_due: row.amount_due,
                tip: None,
                refunded_amount: Rupiah::ZERO,
                currency: row.currency,
                status: row.status,
                late: false,
                fee: None,
                net: None,
                fee_profile_id: None,
                fee_version: None,
                partner_id: row.partner_id,
                partner_reference: None,
                rrn: None,
                issuer: None,
                qr_reference: row.qr_reference,
                qr_payload: row.qr_payload,
                request_id: row.request_id,
                created_at: row.created_at,
                expires_at: row.expires_at,
                paid_at: None,
                accepted_at: None,
                settlement_id: None,
            },
            payee: Payee {
                merchant_id: row.merchant_id,
                brand_name: row.brand_name,
                status: row.merchant_status,
                nmid: row.nmid,
                merchant_criteria: row.merchant_criteria,
                mcc: row.mcc,
                fee_profile_id: row.fee_profile_id,
                fee_version: row.fee_version,
                rates: row.rates,
            },
            listeners,
        });
    }
    Ok(payable)
}

/// A callback that was taken, and what it changes beside the announcements.
#[derive(Debug)]
pub struct Success<'a> {
    /// The callback.
    pub archived: Callback<'a>,
    /// The status that the transaction had until now.
    pub from: TransactionStatus,
    /// With its payment.
    pub paid: &'a Transaction,
    /// The sale, in the ledger.
    pub posting: NewPosting<'a>,
}

/// Keeps the callbacks, makes their transactions paid, with payment, history and posting, and puts the announcements into the
/// outbox, each with its number.
///
/// The open code of each is found by its key: in a join Postgres would read all open codes, because it takes a table that is
/// empty at times for a small one.
///
/// # Errors
/// `RowNotFound` when a transaction is no longer in its `from`; `payments_reference_unique`; those of
/// [`super::notification::insert`] and [`crate::money::ledger::insert`].
pub async fn write(
    conn: &mut PgConnection,
    successes: &[Success<'_>],
    announcements: &mut [Announcement<'_>],
    at: DateTime<Utc>,
) -> sqlx::Result<()> {
    let callbacks = column(successes, |one| one.archived.id);
    let routes = column(successes, |one| one.archived.route);
    let received_at = column(successes, |one| one.archived.received_at);
    let headers = column(successes, |one| one.archived.headers.to_string());
    let bodies = column(successes, |one| one.archived.body);
    let verdicts = column(successes, |one| one.archived.verdict);
    let http = column(successes, |one| {
        i16::try_from(one.archived.http_status).unwrap_or(0)
    });
    let from = column(successes, |one| one.from);
    let transactions = column(successes, |one| one.paid.id);
    let merchants = column(successes, |one| one.paid.merchant_id);
    let outlets = column(successes, |one| one.paid.outlet_id);
    let amounts = column(successes, |one| one.paid.amount);
    let tips = column(successes, |one| one.paid.tip);
    let fees = column(successes, |one| one.paid.fee);
    let nets = column(successes, |one| one.paid.net);
    let paid_at = column(successes, |one| one.paid.paid_at);
    let versions = column(successes, |one| one.paid.fee_version);
    let late = column(successes, |one| one.paid.late);
    let profiles = column(successes, |one| one.paid.fee_profile_id.as_deref());
    let partners = column(successes, |one| one.paid.partner_id.as_str());
    let references = column(successes, |one| one.paid.partner_reference.as_deref());
    let rrns = column(successes, |one| one.paid.rrn.as_deref());
    let issuers = column(successes, |one| one.paid.issuer.as_deref());
    let postings: Vec<Uuid> = column(successes, |one| one.posting.posting_id);
    let kinds = column(successes, |one| one.posting.kind);
    let held = column(successes, |one| one.posting.amounts.acquirer_held);
    let open = column(successes, |one| one.posting.amounts.payable_open);
    let mdr = column(successes, |one| one.posting.amounts.mdr);
    let rows = insert_with!(
        conn,
        &*announcements,
        r#",
        taken AS (
            SELECT * FROM unnest($15::uuid[], $16::text[], $17::timestamptz[], $18::text[], $19::bytea[], $20::text[], $21::smallint[],
                $22::text[], $23::uuid[], $24::uuid[], $25::uuid[], $26::bigint[], $27::bigint[], $28::bigint[], $29::bigint[],
                $30::timestamptz[], $31::int[], $32::boolean[], $33::text[], $34::text[], $35::text[], $36::text[], $37::text[],
                $38::uuid[], $39::text[], $40::bigint[], $41::bigint[], $42::bigint[])
            AS s (callback_id, route, received_at, headers, body, verdict, http_status, from_status, transaction_id, merchant_id, outlet_id,
                amount, tip, fee, net, paid_at, fee_version, late, fee_profile_id, partner_id, partner_reference, rrn, issuer,
                posting_id, posting_kind, acquirer_held, payable_open, mdr)),
        archived AS (
            INSERT INTO callbacks (id, route, partner_id, received_at, body_bytes, verdict, http_status, partner_reference, transaction_id)
            SELECT callback_id, route, partner_id, received_at, length(body), verdict, http_status, partner_reference, transaction_id
            FROM taken),
        bodies AS (
            INSERT INTO callback_bodies (callback_id, received_at, headers, body)
            SELECT callback_id, received_at, headers::jsonb, body FROM taken),
        paid AS (
            UPDATE transactions t SET status = 'paid' FROM taken s
            WHERE t.id = s.transaction_id AND t.status = s.from_status AND t.status IN ('initiated', 'awaiting_payment', 'expired', 'failed')
            RETURNING t.id, t.expires_at),
        closed AS (
            DELETE FROM open_codes WHERE ctid = ANY(ARRAY(SELECT (
                SELECT ctid FROM open_codes o WHERE o.expires_at = p.expires_at AND o.transaction_id = p.id) FROM paid p))),
        history AS (
            INSERT INTO transaction_events (transaction_id, at, from_status, to_status, cause, callback_id)
            SELECT transaction_id, $14, from_status, 'paid', 'callback', callback_id FROM taken),
        payment AS (
            INSERT INTO payments (transaction_id, merchant_id, outlet_id, amount, tip, fee, net, paid_at, accepted_at, fee_version, late,
                fee_profile_id, partner_id, partner_reference, rrn, issuer)
            SELECT transaction_id, merchant_id, outlet_id, amount, tip, fee, net, paid_at, $14, fee_version, late, fee_profile_id,
                partner_id, partner_reference, rrn, issuer FROM taken),
        booked AS (
            INSERT INTO postings (posting_id, kind, merchant_id, partner_id, transaction_id, acquirer_held, payable_open, mdr, created_at)
            SELECT posting_id, posting_kind, merchant_id, partner_id, transaction_id, acquirer_held, payable_open, mdr, $14 FROM taken)
        SELECT p.count AS "paid!", n.event_id AS "event_id?", n.sequence AS "sequence?"
        FROM (SELECT count(*) FROM paid) AS p LEFT JOIN numbered n ON true"#,
        at,
        &callbacks as _,
        &routes as _,
        &received_at,
        &headers,
        &bodies as _,
        &verdicts as _,
        &http,
        &from as _,
        &transactions as _,
        &merchants as _,
        &outlets as _,
        &amounts as _,
        &tips as _,
        &fees as _,
        &nets as _,
        &paid_at as _,
        &versions as _,
        &late,
        &profiles as _,
        &partners as _,
        &references as _,
        &rrns as _,
        &issuers as _,
        &postings,
        &kinds as _,
        &held as _,
        &open as _,
        &mdr as _,
    )?;
    let paid = rows.first().map(|row| row.paid);
    if paid != i64::try_from(successes.len()).ok() {
        return Err(sqlx::Error::RowNotFound);
    }
    let numbers = rows
        .into_iter()
        .filter_map(|row| row.event_id.zip(row.sequence));
    number(announcements, numbers)
}
