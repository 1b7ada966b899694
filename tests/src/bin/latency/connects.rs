//! How many connections a second: TLS with both certificates, CONNECT, CONNACK, DISCONNECT.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::Resumption;
use tests::commits::per_second_of;
use tests::mosquitto::Mosquitto;
use tests::provision::{Endpoint, Provisioned};
use tests::server::Server;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Concurrent clients.
const CLIENTS: u8 = 16;
/// How long it is measured.
const TIME: Duration = Duration::from_secs(5);
/// Boxes of this kind are numbered from here.
const FIRST: usize = 800_000;

/// Connections a second: of the platform, which checks the certificate in Postgres and stores each session there, and of
/// Mosquitto, which does neither.
pub(crate) async fn measure(
    server: &Server,
    mosquitto: Option<&Mosquitto>,
) -> anyhow::Result<(u128, Option<u128>)> {
    let admin = server.api("admin")?;
    let mut endpoints = Vec::new();
    for number in 0..CLIENTS {
        let made = Provisioned::new(server, &admin, FIRST + usize::from(number), None).await?;
        endpoints.push(made.endpoint());
    }
    let ours = per_second(endpoints).await?;
    println!("{CLIENTS} boxes that connect and disconnect, with a full handshake each time");
    println!("{:<44} {ours:>8}/s", "  connects to the platform");
    let Some(mosquitto) = mosquitto else {
        return Ok((ours, None));
    };
    let endpoints = (0..CLIENTS).map(|number| mosquitto.endpoint(100 + u128::from(number)));
    let theirs = per_second(endpoints.collect::<anyhow::Result<_>>()?).await?;
    println!("{:<44} {theirs:>8}/s", "  connects to Mosquitto");
    Ok((ours, Some(theirs)))
}

async fn per_second(endpoints: Vec<Endpoint>) -> anyhow::Result<u128> {
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for mut endpoint in endpoints {
        let mut tls = ClientConfig::clone(&endpoint.tls);
        tls.resumption = Resumption::disabled();
        endpoint.tls = Arc::new(tls);
        clients.spawn(async move {
            let mut connects = 0_u64;
            while start.elapsed() < TIME {
                endpoint.connect().await?.disconnect().await;
                connects += 1;
            }
            anyhow::Ok(connects)
        });
    }
    let mut connects = 0;
    while let Some(client) = clients.join_next().await {
        connects += client??;
    }
    Ok(per_second_of(connects, start.elapsed()))
}
