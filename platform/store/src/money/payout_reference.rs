//! Banks' names for transfers: each belongs to one payout of a partner.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use wire::ids::PayoutId;

/// The payout that this reference of a partner belongs to, if it was used before. Locks the reference until the database
/// transaction ends, so that two first uses are judged one after the other. The caller holds the lock of one settlement,
/// and looks up one reference.
pub async fn owner(
    conn: &mut PgConnection,
    partner_id: &str,
    bank_reference: &str,
) -> sqlx::Result<Option<PayoutId>> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(10) || $2, 6))",
        partner_id,
        bank_reference
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query_scalar!(
        "SELECT payout_id FROM payout_references WHERE partner_id = $1 AND bank_reference = $2",
        partner_id,
        bank_reference
    )
    .fetch_optional(conn)
    .await
}

/// Gives a reference to a payout, unless it has an owner.
pub async fn claim(
    conn: &mut PgConnection,
    partner_id: &str,
    bank_reference: &str,
    payout_id: PayoutId,
    at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO payout_references (partner_id, bank_reference, payout_id, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT ON CONSTRAINT payout_references_once DO NOTHING",
        partner_id,
        bank_reference,
        payout_id as _,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}
