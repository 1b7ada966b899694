//! Settling, and what is in the database: which tables a step changed, and whether money adds up.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use wire::TransactionId;

use crate::api::Api;

/// Finance runs the settlements; the first that was made.
pub async fn settle(finance: &Api) -> String {
    let made = finance
        .post_once("/admin/settlements/run", &json!({}))
        .await
        .expect(200)
        .data();
    made["settlements"][0].as_str().unwrap().to_owned()
}

/// Every table's content, as a count and a digest. Without what the
/// platform writes in its own time: the audit log's seals, alerts, hours of beats, probes of readiness; and without the bytes of callbacks,
/// which come with their rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Books(BTreeMap<String, (i64, String)>);

impl Books {
    /// Reads everything.
    pub async fn open(pool: &PgPool) -> Self {
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
             AND relkind IN ('r', 'p') AND NOT relispartition AND relname NOT IN
                 ('audit_seals', 'audit_waiting', 'alerts', 'heartbeat_hours', 'heartbeat_rollups',
                  'write_probes', 'callback_bodies')
             ORDER BY relname",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        let mut contents = BTreeMap::new();
        for table in tables {
            let read = format!(
                "SELECT count(*), md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) FROM {table} t"
            );
            let content = sqlx::query_as(AssertSqlSafe(read))
                .fetch_one(pool)
                .await
                .unwrap();
            contents.insert(table, content);
        }
        Self(contents)
    }

    /// The tables that differ now, with how many rows came.
    pub async fn changes(&self, pool: &PgPool) -> BTreeMap<String, i64> {
        let now = Self::open(pool).await;
        now.0
            .into_iter()
            .filter(|(table, content)| self.0[table] != *content)
            .map(|(table, content)| {
                let came = content.0 - self.0[&table].0;
                (table, came)
            })
            .collect()
    }

    /// Nothing differs but that these tables have so many more rows.
    pub async fn changed_only(&self, pool: &PgPool, expected: &[(&str, i64)]) {
        let expected: BTreeMap<String, i64> = expected
            .iter()
            .map(|(table, rows)| ((*table).to_owned(), *rows))
            .collect();
        assert_eq!(self.changes(pool).await, expected);
    }
}

/// A number from the database.
pub async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
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
