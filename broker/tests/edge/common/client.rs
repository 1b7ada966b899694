//! A client that sends given bytes and reads packets one by one. It shares no code with the edge.

use std::io;
use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wire::DeviceId;

use super::fleet::Credentials;
use super::within;

/// A socket, with TLS or without.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug> Socket for S {}

#[derive(Debug)]
pub(crate) struct Client {
    stream: Box<dyn Socket>,
}

/// A packet as the server sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) first: u8,
    pub(crate) body: Vec<u8>,
}

/// A PUBLISH of version 3.1.1, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) topic: String,
    pub(crate) text: String,
    pub(crate) dup: bool,
    pub(crate) id: Option<u16>,
}

impl Client {
    pub(crate) async fn dial(address: SocketAddr, credentials: &Credentials) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(credentials.tls.clone());
        let stream = connector.connect(name, tcp).await?;
        Ok(Self {
            stream: Box::new(stream),
        })
    }

    /// A connection without TLS.
    pub(crate) async fn dial_plain(address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(Self {
            stream: Box::new(tcp),
        })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Closes the sending side, and waits until the server has closed its side too.
    pub(crate) async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
        while self.next().await.is_some() {}
    }

    /// The next packet; `None` when the server has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Packet> {
        within("a packet or the end of the connection", self.read())
            .await
            .ok()
    }

    async fn read(&mut self) -> io::Result<Packet> {
        let first = self.stream.read_u8().await?;
        let (mut len, mut shift) = (0_usize, 0);
        loop {
            let byte = self.stream.read_u8().await?;
            len |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body).await?;
        Ok(Packet { first, body })
    }

    /// Expects exactly this packet.
    pub(crate) async fn expect(&mut self, first: u8, body: &[u8]) {
        let expected = Packet {
            first,
            body: body.to_vec(),
        };
        assert_eq!(self.next().await, Some(expected));
    }

    /// Expects the server to close the connection without another packet.
    pub(crate) async fn expect_closed(&mut self) {
        assert_eq!(self.next().await, None);
    }

    /// Sends CONNECT of version 3.1.1 with a clean session.
    pub(crate) async fn send_connect(&mut self, device: DeviceId) {
        self.send(&connect(&device.to_string(), true, 60, None))
            .await;
    }

    /// Sends PUBLISH of version 3.1.1.
    pub(crate) async fn publish(&mut self, flags: u8, topic: &str, id: u16, payload: &[u8]) {
        self.send(&publish(flags, topic, id, payload)).await;
    }

    /// CONNECT of version 3.1.1. Returns whether a session was present.
    pub(crate) async fn connect(&mut self, device: DeviceId, clean: bool) -> bool {
        self.send(&connect(&device.to_string(), clean, 60, None))
            .await;
        let connack = self.next().await.expect("CONNACK");
        assert_eq!((connack.first, connack.body[1]), (0x20, 0));
        connack.body[0] == 1
    }

    pub(crate) async fn subscribe_all(&mut self, device: DeviceId) {
        self.send(&subscribe(
            1,
            &[(&format!("devices/{device}/downlink/#"), 1)],
        ))
        .await;
        self.expect(0x90, &[0, 1, 1]).await;
    }

    /// Expects a PUBLISH of version 3.1.1.
    pub(crate) async fn receive(&mut self) -> Received {
        Received::read(&self.next().await.expect("a PUBLISH"))
    }

    /// Waits for a PUBLISH of version 3.1.1 without a timeout. `None`: the connection has ended.
    pub(crate) async fn next_publish(&mut self) -> Option<Received> {
        let packet = self.read().await.ok()?;
        Some(Received::read(&packet))
    }

    /// Reads exactly one byte.
    pub(crate) async fn read_a_byte(&mut self) -> io::Result<u8> {
        self.stream.read_u8().await
    }

    /// Receives a message and acknowledges it.
    pub(crate) async fn receive_and_acknowledge(&mut self) -> String {
        let received = self.receive().await;
        self.send(&puback(received.id.expect("quality 1"))).await;
        received.text
    }

    pub(crate) async fn ping(&mut self) {
        self.send(&[0xc0, 0]).await;
        self.expect(0xd0, &[]).await;
    }

    /// Closes the socket without a DISCONNECT.
    pub(crate) fn drop_connection(self) {
        drop(self);
    }
}

impl Received {
    fn read(packet: &Packet) -> Self {
        assert_eq!(packet.first >> 4, 3, "{packet:?}");
        let qos = packet.first >> 1 & 3;
        let topic_len = usize::from(u16::from_be_bytes([packet.body[0], packet.body[1]]));
        let (topic, rest) = packet.body[2..].split_at(topic_len);
        let (id, payload) = match qos {
            0 => (None, rest),
            _ => (Some(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
        };
        Self {
            topic: String::from_utf8(topic.to_vec()).unwrap(),
            text: String::from_utf8(payload.to_vec()).unwrap(),
            dup: packet.first & 8 != 0,
            id,
        }
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    out.extend(bytes);
    out
}

/// A packet with its fixed header.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut len = body.len();
    loop {
        let low = (len & 0x7f) as u8;
        len >>= 7;
        if len == 0 {
            out.push(low);
            break;
        }
        out.push(low | 0x80);
    }
    out.extend(body);
    out
}

/// A will: topic, message, and its bits of the connect flags.
pub(crate) type Will<'a> = (&'a str, &'a [u8], u8);

/// The will flag with quality 1.
pub(crate) const WILL_QOS_1: u8 = 0x0c;

pub(crate) fn connect(
    client_id: &str,
    clean: bool,
    keep_alive_s: u16,
    will: Option<Will<'_>>,
) -> Vec<u8> {
    connect_raw(4, client_id.as_bytes(), clean, keep_alive_s, None, will)
}

/// `properties`: those of version 5, with their length.
pub(crate) fn connect_v5(client_id: &str, clean: bool, properties: &[u8]) -> Vec<u8> {
    connect_raw(5, client_id.as_bytes(), clean, 60, Some(properties), None)
}

pub(crate) fn connect_raw(
    level: u8,
    client_id: &[u8],
    clean: bool,
    keep_alive_s: u16,
    properties: Option<&[u8]>,
    will: Option<Will<'_>>,
) -> Vec<u8> {
    let mut body = string(b"MQTT");
    let flags = u8::from(clean) << 1 | will.map_or(0, |(_, _, flags)| flags);
    body.extend([level, flags]);
    body.extend(keep_alive_s.to_be_bytes());
    if let Some(properties) = properties {
        body.push(u8::try_from(properties.len()).unwrap());
        body.extend(properties);
    }
    body.extend(string(client_id));
    if let Some((topic, message, _)) = will {
        if properties.is_some() {
            body.push(0);
        }
        body.extend(string(topic.as_bytes()));
        body.extend(string(message));
    }
    packet(0x10, &body)
}

/// CONNECT with user name and password, with a persistent session. `v5`: of version 5.
pub(crate) fn connect_login(
    v5: bool,
    client_id: &str,
    user_name: &str,
    password: &[u8],
    will: Option<Will<'_>>,
) -> Vec<u8> {
    let mut body = string(b"MQTT");
    let will_flags = will.map_or(0, |(_, _, flags)| flags);
    body.extend([if v5 { 5 } else { 4 }, 0xc0 | will_flags]);
    body.extend(60_u16.to_be_bytes());
    if v5 {
        body.push(0);
    }
    body.extend(string(client_id.as_bytes()));
    if let Some((topic, message, _)) = will {
        if v5 {
            body.push(0);
        }
        body.extend(string(topic.as_bytes()));
        body.extend(string(message));
    }
    body.extend(string(user_name.as_bytes()));
    body.extend(string(password));
    packet(0x10, &body)
}

pub(crate) fn subscribe(id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    for (filter, qos) in filters {
        body.extend(string(filter.as_bytes()));
        body.push(*qos);
    }
    packet(0x82, &body)
}

pub(crate) fn unsubscribe(id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    for filter in filters {
        body.extend(string(filter.as_bytes()));
    }
    packet(0xa2, &body)
}

/// Inserts an empty set of properties after the packet identifier: SUBSCRIBE and UNSUBSCRIBE of version 5.
pub(crate) fn v5(packet_v311: &[u8]) -> Vec<u8> {
    let length_len = 1 + packet_v311[1..]
        .iter()
        .position(|byte| byte & 0x80 == 0)
        .expect("a length");
    let mut body = packet_v311[1 + length_len..].to_vec();
    body.insert(2, 0);
    packet(packet_v311[0], &body)
}

/// `flags`: the low bits of the first byte. The identifier is written when their quality is above 0.
pub(crate) fn publish(flags: u8, topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    publish_raw(flags, topic.as_bytes(), id, None, payload)
}

pub(crate) fn publish_v5(flags: u8, topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    publish_raw(flags, topic.as_bytes(), id, Some(&[]), payload)
}

pub(crate) fn publish_raw(
    flags: u8,
    topic: &[u8],
    id: u16,
    properties: Option<&[u8]>,
    payload: &[u8],
) -> Vec<u8> {
    let mut body = string(topic);
    if flags & 0b0110 != 0 {
        body.extend(id.to_be_bytes());
    }
    if let Some(properties) = properties {
        body.push(u8::try_from(properties.len()).unwrap());
        body.extend(properties);
    }
    body.extend(payload);
    packet(0x30 | flags, &body)
}

pub(crate) fn puback(id: u16) -> Vec<u8> {
    packet(0x40, &id.to_be_bytes())
}
