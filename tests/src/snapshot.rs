//! Which tables a step changed.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgPool};

/// A count and a digest of every table. Not of those that jobs of the platform write at any time (seals of the audit
/// log, alerts, the revocation list, hours of heartbeats, readiness probes, leases), and not of callbacks' bodies, which come with
/// their rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, (i64, String)>);

impl Snapshot {
    /// Reads everything.
    pub async fn take(pool: &PgPool) -> Self {
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
             AND relkind IN ('r', 'p') AND NOT relispartition AND relname NOT IN
                 ('audit_seals', 'audit_waiting', 'alerts', 'crl', 'heartbeat_hours', 'heartbeat_rollups',
                  'write_probes', 'callback_bodies', 'nodes')
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
        let now = Self::take(pool).await;
        now.0
            .into_iter()
            .filter(|(table, content)| self.0[table] != *content)
            .map(|(table, content)| {
                let came = content.0 - self.0[&table].0;
                (table, came)
            })
            .collect()
    }

    /// Expects that only these tables differ, with so many more rows.
    pub async fn changed_only(&self, pool: &PgPool, expected: &[(&str, i64)]) {
        let expected: BTreeMap<String, i64> = expected
            .iter()
            .map(|(table, rows)| ((*table).to_owned(), *rows))
            .collect();
        assert_eq!(self.changes(pool).await, expected);
    }
}
