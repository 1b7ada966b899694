//! How often boxes can come: TLS with both certificates, CONNECT, CONNACK, and away again.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::Resumption;
use tests::commits::per_second_of;
use tests::provision::{Door, Provisioned};
use tests::server::Server;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::mosquitto::Mosquitto;

/// Clients that come and go beside each other.
const CLIENTS: u8 = 16;
/// How long they do.
const TIME: Duration = Duration::from_secs(5);
/// Boxes of this kind are numbered from here.
const FIRST: usize = 800_000;

/// Connections a second: the platform's, which looks into the registry and notes each session in Postgres, and
/// Mosquitto's, which does neither.
pub(crate) async fn print(server: &Server, mosquitto: Option<&Mosquitto>) -> anyhow::Result<()> {
    let admin = server.api("admin")?;
    let mut doors = Vec::new();
    for number in 0..CLIENTS {
        let made = Provisioned::new(server, &admin, FIRST + usize::from(number), None).await?;
        doors.push(made.door());
    }
    let ours = per_second(doors).await?;
    println!("{CLIENTS} boxes that come and go, a whole handshake each time");
    println!("{:<44} {ours:>8}/s", "  connects to the platform");
    if let Some(mosquitto) = mosquitto {
        let doors = (0..CLIENTS).map(|number| mosquitto.door(100 + u128::from(number)));
        let theirs = per_second(doors.collect::<anyhow::Result<_>>()?).await?;
        println!("{:<44} {theirs:>8}/s", "  connects to Mosquitto");
    }
    Ok(())
}

async fn per_second(doors: Vec<Door>) -> anyhow::Result<u128> {
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for mut door in doors {
        let mut tls = ClientConfig::clone(&door.tls);
        tls.resumption = Resumption::disabled();
        door.tls = Arc::new(tls);
        clients.spawn(async move {
            let mut connects = 0_u64;
            while start.elapsed() < TIME {
                door.dial().await?.leave().await;
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
