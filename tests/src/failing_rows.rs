//! Rows that cannot be written.

use sqlx::{AssertSqlSafe, PgPool};

/// Makes `operation` (INSERT, UPDATE or DELETE) fail for the rows of `table` for which `condition` holds; it refers to
/// `NEW` or `OLD`.
pub async fn fail_writes(pool: &PgPool, table: &str, operation: &str, condition: &str) {
    for statement in [
        "CREATE OR REPLACE FUNCTION impossible() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'this row is impossible'; END $$"
            .to_owned(),
        format!(
            "CREATE TRIGGER impossible BEFORE {operation} ON {table} FOR EACH ROW WHEN ({condition})
             EXECUTE FUNCTION impossible()"
        ),
    ] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(pool)
            .await
            .unwrap();
    }
}

/// Lets the rows be written again.
pub async fn allow_writes(pool: &PgPool, table: &str) {
    sqlx::query(AssertSqlSafe(format!("DROP TRIGGER impossible ON {table}")))
        .execute(pool)
        .await
        .unwrap();
}
