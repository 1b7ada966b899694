//! What small TLS records cost: the throughput of one TLS 1.3 connection, server to client, with the records that boxes
//! are sent ([`certs::tls::RECORD_BYTES_MAX`]) against the largest that TLS allows (16 KiB).
//!
//! Both ends run in one thread over memory, so what is measured is the cost of the records and nothing that hides it.
//! Each figure is the median of rounds in which the two sizes take turns.
//!
//! `cargo run --release -p certs --example record_size`

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use certs::authority::{FleetCa, InitOptions, IssuingCa};
use certs::csr::RsaKeys;
use certs::serial::Serial;
use certs::tls::{
    ClientAuth, RECORD_BYTES_MAX, ServerOptions, chain_from_pem, client_config, key_from_pem,
    roots_from_pem, server_config,
};
use chrono::{TimeDelta, Utc};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

/// Sizes of messages: a payment, a configuration, a full record, much at once.
const MESSAGES: [usize; 4] = [700, 2_048, 4_096, 65_536];
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(100);

fn main() -> anyhow::Result<()> {
    let (small, client) = configs()?;
    let mut large = ServerConfig::clone(&small);
    large.max_fragment_size = None;
    let large = Arc::new(large);
    println!("message    {RECORD_BYTES_MAX}-byte records    16 KiB records    ratio");
    for size in MESSAGES {
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (rates, config) in rates.iter_mut().zip([&small, &large]) {
                rates.push(bytes_per_s(config, &client, size)? / 1_000_000);
            }
        }
        let [small, large] = rates.map(|mut rates| {
            rates.sort_unstable();
            rates[ROUNDS / 2]
        });
        let percent = small * 100 / large.max(1);
        println!("{size:>7}    {small:>13} MB/s    {large:>9} MB/s    {percent:>3} %");
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "certificates that are valid now, for a connection of now"
)]
fn configs() -> anyhow::Result<(Arc<ServerConfig>, Arc<ClientConfig>)> {
    let dir = tempfile::tempdir()?;
    let now = Utc::now();
    FleetCa::init(dir.path(), now, &InitOptions::default())?;
    let ca = IssuingCa::load(dir.path())?;
    let issued = ca.issue_server(
        &["localhost".to_owned()],
        &[],
        now,
        TimeDelta::days(1),
        Serial::random()?,
    )?;
    let roots = roots_from_pem(ca.root_pem())?;
    let options = ServerOptions {
        alpn: Vec::new(),
        resumption: false,
        rsa_keys: RsaKeys::Refused,
    };
    let server = server_config(
        chain_from_pem(&issued.certificate.chain_pem)?,
        key_from_pem(&issued.key_pem)?,
        ClientAuth::Optional {
            anchors: Arc::clone(&roots),
            expired_grace: Duration::ZERO,
        },
        options,
    )?;
    Ok((server, client_config(roots, None, Vec::new())?))
}

/// Sends messages of `size` bytes for one round.
fn bytes_per_s(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    size: usize,
) -> anyhow::Result<u64> {
    let mut server = ServerConnection::new(Arc::clone(server))?;
    server.set_buffer_limit(None);
    let mut client = ClientConnection::new(Arc::clone(client), "localhost".try_into()?)?;
    let mut wire = Vec::with_capacity(2 * size + 16_384);
    while client.is_handshaking() || server.is_handshaking() {
        carry(|wire| client.write_tls(wire), &mut wire)?;
        server.read_tls(&mut wire.as_slice())?;
        server.process_new_packets()?;
        carry(|wire| server.write_tls(wire), &mut wire)?;
        client.read_tls(&mut wire.as_slice())?;
        client.process_new_packets()?;
    }
    let message = vec![b'.'; size];
    let mut received = vec![0; size];
    let (begin, mut bytes) = (Instant::now(), 0);
    while begin.elapsed() < ROUND {
        server.writer().write_all(&message)?;
        carry(|wire| server.write_tls(wire), &mut wire)?;
        let mut rest = wire.as_slice();
        let mut missing = size;
        while missing > 0 {
            client.read_tls(&mut rest)?;
            client.process_new_packets()?;
            while let Ok(read @ 1..) = client.reader().read(&mut received) {
                missing = missing.checked_sub(read).context("more than was sent")?;
            }
        }
        bytes += u64::try_from(size)?;
    }
    let elapsed_us = u64::try_from(begin.elapsed().as_micros())?;
    Ok(bytes * 1_000_000 / elapsed_us)
}

/// Collects all that an end has to send.
fn carry(
    mut write: impl FnMut(&mut Vec<u8>) -> std::io::Result<usize>,
    wire: &mut Vec<u8>,
) -> std::io::Result<()> {
    wire.clear();
    while write(wire)? > 0 {}
    Ok(())
}
