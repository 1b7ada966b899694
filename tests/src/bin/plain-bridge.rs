//! A baseline for `latency`, not a part of the product: what a team would assemble of Mosquitto, rumqttc and sqlx.
//!
//! A callback is verified as the platform verifies it, its payment is committed as one row, published to the box with
//! QoS 1, and answered 200. There is no outbox: what was committed and not yet written to Mosquitto when the process ends
//! is never published, because the acquirer's repetition finds the row and is answered as a duplicate.
//!
//! It listens without TLS and prints its address when it is ready. The secret of
//! the acquirer is in `PLAIN_BRIDGE_SECRET`. `latency --plain-bridge` starts it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::hmac;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use clap::Parser;
use rumqttc::{AsyncClient, EventLoop, MqttOptions, QoS};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tests::acquirer::PATH;
use tokio::net::TcpListener;
use uuid::Uuid;
use wire::{DeviceId, EventId, TransactionId};

/// Connections to Postgres; more are not faster on two cores.
const CONNECTIONS: u32 = 16;
/// Publications that wait for the connection to Mosquitto.
const QUEUED_MAX: usize = 1_024;
const RECONNECT_AFTER: Duration = Duration::from_millis(100);

#[derive(Parser)]
struct Args {
    /// Where the table `plain_codes` is, and `plain_payments` with it.
    #[arg(long)]
    database_url: String,
    /// Where callbacks go.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Mosquitto, without TLS.
    #[arg(long)]
    mqtt: SocketAddr,
}

#[derive(Clone)]
struct Bridge {
    key: hmac::Key,
    pool: PgPool,
    mqtt: AsyncClient,
}

#[derive(Deserialize)]
struct Callback {
    transaction_id: TransactionId,
    partner_reference: String,
    amount: i64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let secret = std::env::var("PLAIN_BRIDGE_SECRET").context("PLAIN_BRIDGE_SECRET is not set")?;
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .min_connections(CONNECTIONS)
        .connect(&args.database_url)
        .await?;
    let (ip, port) = (args.mqtt.ip().to_string(), args.mqtt.port());
    let (mqtt, eventloop) =
        AsyncClient::new(MqttOptions::new("plain-bridge", ip, port), QUEUED_MAX);
    tokio::spawn(keep_connected(eventloop));
    let bridge = Bridge {
        key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
        pool,
        mqtt,
    };
    let listener = TcpListener::bind(args.listen).await?;
    println!("{}", listener.local_addr()?);
    let routes = Router::new().route(PATH, post(receive)).with_state(bridge);
    Ok(axum::serve(listener, routes).await?)
}

async fn keep_connected(mut eventloop: EventLoop) {
    let mut network = eventloop.network_options();
    network.set_tcp_nodelay(true);
    eventloop.set_network_options(network);
    loop {
        if eventloop.poll().await.is_err() {
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    }
}

async fn receive(
    State(bridge): State<Bridge>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, StatusCode> {
    let verified = verify(&bridge.key, &headers, &body);
    verified.ok_or(StatusCode::UNAUTHORIZED)?;
    let callback: Callback =
        serde_json::from_slice(&body).map_err(|_| StatusCode::UNPROCESSABLE_ENTITY)?;
    let inserted = insert(&bridge.pool, &callback)
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    if let Some(device_id) = inserted {
        let device_id = DeviceId::from_uuid(device_id);
        let topic = format!("devices/{device_id}/downlink/payment/success");
        let message = json!({
            "event_id": EventId::from_uuid(Uuid::from_u128(rand::random())),
            "transaction_id": callback.transaction_id,
            "amount": callback.amount,
        });
        let published = bridge
            .mqtt
            .publish(topic, QoS::AtLeastOnce, false, message.to_string())
            .await;
        published.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    }
    Ok(Json(json!({ "status": "ok" })))
}

fn verify(key: &hmac::Key, headers: &HeaderMap, body: &[u8]) -> Option<()> {
    let timestamp = headers.get("x-partner-timestamp")?;
    let signature = hex::decode(headers.get("x-partner-signature")?).ok()?;
    let signed = [timestamp.as_bytes(), b".", body].concat();
    hmac::verify(key, &signed, &signature).ok()
}

/// One row, one commit. The box to publish to, unless the payment is known.
async fn insert(pool: &PgPool, callback: &Callback) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar(
        "INSERT INTO plain_payments (partner_reference, transaction_id, device_id, amount)
         SELECT $1, transaction_id, device_id, $3 FROM plain_codes WHERE transaction_id = $2
         ON CONFLICT (partner_reference) DO NOTHING
         RETURNING device_id",
    )
    .bind(&callback.partner_reference)
    .bind(callback.transaction_id.as_uuid())
    .bind(callback.amount)
    .fetch_optional(pool)
    .await
}
