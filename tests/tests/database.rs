//! Tests of the test databases.

#![expect(
    clippy::unwrap_used,
    reason = "a story ends where something unexpected happens, in its helpers too"
)]

use sqlx::{Connection as _, Row as _};
use tests::database::TestDatabase;

async fn count(connection: &mut sqlx::PgConnection, query: &'static str) -> i64 {
    sqlx::query(query)
        .fetch_one(connection)
        .await
        .unwrap()
        .get(0)
}

#[tokio::test]
async fn tests_do_not_see_rows_of_each_other() {
    let (one, two) = (
        TestDatabase::create().await.unwrap(),
        TestDatabase::create().await.unwrap(),
    );
    let mut in_one = one.connect().await.unwrap();
    sqlx::query("CREATE TABLE mine (n bigint)")
        .execute(&mut in_one)
        .await
        .unwrap();
    let mut in_two = two.connect().await.unwrap();
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'";
    assert_eq!(count(&mut in_one, tables).await, 1);
    assert_eq!(count(&mut in_two, tables).await, 0);
}

#[tokio::test]
async fn every_migration_is_applied() {
    let database = TestDatabase::create().await.unwrap();
    let mut connection = database.connect().await.unwrap();
    let applied = count(
        &mut connection,
        "SELECT count(*) FROM _sqlx_migrations WHERE success",
    )
    .await;
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations"))
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.as_encoded_bytes().ends_with(b".sql")
        })
        .count();
    assert_eq!(applied, i64::try_from(files).unwrap());
}

#[tokio::test]
async fn a_database_is_gone_with_its_test_even_while_it_is_in_use() {
    let (kept, dropped) = (
        TestDatabase::create().await.unwrap(),
        TestDatabase::create().await.unwrap(),
    );
    let pool = dropped.pool().await.unwrap();
    let busy = pool.acquire().await.unwrap();
    let name = dropped.options().get_database().unwrap().to_owned();
    drop(dropped);
    let mut connection = kept.connect().await.unwrap();
    let left: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(name)
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert!(!left);
    drop(busy);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn the_url_is_enough_to_connect() {
    let database = TestDatabase::create().await.unwrap();
    let mut connection = sqlx::PgConnection::connect(database.url()).await.unwrap();
    let current: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(Some(current.as_str()), database.options().get_database());
}
