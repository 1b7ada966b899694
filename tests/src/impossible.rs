//! Rows that cannot be written: what a job does about one of many.

use sqlx::{AssertSqlSafe, PgPool};

/// Makes `operation` (INSERT, UPDATE or DELETE) on the rows of `table` fail for which `condition` holds, of `NEW` or
/// `OLD`.
pub async fn make_impossible(pool: &PgPool, table: &str, operation: &str, condition: &str) {
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

/// Makes them possible again.
pub async fn make_possible(pool: &PgPool, table: &str) {
    sqlx::query(AssertSqlSafe(format!("DROP TRIGGER impossible ON {table}")))
        .execute(pool)
        .await
        .unwrap();
}
