//! What stories read from the database and change in it, beside the API.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Decode, FromRow, Postgres, Type};

use crate::eventually::eventually;
use crate::world::World;

impl World {
    /// How many rows there are; `from` is what follows `FROM`.
    pub async fn rows(&self, from: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {from}")).await
    }

    /// Waits until there are so many rows.
    pub async fn wait_for_rows(&self, from: &str, count: i64) {
        eventually(&format!("{count} {from}"), || async {
            (self.rows(from).await == count).then_some(())
        })
        .await;
    }

    /// The number that a query gives.
    pub async fn number(&self, query: &str) -> i64 {
        self.value(query).await
    }

    /// The first column of the only row.
    pub async fn value<T>(&self, query: &str) -> T
    where
        T: for<'r> Decode<'r, Postgres> + Type<Postgres> + Send + Unpin,
    {
        let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
        query.fetch_one(&self.pool).await.unwrap()
    }

    /// The first column of every row.
    pub async fn values<T>(&self, query: &str) -> Vec<T>
    where
        T: for<'r> Decode<'r, Postgres> + Type<Postgres> + Send + Unpin,
    {
        let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
        query.fetch_all(&self.pool).await.unwrap()
    }

    /// Every row.
    pub async fn table<T>(&self, query: &str) -> Vec<T>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let query = sqlx::query_as(AssertSqlSafe(query.to_owned()));
        query.fetch_all(&self.pool).await.unwrap()
    }

    /// Runs one or more statements.
    pub async fn execute(&self, statements: &str) {
        let statements = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        statements.execute(&self.pool).await.unwrap();
    }
}
