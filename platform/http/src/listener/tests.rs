//! Real sockets on loopback, a real CA, clients of rustls and hyper.

use std::net::Ipv4Addr;

use axum::Extension;
use axum::routing::get;
use certs::authority::{FleetCa, InitOptions, IssuingCa};
use certs::csr::{Csr, KeyAndCsr, KeyKind};
use certs::serial::Serial;
use certs::tls::{self, ClientAuth, ServerOptions};
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::{BodyExt, Empty};
use rustls::ClientConfig;
use service::clock::Clock;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use wire::ids::DeviceId;

use super::*;

const H1: &[u8] = b"http/1.1";
const H2: &[u8] = b"h2";

struct Fleet {
    ca: IssuingCa,
    now: DateTime<Utc>,
    _dir: tempfile::TempDir,
}

impl Fleet {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca");
        let now = Clock::system().now() - TimeDelta::minutes(1);
        let options = InitOptions {
            organisation: "Soundbox test".to_owned(),
            root_valid: TimeDelta::days(3650),
            issuing_valid: TimeDelta::days(1825),
        };
        FleetCa::init(&path, now, &options).unwrap();
        Self {
            ca: IssuingCa::load(&path).unwrap(),
            now,
            _dir: dir,
        }
    }

    fn server(&self) -> Arc<ServerConfig> {
        let serial = Serial::random().unwrap();
        let names = ["localhost".to_owned()];
        let issued = self
            .ca
            .issue_server(&names, &[], self.now, TimeDelta::days(30), serial)
            .unwrap();
        tls::server_config(
            tls::chain_from_pem(&issued.certificate.chain_pem).unwrap(),
            tls::key_from_pem(&issued.key_pem).unwrap(),
            ClientAuth::Optional {
                anchors: self.ca.roots(),
                expired_grace: Duration::ZERO,
            },
            ServerOptions {
                alpn: vec![H2.to_vec(), H1.to_vec()],
                resumption: false,
                ..ServerOptions::default()
            },
        )
        .unwrap()
    }

    fn client(&self, device: Option<DeviceId>, alpn: &[u8]) -> Arc<ClientConfig> {
        let identity = device.map(|device| {
            let made = KeyAndCsr::generate(KeyKind::P256, "x").unwrap();
            let csr = Csr::parse_verified(made.csr_pem()).unwrap();
            let serial = Serial::random().unwrap();
            let issued = self
                .ca
                .issue_device(&csr, device, self.now, TimeDelta::days(1), serial)
                .unwrap();
            (
                tls::chain_from_pem(&issued.chain_pem).unwrap(),
                tls::key_from_pem(&made.key_pem()).unwrap(),
            )
        });
        let roots = tls::roots_from_pem(self.ca.root_pem()).unwrap();
        tls::client_config(roots, identity, vec![alpn.to_vec()]).unwrap()
    }
}

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(transport: Transport, router: Router, limits: Limits) -> Server {
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve(listener, transport, router, limits, stop.clone()));
    Server {
        address,
        stop,
        task,
    }
}

fn tls_transport(fleet: &Fleet) -> Transport {
    Transport::Tls(Arc::new(ArcSwap::new(fleet.server())))
}

/// Answers with the device in the client's certificate.
fn who() -> Router {
    Router::new().route(
        "/who",
        get(async |Extension(peer): Extension<Peer>| {
            assert!(peer.address.ip().is_loopback());
            peer.certificate
                .and_then(|identity| identity.device())
                .map_or("nobody".to_owned(), |id| id.to_string())
        }),
    )
}

async fn get_who(server: &Server, config: Arc<ClientConfig>) -> String {
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let stream = TlsConnector::from(config)
        .connect("localhost".try_into().unwrap(), tcp)
        .await
        .unwrap();
    let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let uri = format!("https://localhost:{}/who", server.address.port());
    let request = hyper::Request::get(uri)
        .header("host", "localhost")
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let io = TokioIo::new(stream);
    let response = if protocol.as_deref() == Some(H2) {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn device() -> DeviceId {
    "sbx_0199c0de0000700080000000000000a1".parse().unwrap()
}

#[tokio::test]
async fn a_client_is_known_by_its_certificate_over_both_protocols() {
    let fleet = Fleet::new();
    let server = start(tls_transport(&fleet), who(), Limits::default()).await;
    for alpn in [H1, H2] {
        assert_eq!(get_who(&server, fleet.client(None, alpn)).await, "nobody");
        assert_eq!(
            get_who(&server, fleet.client(Some(device()), alpn)).await,
            device().to_string()
        );
    }
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused() {
    let (fleet, stranger) = (Fleet::new(), Fleet::new());
    let server = start(tls_transport(&fleet), who(), Limits::default()).await;
    // It trusts our server and shows a certificate that our CA did not issue.
    let made = KeyAndCsr::generate(KeyKind::P256, "x").unwrap();
    let csr = Csr::parse_verified(made.csr_pem()).unwrap();
    let serial = Serial::random().unwrap();
    let issued = stranger
        .ca
        .issue_device(&csr, device(), stranger.now, TimeDelta::days(1), serial)
        .unwrap();
    let identity = (
        tls::chain_from_pem(&issued.chain_pem).unwrap(),
        tls::key_from_pem(&made.key_pem()).unwrap(),
    );
    let roots = tls::roots_from_pem(fleet.ca.root_pem()).unwrap();
    let config = tls::client_config(roots, Some(identity), vec![H1.to_vec()]).unwrap();
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let refused = match TlsConnector::from(config)
        .connect("localhost".try_into().unwrap(), tcp)
        .await
    {
        Err(_) => true,
        // In TLS 1.3 the client hears of it with its first read.
        Ok(stream) => {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .unwrap();
            tokio::spawn(connection);
            let request = hyper::Request::get("/who")
                .header("host", "x")
                .body(Empty::<bytes::Bytes>::new())
                .unwrap();
            sender.send_request(request).await.is_err()
        }
    };
    assert!(refused);
}

#[tokio::test]
async fn silent_connections_keep_nobody_waiting() {
    let fleet = Fleet::new();
    let server = start(tls_transport(&fleet), who(), Limits::default()).await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert_eq!(get_who(&server, fleet.client(None, H1)).await, "nobody");
}

#[tokio::test]
async fn silent_connections_are_closed_before_and_after_the_handshake() {
    let fleet = Fleet::new();
    let short = Duration::from_millis(50);
    let limits = Limits {
        handshake: short,
        idle: short,
        closing: short,
        head: Duration::from_secs(60),
        ..Limits::default()
    };
    let server = start(tls_transport(&fleet), who(), limits).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let end = tokio::io::AsyncReadExt::read(&mut silent, &mut [0; 1]).await;
    assert!(matches!(end, Ok(0) | Err(_)));
    let mut slow_limits = limits;
    slow_limits.handshake = Duration::from_secs(60);
    let server = start(tls_transport(&fleet), who(), slow_limits).await;
    for alpn in [H1, H2] {
        let tcp = TcpStream::connect(server.address).await.unwrap();
        let connector = TlsConnector::from(fleet.client(None, alpn));
        let mut stream = connector
            .connect("localhost".try_into().unwrap(), tcp)
            .await
            .unwrap();
        // For HTTP/2 the server's own settings come first; then, in both, the end.
        let mut bytes = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes).await;
    }
}

#[tokio::test]
async fn a_new_certificate_holds_for_new_connections() {
    let (old, new) = (Fleet::new(), Fleet::new());
    let config = Arc::new(ArcSwap::new(old.server()));
    let server = start(
        Transport::Tls(Arc::clone(&config)),
        who(),
        Limits::default(),
    )
    .await;
    assert_eq!(get_who(&server, old.client(None, H1)).await, "nobody");
    config.store(new.server());
    assert_eq!(get_who(&server, new.client(None, H1)).await, "nobody");
}

/// A connection from another machine.
async fn connect_from(last: u8, server: &Server) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket
        .bind((Ipv4Addr::new(127, 0, 0, last), 0).into())
        .unwrap();
    socket.connect(server.address).await.unwrap()
}

async fn send(stream: &mut TcpStream, text: &str) {
    tokio::io::AsyncWriteExt::write_all(stream, text.as_bytes())
        .await
        .unwrap();
}

/// All that comes until the other side closes.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(stream, &mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whether the other side has closed it, without a byte.
async fn is_closed(stream: &mut TcpStream) -> bool {
    read_to_end(stream).await.is_empty()
}

const WHO_AND_CLOSE: &str = "GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

fn four_connections() -> Limits {
    Limits {
        connections_max: 4,
        // No time limit ends anything here: what ends, ends to make room.
        handshake: Duration::from_secs(600),
        head: Duration::from_secs(600),
        idle: Duration::from_secs(600),
        ..Limits::default()
    }
}

#[tokio::test]
async fn whoever_fills_the_connections_with_nothing_makes_room_for_the_others() {
    let fleet = Fleet::new();
    for transport in [Transport::Plain, tls_transport(&fleet)] {
        let is_plain = matches!(transport, Transport::Plain);
        let server = start(transport, uploads(), four_connections()).await;
        // Silent; half a head; half a body; a request that was answered, and then nothing.
        let mut hogs = Vec::new();
        let halves = [
            "",
            "GET /who HTTP/1.1\r\nx: ",
            "POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf",
            "GET /who HTTP/1.1\r\nhost: x\r\n\r\n",
        ];
        for half in halves {
            let mut hog = connect_from(2, &server).await;
            if is_plain {
                send(&mut hog, half).await;
            }
            if half.ends_with("\r\n\r\n") && is_plain {
                let _ = tokio::io::AsyncReadExt::read(&mut hog, &mut [0; 512])
                    .await
                    .unwrap();
            }
            hogs.push(hog);
        }
        // Its own address gets no more: what it holds is as much as anybody has.
        let mut more = connect_from(2, &server).await;
        assert!(is_closed(&mut more).await);
        // Others come in, one after the other and at once; the oldest of the address with the most goes.
        let mut others = Vec::new();
        for (hog, last) in hogs[..2].iter_mut().zip([3, 4]) {
            let mut other = connect_from(last, &server).await;
            assert!(is_closed(hog).await, "it made no room");
            if is_plain {
                send(&mut other, WHO_AND_CLOSE).await;
                assert!(read_to_end(&mut other).await.ends_with("nobody"));
                // Fills the place that it leaves.
                others.push(connect_from(last, &server).await);
            } else {
                others.push(other);
            }
        }
    }
}

#[tokio::test]
async fn a_connection_on_which_something_is_being_done_or_somebody_is_known_is_kept() {
    let (router, when_reached, let_go) = gate();
    let router = router.merge(uploads()).route(
        "/known",
        get(async |Extension(peer): Extension<Peer>| peer.standing.authenticated()),
    );
    let server = start(Transport::Plain, router, four_connections()).await;
    // One is waiting for its answer, one has sent a whole body, two are known.
    let mut kept = Vec::new();
    for request in [
        "GET /gate HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "GET /known HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /known HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /known HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        let mut stream = connect_from(2, &server).await;
        send(&mut stream, request).await;
        if request.contains("known") {
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 512])
                .await
                .unwrap();
        }
        kept.push(stream);
    }
    when_reached.await.unwrap();
    let mut other = connect_from(3, &server).await;
    assert!(is_closed(&mut other).await, "there is nobody to make room");
    for stream in &mut kept[1..] {
        send(stream, WHO_AND_CLOSE).await;
        assert!(read_to_end(stream).await.ends_with("nobody"));
    }
    let_go.cancel();
    assert!(read_to_end(&mut kept[0]).await.ends_with("done"));
}

#[tokio::test]
async fn one_address_has_its_share_of_connections_and_of_new_ones() {
    let limits = Limits {
        connections_per_address_max: 2,
        ..Limits::default()
    };
    let server = start(Transport::Plain, who(), limits).await;
    let mut held = vec![
        connect_from(2, &server).await,
        connect_from(2, &server).await,
    ];
    for _ in 0..3 {
        assert!(is_closed(&mut connect_from(2, &server).await).await);
    }
    let mut other = connect_from(3, &server).await;
    send(&mut other, WHO_AND_CLOSE).await;
    assert!(read_to_end(&mut other).await.ends_with("nobody"));
    for stream in &mut held {
        send(stream, WHO_AND_CLOSE).await;
        assert!(read_to_end(stream).await.ends_with("nobody"));
    }
    let limits = Limits {
        accepts_per_address_per_s: 1,
        ..Limits::default()
    };
    let server = start(Transport::Plain, who(), limits).await;
    let mut closed = 0;
    for _ in 0..50 {
        let mut stream = connect_from(2, &server).await;
        // One that is already closed may take the request or not.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, WHO_AND_CLOSE.as_bytes()).await;
        closed += usize::from(is_closed(&mut stream).await);
    }
    assert!(closed > 0, "none of 50 was too fast");
    let mut other = connect_from(3, &server).await;
    send(&mut other, WHO_AND_CLOSE).await;
    assert!(read_to_end(&mut other).await.ends_with("nobody"));
}

#[tokio::test]
async fn a_head_of_more_than_sixteen_kib_is_refused_by_both_protocols() {
    let fleet = Fleet::new();
    for alpn in [H1, H2] {
        let server = start(tls_transport(&fleet), who(), Limits::default()).await;
        for (length, expected) in [(12_000, 200), (17_000, 431), (60_000, 431)] {
            let stream = TlsConnector::from(fleet.client(None, alpn))
                .connect(
                    "localhost".try_into().unwrap(),
                    TcpStream::connect(server.address).await.unwrap(),
                )
                .await
                .unwrap();
            let request = hyper::Request::get("https://localhost/who")
                .header("host", "localhost")
                .header("x-noise", "n".repeat(length))
                .body(Empty::<bytes::Bytes>::new())
                .unwrap();
            let io = TokioIo::new(stream);
            let status = if alpn == H2 {
                let (mut sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                        .await
                        .unwrap();
                tokio::spawn(connection);
                sender.send_request(request).await.unwrap().status()
            } else {
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(io).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request).await.unwrap().status()
            };
            assert_eq!(status.as_u16(), expected, "{length} bytes, {alpn:?}");
        }
    }
}

/// Takes bodies, and tells who asks.
fn uploads() -> Router {
    who().route(
        "/upload",
        axum::routing::post(async |body: axum::body::Bytes| body.len().to_string()),
    )
}

/// A route that says when it was reached and answers when it is let go.
fn gate() -> (Router, oneshot::Receiver<()>, CancellationToken) {
    let (reached, when_reached) = oneshot::channel();
    let reached = Arc::new(std::sync::Mutex::new(Some(reached)));
    let let_go = CancellationToken::new();
    let router = Router::new().route(
        "/gate",
        get({
            let let_go = let_go.clone();
            async move || {
                if let Some(reached) = reached.lock().unwrap().take() {
                    reached.send(()).unwrap();
                }
                let_go.cancelled().await;
                "done"
            }
        }),
    );
    (router, when_reached, let_go)
}

async fn ask_gate(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /gate HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    let _ = tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await;
    answer
}

#[tokio::test]
async fn stopping_finishes_the_request_in_hand() {
    let (router, when_reached, let_go) = gate();
    let server = start(Transport::Plain, router, Limits::default()).await;
    let answer = tokio::spawn(ask_gate(server.address));
    when_reached.await.unwrap();
    server.stop.cancel();
    let_go.cancel();
    assert!(answer.await.unwrap().ends_with("done"));
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let (router, when_reached, _never) = gate();
    let limits = Limits {
        shutdown: Duration::from_millis(20),
        ..Limits::default()
    };
    let server = start(Transport::Plain, router, limits).await;
    let answer = tokio::spawn(ask_gate(server.address));
    when_reached.await.unwrap();
    server.stop.cancel();
    server.task.await.unwrap();
    assert_eq!(answer.await.unwrap(), "");
}
