//! Settling, and whether money adds up.

use serde_json::json;
use service::money::ledger;
use sqlx::PgPool;
use wire::TransactionId;

use crate::api::Api;
use crate::world::World;

/// Runs the settlements; the id of the first that was made.
pub async fn settle(finance: &Api) -> String {
    let run = finance
        .post_once("/admin/settlements/run", &json!({}))
        .await;
    let made = run.expect(200).data();
    made["settlements"][0].as_str().unwrap().to_owned()
}

/// Expects that `platform ledger verify` finds nothing.
pub async fn must_verify(world: &World) {
    let report = ledger::verify(world.app().context()).await.unwrap();
    assert_eq!(report.findings, Vec::<String>::new());
}

/// What was booked for a transaction: kind, account, debit, credit.
pub async fn ledger_of(pool: &PgPool, id: TransactionId) -> Vec<(String, String, i64, i64)> {
    sqlx::query_as(
        "SELECT kind, account, debit, credit FROM ledger_entries WHERE transaction_id = $1 ORDER BY id",
    )
    .bind(id.as_uuid())
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Debits are credits, over all and in each posting.
pub async fn must_balance(pool: &PgPool) {
    let unbalanced: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT posting_id FROM ledger_entries GROUP BY posting_id HAVING sum(debit) <> sum(credit)) p",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(unbalanced, 0, "postings that do not balance");
}

/// Debits minus credits of an account, over all merchants.
pub async fn balance(pool: &PgPool, account: &str) -> i64 {
    sqlx::query_scalar(
        "SELECT coalesce(sum(debit - credit), 0)::bigint FROM ledger_entries WHERE account = $1",
    )
    .bind(account)
    .fetch_one(pool)
    .await
    .unwrap()
}
