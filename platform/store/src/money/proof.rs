//! Whether money adds up: each question finds what does not, and finds nothing when all is well.
//!
//! The questions are asked of one snapshot, and answered with at most as many rows as a person can look at.

use sqlx::PgConnection;

/// Something that does not add up.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The id of what it is about.
    pub subject: String,
    /// How it does not.
    pub problem: String,
}

/// Makes the database transaction that was just begun a look at one moment, which changes nothing.
pub async fn look_at_one_moment(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(conn)
        .await?;
    Ok(())
}

/// How many lines and postings there are.
pub async fn size(conn: &mut PgConnection) -> sqlx::Result<(i64, i64)> {
    let row = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE acquirer_held <> 0) + count(*) FILTER (WHERE payable_open <> 0)
                + count(*) FILTER (WHERE payable_claimed <> 0) + count(*) FILTER (WHERE mdr <> 0)
                + count(*) FILTER (WHERE payout_in_transit <> 0) AS "entries!", count(*) AS "postings!"
           FROM postings"#
    )
    .fetch_one(conn)
    .await?;
    Ok((row.entries, row.postings))
}

/// Postings whose debits are not their credits.
pub async fn unbalanced_postings(
    conn: &mut PgConnection,
    limit: i64,
) -> sqlx::Result<Vec<Finding>> {
    sqlx::query_as!(
        Finding,
        r#"SELECT posting_id::text AS "subject!", format('debits minus credits are %s', imbalance) AS "problem!"
           FROM postings, LATERAL (SELECT acquirer_held::numeric + payable_open + payable_claimed + mdr + payout_in_transit) sum (imbalance)
           WHERE imbalance <> 0 LIMIT $1"#,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Postings about a merchant, transaction, settlement or payout that does not exist or does not belong to the others: no
/// foreign key holds them together.
pub async fn orphaned_postings(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Finding>> {
    sqlx::query_as!(
        Finding,
        r#"SELECT p.posting_id::text AS "subject!",
                  CASE WHEN m.id IS NULL THEN 'its merchant does not exist'
                       WHEN t.merchant_id IS DISTINCT FROM m.id AND p.transaction_id IS NOT NULL THEN 'its merchant has no such transaction'
                       WHEN s.merchant_id IS DISTINCT FROM m.id AND p.settlement_id IS NOT NULL THEN 'its merchant has no such settlement'
                       ELSE 'its settlement has no such payout' END AS "problem!"
           FROM postings p
           LEFT JOIN merchants m ON m.id = p.merchant_id
           LEFT JOIN transactions t ON t.id = p.transaction_id
           LEFT JOIN settlements s ON s.id = p.settlement_id
           LEFT JOIN payouts o ON o.id = p.payout_id
           WHERE m.id IS NULL OR (p.transaction_id IS NOT NULL AND t.merchant_id IS DISTINCT FROM m.id)
              OR (p.settlement_id IS NOT NULL AND s.merchant_id IS DISTINCT FROM m.id)
              OR (p.payout_id IS NOT NULL AND o.settlement_id IS DISTINCT FROM p.settlement_id) LIMIT $1"#,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Payments and refunds whose lines are not what they were: done and not booked, booked and not done, or with other amounts;
/// payments that are not what their transactions are, or of which something else was taken back than their refunds say.
pub async fn wrong_payments(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Finding>> {
    sqlx::query_as!(
        Finding,
        r#"WITH booked AS (
             SELECT transaction_id, kind, refund_number AS number, sum(acquirer_held) AS held,
                    -sum(payable_open) - sum(payable_claimed) AS net, -sum(mdr) AS fee
             FROM postings WHERE transaction_id IS NOT NULL GROUP BY transaction_id, kind, refund_number),
           expected AS (
             SELECT transaction_id AS id, 'sale' AS kind, 0 AS number, amount, fee, net FROM payments
             UNION ALL
             SELECT transaction_id, 'refund', number, -amount, -fee, -net FROM refunds WHERE status = 'done'),
           refunded AS (
             SELECT transaction_id, sum(amount) AS amount, sum(fee) AS fee FROM refunds WHERE status = 'done' GROUP BY transaction_id)
           SELECT 'tx_' || replace(coalesce(e.id, b.transaction_id)::text, '-', '') AS "subject!",
                  format('%s: expected %s = %s + %s, booked %s = %s + %s', coalesce(e.kind, b.kind), e.amount, e.fee, e.net,
                         b.held, b.fee, b.net) AS "problem!"
           FROM expected e FULL JOIN booked b ON b.transaction_id = e.id AND b.kind = e.kind AND b.number = e.number
           WHERE (e.amount, e.fee, e.net) IS DISTINCT FROM (b.held, b.fee, b.net)
           UNION ALL
           SELECT 'tx_' || replace(p.transaction_id::text, '-', ''),
                  format('%s with %s of the fee are taken back, its refunds are %s with %s', p.refunded, p.fee_refunded,
                         coalesce(r.amount, 0), coalesce(r.fee, 0))
           FROM payments p LEFT JOIN refunded r USING (transaction_id)
           WHERE (p.refunded, p.fee_refunded) IS DISTINCT FROM (coalesce(r.amount, 0), coalesce(r.fee, 0))
           UNION ALL
           SELECT 'tx_' || replace(coalesce(p.transaction_id, t.id)::text, '-', ''), 'transaction and payment differ, or one is missing'
           FROM payments p FULL JOIN (SELECT * FROM transactions WHERE status IN ('paid', 'reversed')) t ON t.id = p.transaction_id
           WHERE (p.merchant_id, p.outlet_id, p.partner_id, p.amount - coalesce(p.tip, 0),
                  CASE WHEN p.reversed_at IS NULL THEN 'paid' ELSE 'reversed' END)
                 IS DISTINCT FROM (t.merchant_id, t.outlet_id, t.partner_id, t.amount, t.status)
           LIMIT $1"#,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Settlements that are not the sum of their items, and items that are not what their transactions are.
pub async fn wrong_settlements(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Finding>> {
    sqlx::query_as!(
        Finding,
        r#"WITH items AS (
             SELECT i.settlement_id,
                    coalesce(sum(i.amount) FILTER (WHERE i.kind = 'sale'), 0) AS gross,
                    coalesce(sum(i.fee) FILTER (WHERE i.kind = 'sale'), 0) AS fee,
                    coalesce(sum(i.net) FILTER (WHERE i.kind = 'refund'), 0) AS refunds,
                    count(DISTINCT i.transaction_id) AS transaction_count,
                    count(*) FILTER (WHERE p.merchant_id <> s.merchant_id
                        OR (i.kind = 'sale' AND (i.amount, i.fee, i.net, i.settlement_id)
                            IS DISTINCT FROM (p.amount, p.fee, p.net, p.settlement_id))
                        OR (i.kind = 'refund' AND (i.amount, i.fee, i.net, i.settlement_id)
                            IS DISTINCT FROM (r.amount, r.fee, r.net, r.settlement_id))) AS strangers
             FROM settlement_items i JOIN payments p ON p.transaction_id = i.transaction_id JOIN settlements s ON s.id = i.settlement_id
             LEFT JOIN refunds r ON r.transaction_id = i.transaction_id AND r.number = i.refund_number AND r.status = 'done'
             GROUP BY i.settlement_id)
           SELECT 'set_' || replace(s.id::text, '-', '') AS "subject!",
                  format('is %s - %s - %s of %s, its items are %s - %s - %s of %s, %s of them wrong', s.gross, s.fee, s.refunds,
                         s.transaction_count, i.gross, i.fee, i.refunds, i.transaction_count, i.strangers) AS "problem!"
           FROM settlements s LEFT JOIN items i ON i.settlement_id = s.id
           WHERE (s.gross, s.fee, s.refunds, s.transaction_count, 0) IS DISTINCT FROM
                 (i.gross, i.fee, i.refunds, i.transaction_count, i.strangers)
           UNION ALL
           SELECT 'tx_' || replace(p.transaction_id::text, '-', ''), 'says that it is settled, and is no item of that settlement'
           FROM payments p WHERE p.settlement_id IS NOT NULL AND NOT EXISTS (
             SELECT 1 FROM settlement_items i
             WHERE i.transaction_id = p.transaction_id AND i.kind = 'sale' AND i.settlement_id = p.settlement_id)
           UNION ALL
           SELECT 'tx_' || replace(r.transaction_id::text, '-', ''), format('its refund %s says that it is settled, and is no item', r.number)
           FROM refunds r WHERE r.settlement_id IS NOT NULL AND NOT EXISTS (
             SELECT 1 FROM settlement_items i
             WHERE i.transaction_id = r.transaction_id AND i.refund_number = r.number AND i.settlement_id = r.settlement_id)
           LIMIT $1"#,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Settlements whose part of the accounts is not what their payouts say, and payouts that are not of their settlement.
pub async fn wrong_payouts(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Finding>> {
    sqlx::query_as!(
        Finding,
        r#"WITH booked AS (
             SELECT settlement_id, -sum(payable_claimed) AS owed, -sum(payout_in_transit) AS in_transit
             FROM postings WHERE settlement_id IS NOT NULL GROUP BY settlement_id),
           stands AS (
             SELECT s.id, s.status, s.net,
                    count(*) FILTER (WHERE p.status IN ('processing')) AS processing,
                    count(*) FILTER (WHERE p.status IN ('paid')) AS paid,
                    count(*) FILTER (WHERE p.amount <> s.net OR p.merchant_id <> s.merchant_id) AS strangers
             FROM settlements s LEFT JOIN payouts p ON p.settlement_id = s.id GROUP BY s.id)
           SELECT 'set_' || replace(s.id::text, '-', '') AS "subject!",
                  format('is %s over %s with %s payouts under way, %s paid and %s wrong; owed %s, in transit %s', s.status, s.net,
                         s.processing, s.paid, s.strangers, b.owed, b.in_transit) AS "problem!"
           FROM stands s LEFT JOIN booked b ON b.settlement_id = s.id
           WHERE s.strangers > 0 OR s.processing + s.paid > 1 OR (s.paid = 1) <> (s.status = 'paid')
              OR b.owed IS DISTINCT FROM CASE WHEN s.processing + s.paid = 0 THEN s.net ELSE 0 END
              OR b.in_transit IS DISTINCT FROM CASE WHEN s.processing = 1 THEN s.net ELSE 0 END
           LIMIT $1"#,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Merchants whose open part of `merchant_payable` is not what a next run would find.
pub async fn wrong_merchants(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Finding>> {
    sqlx::query_as!(
        Finding,
        r#"WITH booked AS (
             SELECT merchant_id, -sum(payable_open) AS owed FROM postings GROUP BY merchant_id),
           open AS (
             SELECT merchant_id, sum(net) AS owed FROM (
               SELECT p.merchant_id, p.net FROM payments p WHERE p.settlement_id IS NULL
               UNION ALL
               SELECT r.merchant_id, -r.net FROM refunds r WHERE r.status = 'done' AND r.settlement_id IS NULL) lines
             GROUP BY merchant_id)
           SELECT 'm_' || replace(coalesce(b.merchant_id, o.merchant_id)::text, '-', '') AS "subject!",
                  format('is owed %s by its transactions, %s by the ledger', coalesce(o.owed, 0), coalesce(b.owed, 0)) AS "problem!"
           FROM booked b FULL JOIN open o ON o.merchant_id = b.merchant_id
           WHERE coalesce(b.owed, 0) <> coalesce(o.owed, 0) LIMIT $1"#,
        limit
    )
    .fetch_all(conn)
    .await
}
