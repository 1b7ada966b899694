//! The two versions of MQTT behind one set of packets.
//!
//! A [`Frame`] is read as a [`Packet`]; sessions write packets with the functions of [`Protocol`]. The version is set
//! once, by the protocol level of CONNECT.
//!
//! | file | contents |
//! |---|---|
//! | `connect` | CONNECT and its answer |
//! | `read` | frames to packets |
//! | `write` | packets to bytes |
//!
//! rumqttd's codecs read the packets with strings and properties (CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE) and write
//! the v5 CONNACK. The others have a few fixed bytes each and are read and written here, because the codec hides a
//! PUBLISH's packet identifier, writes a v5 DISCONNECT without properties one byte too long, and does not read one that
//! is only a reason code.

mod connect;
mod read;
mod write;

use bytes::Bytes;
use rumqttd::protocol::v4::V4;
use rumqttd::protocol::v5::V5;
use rumqttd::protocol::{Packet as Decoded, Protocol as Codec};

pub(crate) use connect::{
    Connect, ConnectError, ConnectRefusal, Terms, Will, read_connect, write_refusal,
};

use crate::frame::Frame;
use crate::host::{EndReason, ProtocolVersion};

/// Names and values that a v5 client adds to a message for its receivers.
pub(crate) type UserProperties = Vec<(String, String)>;

/// The packets that a client may send after CONNECT.
#[derive(Debug)]
pub(crate) enum Packet {
    Publish(Publish),
    PubAck {
        packet_id: u16,
    },
    Subscribe {
        packet_id: u16,
        filters: Vec<(String, u8)>,
    },
    Unsubscribe {
        packet_id: u16,
        filters: Vec<String>,
    },
    PingReq,
    Disconnect {
        /// v5, reason code 0x04: the will is to be published.
        with_will: bool,
        /// v5: the new session expiry interval.
        session_expiry_s: Option<u32>,
    },
}

/// A message from a client.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// 0 when the quality of service is 0.
    pub(crate) packet_id: u16,
    /// v5.
    pub(crate) user_properties: UserProperties,
}

/// A message to a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) dup: bool,
    /// `None`: quality of service 0.
    pub(crate) packet_id: Option<u16>,
    /// v5: Message Expiry Interval.
    pub(crate) expires_s: Option<u32>,
    /// v5.
    pub(crate) user_properties: &'a [(String, String)],
}

/// The answer to one filter of a SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Granted {
    /// Granted, with this quality of service.
    Quality(u8),
    NotAuthorized,
    QuotaExceeded,
}

/// Bytes that break the rules of MQTT, with the v5 reason code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) code: u8,
}

const MALFORMED: Violation = Violation { code: 0x81 };
const PROTOCOL_ERROR: Violation = Violation { code: 0x82 };

/// The MQTT version of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Protocol(pub(crate) ProtocolVersion);

impl Protocol {
    fn v5(self) -> bool {
        self.0 == ProtocolVersion::V5
    }
}

/// The reason code "Use another server" (MQTT 5.0 section 3.14.2.1).
pub(crate) const USE_ANOTHER_SERVER: u8 = 0x9c;

/// The v5 reason code of a server's DISCONNECT, or `None` where none is sent.
pub(crate) fn disconnect_code(reason: EndReason) -> Option<u8> {
    Some(match reason {
        EndReason::Disconnected | EndReason::ConnectionLost | EndReason::WriteStalled => {
            return None;
        }
        EndReason::KeepAliveTimeout => 0x8d,
        EndReason::TakenOver => 0x8e,
        EndReason::Revoked | EndReason::NotAuthorized => 0x87,
        EndReason::Administrative => 0x98,
        EndReason::ProtocolError => 0x82,
        EndReason::PacketTooLarge => 0x95,
        EndReason::QosNotSupported => 0x9b,
        EndReason::RetainNotSupported => 0x9a,
        EndReason::TooManyUnacknowledged => 0x93,
        EndReason::Unavailable => 0x88,
        EndReason::ShuttingDown => 0x8b,
        EndReason::ServerMoved | EndReason::LeaseLost => USE_ANOTHER_SERVER,
    })
}

fn decode(version: ProtocolVersion, frame: Frame) -> Result<Decoded, Violation> {
    let mut bytes = frame.bytes;
    // The frame is complete and its size is within the limit, so the codec's own limit is not needed.
    match version {
        ProtocolVersion::V311 => V4.read_mut(&mut bytes, usize::MAX),
        ProtocolVersion::V5 => V5.read_mut(&mut bytes, usize::MAX),
    }
    .map_err(|_| MALFORMED)
}

/// Whether a RETAIN flag is a request that must be refused. Nothing is retained here, as CONNACK says in version 5
/// (Retain Available). Version 3.1.1 has no such property, and old clients set the flag on every message: it is ignored
/// there, and the message is delivered as not retained.
fn retain(version: ProtocolVersion, flag: bool) -> bool {
    flag && version == ProtocolVersion::V5
}

fn utf8(bytes: &[u8]) -> Result<String, Violation> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::write::write_length;

    pub(super) const V311: Protocol = Protocol(ProtocolVersion::V311);
    pub(super) const V5: Protocol = Protocol(ProtocolVersion::V5);

    pub(super) fn frame(bytes: &[u8]) -> Frame {
        Frame::take(&mut BytesMut::from(bytes), usize::MAX)
            .unwrap()
            .unwrap()
    }

    pub(super) fn publish(
        packet_id: Option<u16>,
        expires_s: Option<u32>,
        dup: bool,
    ) -> Outgoing<'static> {
        Outgoing {
            topic: b"a/b",
            payload: b"hello",
            dup,
            packet_id,
            expires_s,
            user_properties: &[],
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_body_of_any_packet_makes_a_reader_panic(
            first in prop::sample::select(vec![0x10_u8, 0x30, 0x32, 0x34, 0x3b, 0x40, 0x82, 0xa2, 0xe0]),
            prefix in prop::sample::select(vec![&b""[..], b"\x00\x04MQTT\x04", b"\x00\x04MQTT\x05", b"\x00\x01a\x00\x01", b"\x00\x01"]),
            body in prop::collection::vec(any::<u8>(), 0..120),
        ) {
            let mut bytes = BytesMut::from(&[first][..]);
            write_length(&mut bytes, prefix.len() + body.len());
            bytes.extend_from_slice(prefix);
            bytes.extend_from_slice(&body);
            if let Ok(Some(frame)) = Frame::take(&mut bytes, usize::MAX) {
                let _ = V311.read(frame.clone());
                let _ = V5.read(frame.clone());
                let _ = read_connect(frame);
            }
        }

        /// Properties with wrong lengths: the loops of the codec must stay within the packet.
        #[test]
        fn wrong_lengths_of_v5_properties_do_not_panic(
            first in prop::sample::select(vec![0x30_u8, 0x82, 0xa2, 0xe0]),
            head in prop::sample::select(vec![&b"\x00\x01a"[..], b"\x00\x01", b"\x00"]),
            properties_len in 0_u8..=255,
            ids in prop::collection::vec((prop::sample::select(vec![1_u8, 2, 3, 8, 9, 11, 17, 31, 35, 38, 77]), prop::collection::vec(any::<u8>(), 0..9)), 0..6),
        ) {
            let mut body = head.to_vec();
            body.push(properties_len);
            for (id, value) in ids {
                body.push(id);
                body.extend(value);
            }
            let mut bytes = BytesMut::from(&[first][..]);
            write_length(&mut bytes, body.len());
            bytes.extend_from_slice(&body);
            if let Ok(Some(frame)) = Frame::take(&mut bytes, usize::MAX) {
                let _ = V5.read(frame);
            }
        }
    }
}
