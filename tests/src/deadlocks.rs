//! Deadlocks, as Postgres counts them.

use std::time::Duration;

use sqlx::{ConnectOptions as _, PgPool};

use crate::eventually::within;

/// How often the number of other connections is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// How many deadlocks there were in this database. A backend reports its count when it has been idle for a while, or when
/// it ends: the platform must have stopped, and the pool is closed here.
pub async fn of_all_who_left(pool: &PgPool) -> i64 {
    pool.close().await;
    let mut conn = pool.connect_options().connect().await.unwrap();
    within("the end of all other connections", async {
        loop {
            let others: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
            )
            .fetch_one(&mut conn)
            .await
            .unwrap();
            if others == 0 {
                break;
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    })
    .await;
    let read = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    sqlx::query_scalar(read).fetch_one(&mut conn).await.unwrap()
}
