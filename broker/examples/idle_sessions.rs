//! The cost of an idle session: the memory of an edge with N connected and subscribed boxes, and how fast they connect.
//!
//! `cargo run --release -p broker --example idle_sessions -- 2000` starts the edge in a process of its own (so that the
//! clients' memory is not counted), connects N boxes over mTLS, sends one message to each, and prints a table.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use broker::{
    Admission, Connecting, Downlink, Edge, EdgeConfig, Host, Limits, ObserverConnecting, Refusal,
    SessionEnd, SessionKey, Subscription, Unavailable, Uplink,
};
use certs::authority::{FleetCa, InitOptions, IssuingCa};
use certs::csr::{Csr, KeyAndCsr, KeyKind};
use certs::serial::Serial;
use certs::tls::{
    ClientAuth, ServerOptions, chain_from_pem, client_config, key_from_pem, roots_from_pem,
    server_config,
};
use chrono::{DateTime, TimeDelta, Utc};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{Channel, DeviceId};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Admits every box and stores nothing.
struct AdmitAll;

impl Host for AdmitAll {
    async fn may_connect(&self, _: DeviceId, _: &str) -> Result<(), Refusal> {
        Ok(())
    }

    async fn admit(&self, _: Connecting) -> Result<Admission, Refusal> {
        Ok(Admission {
            epoch: 1,
            stored: None,
        })
    }

    async fn subscriptions_changed(
        &self,
        _: SessionKey,
        _: bool,
        _: Vec<Subscription>,
    ) -> Result<(), Unavailable> {
        Ok(())
    }

    fn listening(&self, _: SessionKey) {}

    async fn uplink(&self, _: Uplink) -> Result<(), Unavailable> {
        Ok(())
    }

    async fn ended(&self, _: SessionKey, _: SessionEnd) {}

    async fn admit_observer(&self, _: ObserverConnecting) -> Result<(), Refusal> {
        Err(Refusal::NotAuthorized)
    }
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments.as_slice() {
        [serve, directory] if serve == "serve" => runtime.block_on(serve_edge(directory.as_ref())),
        [count] => runtime.block_on(measure(count.parse()?)),
        _ => Err("usage: idle_sessions COUNT".into()),
    }
}

fn device(number: u128) -> DeviceId {
    DeviceId::from_uuid(Uuid::from_u128(number + 1))
}

fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

fn resident_kib() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.ok_or("no VmRSS")?.parse()?)
}

/// The edge's process: for every number on standard input, publishes to that many boxes and prints its memory.
async fn serve_edge(directory: &Path) -> Outcome<()> {
    let ca = IssuingCa::load(directory)?;
    let server = ca.issue_server(
        &["localhost".to_owned()],
        &[],
        now(),
        TimeDelta::days(1),
        Serial::random()?,
    )?;
    let config = EdgeConfig {
        listen: "127.0.0.1:0".parse()?,
        tls: server_config(
            chain_from_pem(&server.certificate.chain_pem)?,
            key_from_pem(&server.key_pem)?,
            ClientAuth::Required(ca.roots()),
            ServerOptions::default(),
        )?,
        password: broker::PasswordListeners::default(),
        limits: Limits::default(),
        server_reference: None,
    };
    let edge = Edge::start(config, Arc::new(AdmitAll), CancellationToken::new()).await?;
    println!("{}", edge.local_addr());
    for line in std::io::stdin().lines() {
        let count: u128 = line?.parse()?;
        for number in 0..count {
            edge.publish(Downlink {
                device_id: device(number),
                channel: Channel::PaymentSuccess,
                payload: vec![b'x'; 700].into(),
                key: None,
                expires_s: None,
            });
        }
        println!("{} {}", resident_kib()?, edge.live());
    }
    Ok(())
}

async fn measure(count: usize) -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("ca");
    FleetCa::init(&path, now(), &InitOptions::default())?;
    let ca = IssuingCa::load(&path)?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut requests = child.stdin.take().ok_or("no stdin")?;
    let mut answers = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
    let mut answer = move || -> Outcome<String> { Ok(answers.next().ok_or("no answer")??) };
    let address: SocketAddr = answer()?.parse()?;

    let mut connectors = Vec::with_capacity(count);
    for number in 0..count {
        connectors.push(connector(&ca, device(number as u128))?);
    }
    let mut publish_to = |boxes: usize| -> Outcome<String> {
        writeln!(requests, "{boxes}")?;
        answer()
    };
    let before = publish_to(0)?;
    let started = Instant::now();
    let mut clients = Vec::with_capacity(count);
    for chunk in connectors.chunks(64).enumerate() {
        let connecting = chunk.1.iter().enumerate().map(|(offset, connector)| {
            let number = chunk.0 * 64 + offset;
            tokio::spawn(connect(address, connector.clone(), device(number as u128)))
        });
        for client in connecting.collect::<Vec<_>>() {
            clients.push(client.await??);
        }
    }
    let connected_in = started.elapsed();
    let connected = publish_to(0)?;
    let published = Instant::now();
    publish_to(count)?;
    for client in &mut clients {
        let mut header = [0; 3];
        client.read_exact(&mut header).await?;
        let len = usize::from(header[1] & 0x7f) | usize::from(header[2]) << 7;
        let mut body = vec![0; len];
        client.read_exact(&mut body).await?;
        client.write_all(&[0x40, 2, 0, 1]).await?;
    }
    let received_in = published.elapsed();
    let after = publish_to(0)?;

    println!("boxes                      {count}");
    println!("connected and subscribed   {connected_in:?}");
    println!("one message to each box    {received_in:?}");
    println!("resident KiB, sessions: before | connected | after a message each");
    println!("  {before} | {connected} | {after}");
    let first = |text: &str| -> Outcome<u64> {
        let number = text.split_whitespace().next();
        Ok(number.ok_or("no number")?.parse()?)
    };
    let per_box = |text: &str| -> Outcome<u64> {
        Ok((first(text)? - first(&before)?) * 1_024 / count as u64)
    };
    println!("bytes per idle session     {}", per_box(&connected)?);
    println!("bytes after a message      {}", per_box(&after)?);
    drop(requests);
    child.wait()?;
    Ok(())
}

fn connector(ca: &IssuingCa, device: DeviceId) -> Outcome<TlsConnector> {
    let key = KeyAndCsr::generate(KeyKind::P256, "box")?;
    let csr = Csr::parse_verified(key.csr_pem())?;
    let issued = ca.issue_device(&csr, device, now(), TimeDelta::days(1), Serial::random()?)?;
    let identity = (
        chain_from_pem(&issued.chain_pem)?,
        key_from_pem(&key.key_pem())?,
    );
    let roots = roots_from_pem(ca.root_pem())?;
    Ok(TlsConnector::from(client_config(
        roots,
        Some(identity),
        Vec::new(),
    )?))
}

/// Connects with MQTT 3.1.1 and subscribes to all of its downlinks.
async fn connect(
    address: SocketAddr,
    connector: TlsConnector,
    device: DeviceId,
) -> Outcome<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    let mut stream = connector.connect(name, tcp).await?;
    let id = device.to_string();
    let filter = format!("devices/{id}/downlink/#");
    let mut bytes = vec![0x10, (12 + id.len()) as u8];
    bytes.extend(b"\x00\x04MQTT\x04\x02\x00\x3c\x00");
    bytes.push(id.len() as u8);
    bytes.extend(id.as_bytes());
    bytes.extend([0x82, (5 + filter.len()) as u8, 0, 1, 0, filter.len() as u8]);
    bytes.extend(filter.as_bytes());
    bytes.push(1);
    stream.write_all(&bytes).await?;
    let mut answers = [0; 9];
    stream.read_exact(&mut answers).await?;
    if answers != [0x20, 2, 0, 0, 0x90, 3, 0, 1, 1] {
        return Err(format!("unexpected answers {answers:?}").into());
    }
    Ok(stream)
}
