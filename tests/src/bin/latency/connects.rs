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

use crate::costs::{Costs, Used};

/// Concurrent clients.
const CLIENTS: u8 = 64;
/// How long it is measured.
const TIME: Duration = Duration::from_secs(5);
/// Boxes of this kind are numbered from here.
const FIRST: usize = 800_000;

/// Connections to one server.
pub(crate) struct Connects {
    pub(crate) per_second: u128,
    pub(crate) costs: Costs,
}

/// Of the platform, which checks the certificate in Postgres and stores each session there, and of Mosquitto, which does
/// neither.
pub(crate) async fn measure(
    server: &Server,
    mosquitto: Option<&Mosquitto>,
) -> anyhow::Result<(Connects, Option<Connects>)> {
    let admin = server.api("admin")?;
    let mut endpoints = Vec::new();
    for number in 0..CLIENTS {
        let made = Provisioned::new(server, &admin, FIRST + usize::from(number), None).await?;
        endpoints.push(made.endpoint());
    }
    println!("{CLIENTS} boxes that connect and disconnect, with a full handshake each time");
    let ours = connect(server, server.pid()?, endpoints).await?;
    ours.print("platform");
    let Some(mosquitto) = mosquitto else {
        return Ok((ours, None));
    };
    let endpoints = (0..CLIENTS).map(|number| mosquitto.endpoint(100 + u128::from(number)));
    let endpoints = endpoints.collect::<anyhow::Result<_>>()?;
    let theirs = connect(server, mosquitto.pid()?, endpoints).await?;
    theirs.print("Mosquitto");
    Ok((ours, Some(theirs)))
}

impl Connects {
    fn print(&self, to: &str) {
        let Costs {
            receivers_us,
            postgres_us,
            ..
        } = self.costs;
        println!(
            "{:<44} {:>8}/s, each {receivers_us} µs {to}, {postgres_us} µs Postgres",
            format!("  connects to {to}"),
            self.per_second
        );
    }
}

async fn connect(
    server: &Server,
    receiver: u32,
    endpoints: Vec<Endpoint>,
) -> anyhow::Result<Connects> {
    let before = Used::now(server, &[receiver]).await?;
    let start = Instant::now();
    let connects = within(TIME, endpoints).await?;
    let per_second = per_second_of(connects, start.elapsed());
    let after = Used::now(server, &[receiver]).await?;
    Ok(Connects {
        per_second,
        costs: Used::each(&before, &after, connects),
    })
}

/// How often these clients connected.
async fn within(time: Duration, endpoints: Vec<Endpoint>) -> anyhow::Result<u64> {
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for mut endpoint in endpoints {
        let mut tls = ClientConfig::clone(&endpoint.tls);
        tls.resumption = Resumption::disabled();
        endpoint.tls = Arc::new(tls);
        clients.spawn(async move {
            let mut connects = 0_u64;
            while start.elapsed() < time {
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
    Ok(connects)
}
