//! TLS for boxes in the field: small records, certificate requests of other tools, RSA keys.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use certs::csr::{KeyAndCsr, KeyKind};
use certs::tls::RECORD_BYTES_MAX;
use platform::config::Switch;
use tests::connection::ConnectOptions;
use tests::prelude::*;
use tests::soundbox::{connect, visit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wire::DownlinkFilter;

/// A relay in front of a server, which keeps what the server sends on each connection.
struct Relay {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Relay {
    async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = {
                    let mut kept = kept.lock().unwrap();
                    kept.push(Vec::new());
                    kept.len() - 1
                };
                let server = TcpStream::connect(server).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
                });
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let mut buffer = vec![0; 16 * 1024];
                    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                        kept.lock().unwrap()[number].extend_from_slice(&buffer[..count]);
                        if to_client.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, sent }
    }

    /// The lengths of all whole records that the server sent, with their headers of 5 bytes.
    fn records(&self) -> Vec<usize> {
        let mut lengths = Vec::new();
        for mut bytes in self.sent.lock().unwrap().iter().map(Vec::as_slice) {
            while let [_, _, _, high, low, ..] = bytes {
                let length = 5 + usize::from(u16::from_be_bytes([*high, *low]));
                lengths.push(length);
                bytes = bytes.get(length..).unwrap_or_default();
            }
        }
        lengths
    }
}

#[tokio::test]
async fn a_box_with_a_buffer_of_4_kib_hears_six_payments_at_once_and_reads_long_answers() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Kopi Fajar", 1).await;
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    for amount in 1..=6 {
        credentials.sell(&world, amount * 1_000).await;
    }
    let mqtt = Relay::before(world.mqtt()).await;
    let mut connection = Connection::open(ConnectOptions {
        address: mqtt.address,
        client_id: &credentials.device_id.to_string(),
        clean: false,
        tls: credentials.tls(),
    })
    .await
    .unwrap();
    let payments = DownlinkFilter::Exact(wire::Channel::PaymentSuccess);
    let filter = payments.for_device(credentials.device_id);
    connection.subscribe(&filter).await;
    for _ in 0..6 {
        let publish = connection.receive().await;
        connection.confirm(&publish).await;
    }
    connection.disconnect().await;

    let https = Relay::before(world.app().http_addr()).await;
    let url = format!("https://localhost:{}", https.address.port());
    let by_certificate =
        Api::with_tls(&url, rustls::ClientConfig::clone(&credentials.tls())).unchecked();
    let answer = by_certificate.get("/openapi.json").await.expect(200);
    assert!(answer.body.len() > 10 * RECORD_BYTES_MAX);

    for (name, relay) in [("MQTT", mqtt), ("HTTPS", https)] {
        let records = relay.records();
        let largest = *records.iter().max().unwrap();
        assert!(largest <= RECORD_BYTES_MAX, "{name}: {largest}");
    }
}

#[tokio::test]
async fn certificate_requests_of_other_tools_are_taken() {
    let world = World::new().await;
    let registered = register(&world).await;
    for pem in [
        include_str!("../../../certs/tests/csr/p256_newhdr.pem"),
        include_str!("../../../certs/tests/csr/p256_text.pem"),
        include_str!("../../../certs/tests/csr/p256_sha384.pem"),
        include_str!("../../../certs/tests/csr/p256_sha512.pem"),
    ] {
        for pem in [pem.to_owned(), pem.replace('\n', " \r\n")] {
            // All are of one key, so the code may be used again.
            let code = &registered.activation_code;
            let answer = registered.ask(&world, code, &pem, json!({})).await;
            let _ = answer.expect(200);
        }
    }
}

#[tokio::test]
async fn a_box_with_an_rsa_key_works_where_the_configuration_allows_it() {
    let mut world = World::with(|config| config.pki.rsa_device_keys = Switch::On).await;
    let registered = register(&world).await;
    let key = KeyAndCsr::generate(KeyKind::Rsa, "modem").unwrap();
    let code = &registered.activation_code;
    let credentials = registered.activate_with(&world, code, &key).await;
    visit(&world, &credentials).await;
    let config = credentials.api_by_certificate(&world);
    config.read("/device/config").await;
    let short = include_str!("../../../certs/tests/csr/rsa1024.pem");
    let answer = registered.ask(&world, code, short, json!({})).await;
    answer.refused(VALIDATION_FAILED);
    assert!(answer.to_string().contains("2048 to 4096"), "{answer}");

    // Switched off, such keys are neither certified nor admitted.
    world.stop().await;
    world.reconfigure(|config| config.pki.rsa_device_keys = Switch::Off);
    world.start().await;
    let other = register(&world).await;
    let answer = other.try_code(&world, &other.activation_code, &key).await;
    answer.refused(VALIDATION_FAILED);
    let key = "pki.rsa_device_keys";
    assert!(answer.to_string().contains(key), "{answer}");
    assert!(connect(&world, &credentials, true).await.is_err());
    // The refusal did not use up the code: with an accepted key it works.
    let credentials = other.activate(&world, wire::Encoding::Json).await;
    visit(&world, &credentials).await;
}
