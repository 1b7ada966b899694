//! Fills the database, from inside it.

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::api::Api;
use tests::server::Server;
use uuid::Uuid;
use wire::{DeviceId, MerchantId, OutletId, TerminalId, TransactionId, UserId};

const FILL: &str = include_str!("fill.sql");

/// How many rows are inserted.
#[derive(Args)]
pub(crate) struct Sizes {
    #[arg(long, default_value_t = 2_000)]
    merchants: u32,
    /// As many outlets as terminals.
    #[arg(long, default_value_t = 20_000)]
    terminals: u32,
    #[arg(long, default_value_t = 100_000)]
    devices: u32,
    /// And as many heartbeats.
    #[arg(long, default_value_t = 1_000_000)]
    transactions: u32,
}

/// Ids of some rows that were inserted.
pub(crate) struct Known {
    /// A box of that merchant that has a tenth of all commands and all notifications.
    pub(crate) device_id: DeviceId,
    /// The merchant that has a tenth of everything.
    pub(crate) merchant_id: MerchantId,
    pub(crate) outlet_id: OutletId,
    pub(crate) terminal_id: TerminalId,
    pub(crate) transaction_id: TransactionId,
    pub(crate) user_id: UserId,
}

pub(crate) async fn fill(server: &Server, sizes: &Sizes) -> anyhow::Result<Known> {
    let mut conn = PgConnection::connect(&server.demo.database_url).await?;
    for (name, size) in [
        ("merchants", sizes.merchants),
        ("terminals", sizes.terminals),
        ("devices", sizes.devices),
        ("transactions", sizes.transactions),
    ] {
        sqlx::query("SELECT set_config('fill.' || $1, $2, false)")
            .bind(name)
            .bind(size.to_string())
            .execute(&mut conn)
            .await?;
    }
    sqlx::raw_sql(FILL).execute(&mut conn).await?;
    // Outside of the transaction that several statements at once are.
    sqlx::raw_sql("VACUUM (ANALYZE)").execute(&mut conn).await?;
    Ok(Known {
        device_id: id(&mut conn, "device", 9).await?.into(),
        merchant_id: id(&mut conn, "merchant", 1).await?.into(),
        outlet_id: id(&mut conn, "outlet", 10).await?.into(),
        terminal_id: id(&mut conn, "terminal", 10).await?.into(),
        transaction_id: id(&mut conn, "transaction", 10).await?.into(),
        user_id: id(&mut conn, "user", 7).await?.into(),
    })
}

async fn id(conn: &mut PgConnection, noun: &str, number: i32) -> anyhow::Result<Uuid> {
    sqlx::query_scalar("SELECT pg_temp.id($1, $2)")
        .bind(noun)
        .bind(number)
        .fetch_one(conn)
        .await
        .with_context(|| format!("no {noun}"))
}

/// A client of the owner of the largest merchant.
pub(crate) async fn owner(server: &Server, admin: &Api, known: &Known) -> anyhow::Result<Api> {
    let body =
        json!({ "role": "merchant_owner", "merchant_id": known.merchant_id, "name": "lists" });
    let answer = admin.post("/admin/tokens", &body).await;
    let token = answer.json()["data"]["token"]
        .as_str()
        .map(ToOwned::to_owned)
        .with_context(|| format!("no token: {answer}"))?;
    Ok(Api::new(&server.demo.api_url, &server.root_pem)
        .unchecked()
        .with_token(&token))
}

/// Gives the demonstration's owner the largest merchant, whose pages they then see.
pub(crate) async fn give_to_owner(server: &Server, known: &Known) -> anyhow::Result<()> {
    let mut conn = PgConnection::connect(&server.demo.database_url).await?;
    sqlx::query("UPDATE users SET merchant_id = $1 WHERE email = $2")
        .bind(known.merchant_id.as_uuid())
        .bind(&server.demo.logins["merchant_owner"].email)
        .execute(&mut conn)
        .await?;
    Ok(())
}

/// Configures Postgres to log the plans of slow statements of new connections.
pub(crate) async fn explain(server: &Server, limit_ms: u32) -> anyhow::Result<()> {
    let mut conn = PgConnection::connect(&server.demo.database_url).await?;
    for statement in [
        // Its settings do not exist before it is loaded.
        "LOAD 'auto_explain'".to_owned(),
        "ALTER SYSTEM SET session_preload_libraries = 'auto_explain'".to_owned(),
        format!("ALTER SYSTEM SET auto_explain.log_min_duration = {limit_ms}"),
        "ALTER SYSTEM SET auto_explain.log_analyze = on".to_owned(),
        "SELECT pg_reload_conf()".to_owned(),
        // The platform reconnects.
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
            .to_owned(),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut conn)
            .await?;
    }
    Ok(())
}
