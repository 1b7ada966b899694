//! Inserts payments as callbacks would have.

use sqlx::PgPool;

/// Merchants, each with an outlet and a terminal.
pub(crate) async fn open(pool: &PgPool, merchants: i64) -> sqlx::Result<()> {
    for statement in [
        "INSERT INTO merchants (id, merchant_code, legal_name, brand_name, status, payout_mode, settlement_account_reference,
             settlement_account_type, fee_profile_id, merchant_criteria, mcc, city, created_at, updated_at)
         SELECT md5('m' || n)::uuid, 'm_' || lpad(n::text, 8, '0'), 'PT ' || n, 'Toko ' || n, 'approved', 'merchant_direct', 'bank:' || n,
             'merchant_bank_account', 'fee_basic', 'UME', '5812', 'JAKARTA', now(), now() FROM generate_series(1, $1) n",
        "INSERT INTO outlets (id, merchant_id, name, address, city, postal_code, timezone, created_at, updated_at)
         SELECT md5('o' || n)::uuid, md5('m' || n)::uuid, 'Pusat', 'Jalan 1', 'JAKARTA', '10110', 'Asia/Jakarta', now(), now()
         FROM generate_series(1, $1) n",
        "INSERT INTO terminals (id, outlet_id, merchant_id, name, terminal_label, qr_mode, created_at, updated_at)
         SELECT md5('t' || n)::uuid, md5('o' || n)::uuid, md5('m' || n)::uuid, 'Kasir', 'A01', 'both', now(), now()
         FROM generate_series(1, $1) n",
    ] {
        sqlx::query(statement).bind(merchants).execute(pool).await?;
    }
    Ok(())
}

/// Paid transactions with their postings, spread over the merchants; the same in each round of the same number.
pub(crate) async fn sell(
    pool: &PgPool,
    merchants: i64,
    transactions: i64,
    round: i64,
) -> sqlx::Result<u64> {
    let sold = sqlx::query(
        "WITH sold AS (
             INSERT INTO transactions (id, merchant_id, outlet_id, terminal_id, qr_type, amount, currency, status, partner_id, created_at)
             SELECT md5($3 || '/' || n)::uuid, md5('m' || s.merchant)::uuid, md5('o' || s.merchant)::uuid, md5('t' || s.merchant)::uuid,
                 'static', s.amount, 'IDR', 'paid', 'demo-acquirer', now()
             FROM (SELECT n, 1 + n % $1 AS merchant, 1000 + (n * 7919 + $3 * 104729) % 1000000 AS amount FROM generate_series(1, $2) n) s
             RETURNING *, (amount * 70 + 5000) / 10000 AS fee)
         INSERT INTO payments (transaction_id, merchant_id, outlet_id, amount, fee, net, paid_at, accepted_at, fee_version, late,
             fee_profile_id, partner_id, partner_reference)
         SELECT id, merchant_id, outlet_id, amount, fee, amount - fee, now() - interval '1 minute', now(), 1, false, 'fee_basic',
             partner_id, 'r' || $3 || '-' || id FROM sold",
    )
    .bind(merchants)
    .bind(transactions)
    .bind(round)
    .execute(pool)
    .await?;
    sqlx::query(
        "INSERT INTO postings (posting_id, kind, merchant_id, partner_id, transaction_id, acquirer_held, payable_open, mdr, created_at)
         SELECT gen_random_uuid(), 'sale', merchant_id, partner_id, transaction_id, amount, -net, -fee, accepted_at
         FROM payments WHERE partner_reference LIKE 'r' || $1 || '-%'",
    )
    .bind(round)
    .execute(pool)
    .await?;
    sqlx::query("ANALYZE").execute(pool).await?;
    Ok(sold.rows_affected())
}

/// How many settlements there are.
pub(crate) async fn settlements(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM settlements")
        .fetch_one(pool)
        .await
}

/// Whether every payment is in a settlement, and every merchant's settlements are the sums of its payments.
pub(crate) async fn is_settled_as_sold(pool: &PgPool) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT NOT EXISTS (
             SELECT 1 FROM
                 (SELECT merchant_id, sum(amount) AS gross, sum(fee) AS fee, sum(net) AS net, count(*) AS number
                  FROM payments GROUP BY merchant_id) sold
             FULL JOIN
                 (SELECT merchant_id, sum(gross) AS gross, sum(fee) AS fee, sum(net) AS net, sum(transaction_count) AS number
                  FROM settlements GROUP BY merchant_id) settled USING (merchant_id)
             WHERE (sold.gross, sold.fee, sold.net, sold.number) IS DISTINCT FROM
                   (settled.gross, settled.fee, settled.net, settled.number))",
    )
    .fetch_one(pool)
    .await
}
