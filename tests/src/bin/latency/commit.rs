//! A baseline of a payment's latency: one commit, measured alone.

use sqlx::{Connection as _, PgConnection};
use tests::figures::Figures;
use tests::server::Server;
use tokio::time::Instant;

/// One row a commit, on the platform's own server.
pub(crate) async fn alone(server: &Server, times: usize) -> anyhow::Result<Figures> {
    let mut conn = PgConnection::connect(&server.demo.database_url).await?;
    sqlx::query("CREATE TABLE bench_commit (id bigint)")
        .execute(&mut conn)
        .await?;
    let mut figures = Figures::default();
    for number in 0..times {
        let start = Instant::now();
        sqlx::query("INSERT INTO bench_commit VALUES ($1)")
            .bind(i64::try_from(number)?)
            .execute(&mut conn)
            .await?;
        figures.add(start.elapsed());
    }
    sqlx::query("DROP TABLE bench_commit")
        .execute(&mut conn)
        .await?;
    Ok(figures)
}
