//! Another broker for comparison: Mosquitto, where it is installed, with certificates of the fleet's CA.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use certs::authority::IssuingCa;
use certs::csr::{Csr, KeyAndCsr, KeyKind};
use certs::serial::Serial;
use certs::tls;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use wire::DeviceId;

use crate::figures::Figures;
use crate::provision::Endpoint;

/// A running Mosquitto; it ends with this value.
pub struct Mosquitto {
    child: Child,
    ca: IssuingCa,
    to: SocketAddr,
    without_tls: SocketAddr,
}

impl Mosquitto {
    /// Starts it with a certificate of the CA in `pki`, its files in `dir`; `None` when it is not installed.
    ///
    /// # Errors
    /// It cannot be configured, or does not listen.
    pub async fn start(pki: &Path, dir: &Path) -> anyhow::Result<Option<Self>> {
        let (to, without_tls) = free_addresses()?;
        let ca = IssuingCa::load(pki)?;
        let config = write_config(&ca, dir, to, without_tls)?;
        let spawned = Command::new("mosquitto")
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let Ok(child) = spawned else {
            return Ok(None);
        };
        wait_for(to).await?;
        Ok(Some(Self {
            child,
            ca,
            to,
            without_tls,
        }))
    }

    /// Where a process of the same machine connects, without TLS.
    pub fn without_tls(&self) -> SocketAddr {
        self.without_tls
    }

    /// Its process.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("Mosquitto has ended")
    }

    /// The endpoint of a client of this number.
    pub fn endpoint(&self, number: u128) -> anyhow::Result<Endpoint> {
        let device_id = DeviceId::from_uuid(uuid::Uuid::from_u128(number));
        let key = KeyAndCsr::generate(KeyKind::P256, "bench")?;
        let csr = Csr::parse_verified(key.csr_pem())?;
        let (day, serial) = (TimeDelta::days(1), Serial::random()?);
        let issued = self.ca.issue_device(&csr, device_id, now(), day, serial)?;
        let identity = (
            tls::chain_from_pem(&issued.chain_pem)?,
            tls::key_from_pem(&key.key_pem())?,
        );
        Ok(Endpoint {
            to: self.to,
            device_id,
            tls: tls::client_config(self.ca.roots(), Some(identity), Vec::new())?,
        })
    }

    /// QoS 1 messages from a publisher to a subscriber, one after another.
    pub async fn hop(&self, times: usize) -> anyhow::Result<Figures> {
        let mut subscriber = self.endpoint(1)?.connect().await?;
        let mut publisher = self.endpoint(2)?.connect().await?;
        subscriber.subscribe("bench/hop").await;
        let payload = vec![b'x'; 600];
        let mut figures = Figures::default();
        for _ in 0..times {
            let start = Instant::now();
            publisher.send("bench/hop", payload.clone()).await;
            let publish = subscriber
                .try_receive()
                .await
                .context("Mosquitto ended the connection")?;
            figures.add(start.elapsed());
            subscriber.confirm(&publish).await;
        }
        Ok(figures)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program that measures the present"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Two that were free a moment ago.
fn free_addresses() -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let listen = || std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (one, other) = (listen()?, listen()?);
    Ok((one.local_addr()?, other.local_addr()?))
}

fn write_config(
    ca: &IssuingCa,
    dir: &Path,
    to: SocketAddr,
    without_tls: SocketAddr,
) -> anyhow::Result<PathBuf> {
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
         require_certificate true\nlistener {} 127.0.0.1\n\
         allow_anonymous true\npersistence false\nset_tcp_nodelay true\n",
        to.port(),
        without_tls.port()
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
