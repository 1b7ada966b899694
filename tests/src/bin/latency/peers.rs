//! What the platform stands on, measured alone: a commit, and a hop through another broker.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use certs::authority::IssuingCa;
use certs::csr::{Csr, KeyAndCsr, KeyKind};
use certs::serial::Serial;
use certs::tls;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, PgConnection};
use tests::figures::Figures;
use tests::line::{Dial, Line};
use tests::server::Server;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::Instant;
use wire::DeviceId;

/// One row a commit, on the platform's own server.
pub(crate) async fn commit(server: &Server, times: usize) -> anyhow::Result<Figures> {
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

/// One QoS 1 message from a publisher to a subscriber through Mosquitto, both with certificates of the fleet's CA.
pub(crate) async fn mosquitto_hop(
    server: &Server,
    dir: &Path,
    times: usize,
) -> anyhow::Result<Option<Figures>> {
    let Ok(listener) = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) else {
        return Ok(None);
    };
    let to = listener.local_addr()?;
    drop(listener);
    let ca = IssuingCa::load(&server.data_dir.join("pki"))?;
    let config = write_config(&ca, dir, to)?;
    let spawned = Command::new("mosquitto")
        .arg("-c")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut child) = spawned else {
        return Ok(None);
    };
    wait_for(to).await?;
    let mut subscriber = connect(&ca, to, 1).await?;
    let mut publisher = connect(&ca, to, 2).await?;
    subscriber.subscribe("bench/hop").await;
    let payload = vec![b'x'; 600];
    let mut figures = Figures::default();
    for _ in 0..times {
        let start = Instant::now();
        publisher.send("bench/hop", payload.clone()).await;
        let publish = subscriber
            .hear_if_any()
            .await
            .context("Mosquitto ended the connection")?;
        figures.add(start.elapsed());
        subscriber.confirm(&publish).await;
    }
    child.kill().await?;
    Ok(Some(figures))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program that measures the present"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn write_config(ca: &IssuingCa, dir: &Path, to: SocketAddr) -> anyhow::Result<std::path::PathBuf> {
    let issued = ca.issue_server(
        &["localhost".into()],
        &[to.ip()],
        now(),
        TimeDelta::days(1),
        Serial::random()?,
    )?;
    let file = |name: &str, text: &str| -> anyhow::Result<String> {
        let path = dir.join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let certificate = file("mosquitto.pem", &issued.certificate.chain_pem)?;
    let key = file("mosquitto-key.pem", &issued.key_pem)?;
    let anchors = file("mosquitto-ca.pem", &ca.ca_chain_pem())?;
    // As root Mosquitto would change to a user who cannot read these files.
    let user = if nix::unistd::geteuid().is_root() {
        "user root\n"
    } else {
        ""
    };
    let text = format!(
        "{user}listener {} 127.0.0.1\ncafile {anchors}\ncertfile {certificate}\nkeyfile {key}\n\
         require_certificate true\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n",
        to.port()
    );
    let path = dir.join("mosquitto.conf");
    std::fs::write(&path, text)?;
    Ok(path)
}

async fn wait_for(to: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(to).await.is_err() {
        if Instant::now() > deadline {
            anyhow::bail!("Mosquitto does not listen");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn connect(ca: &IssuingCa, to: SocketAddr, number: u128) -> anyhow::Result<Line> {
    let device_id = DeviceId::from_uuid(uuid::Uuid::from_u128(number));
    let key = KeyAndCsr::generate(KeyKind::P256, "bench")?;
    let csr = Csr::parse_verified(key.csr_pem())?;
    let issued = ca.issue_device(
        &csr,
        device_id,
        now(),
        TimeDelta::days(1),
        Serial::random()?,
    )?;
    let identity = (
        tls::chain_from_pem(&issued.chain_pem)?,
        tls::key_from_pem(&key.key_pem())?,
    );
    let tls = tls::client_config(ca.roots(), Some(identity), Vec::new())?;
    let client_id = device_id.to_string();
    Ok(Line::dial(Dial {
        to,
        client_id: &client_id,
        clean: true,
        tls,
    })
    .await?)
}
