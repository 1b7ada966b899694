//! Unfinished bodies of one address take no memory from the others.

use std::sync::Arc;
use tests::prelude::*;

use certs::tls::{client_config, roots_from_pem};
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const BODY: usize = 64 * 1024;

type Connection = TlsStream<tokio::net::TcpStream>;

/// A callback of which all but the last byte is sent, from another machine.
async fn hold_back(world: &World, last: u8) -> Connection {
    let roots = roots_from_pem(world.app().root_pem()).unwrap();
    let tls = client_config(roots, None, vec![b"http/1.1".to_vec()]).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, last], 0).into()).unwrap();
    let to = ([127, 0, 0, 1], world.app().http_addr().port()).into();
    let stream = socket.connect(to).await.unwrap();
    let mut stream = TlsConnector::from(Arc::clone(&tls))
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .unwrap();
    let head = format!(
        "POST /integrations/qris/callback HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {BODY}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // It may be refused in the middle.
    let _ = stream.write_all(&vec![b'x'; BODY - 1]).await;
    let _ = stream.flush().await;
    stream
}

async fn answer(mut stream: Connection) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn unfinished_bodies_are_bounded_in_all_and_shared_out_among_addresses() {
    let world = World::with(|config| {
        config.http.body_bytes_in_flight_max = 1 << 20;
        config.http.body_bytes_max = 1 << 18;
    })
    .await;
    // 2 MiB of bodies for a budget of 1 MiB, of which one address gets half.
    let mut held = Vec::new();
    for _ in 0..32 {
        held.push(hold_back(&world, 2).await);
    }
    let refused = format!("http://{}/metrics", world.app().metrics_addr());
    eventually("refused bodies", || async {
        let numbers = reqwest::get(&refused).await.unwrap().text().await.unwrap();
        let count = numbers
            .lines()
            .find_map(|line| line.strip_prefix("http_bodies_refused_total "))?;
        (count.parse::<u32>().unwrap() >= 16).then_some(())
    })
    .await;
    // Another address sends whole bodies meanwhile.
    for _ in 0..3 {
        let other = world.anonymous_from([127, 0, 0, 3]);
        let body = Some(vec![b'x'; BODY]);
        let sent = other
            .call(Method::POST, "/integrations/qris/callback", &[], body)
            .await;
        sent.refused(INVALID_SIGNATURE);
    }
    let mut outcomes = [0, 0];
    for mut stream in held {
        let _ = stream.write_all(b"x").await;
        let _ = stream.flush().await;
        let text = answer(stream).await;
        if text.starts_with("HTTP/1.1 503") {
            assert!(
                text.contains("retry-after: ") && text.contains("\"UNAVAILABLE\""),
                "{text}"
            );
            outcomes[0] += 1;
        } else if text.starts_with("HTTP/1.1 401") {
            outcomes[1] += 1;
        }
    }
    assert!(
        outcomes[1] >= 7,
        "half a mebibyte is seven whole ones: {outcomes:?}"
    );
    // The budget is free again.
    let again = hold_back(&world, 2).await;
    let mut again = again;
    again.write_all(b"x").await.unwrap();
    assert!(answer(again).await.starts_with("HTTP/1.1 401"));
}
