//! The two versions of MQTT behind one set of packets.
//!
//! A [`Frame`] becomes a [`Packet`] and the session matches on it; what the session says goes out through the
//! functions of [`Protocol`]. The version is chosen once, by the protocol level of CONNECT.
//!
//! rumqttd's codecs read what has strings and properties (CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE) and write the v5
//! CONNACK. The rest is a few fixed bytes each and is done here: the codec hides a PUBLISH's packet identifier, writes
//! a v5 DISCONNECT without properties one byte too long, and does not read one that is only a reason code.

use bytes::{BufMut, Bytes, BytesMut};
use rumqttd::protocol::v4::V4;
use rumqttd::protocol::v5::V5;
use rumqttd::protocol::{
    ConnAck, ConnAckProperties, ConnectReturnCode, Packet as Decoded, Protocol as Codec,
};

use crate::frame::{Frame, Kind};
use crate::host::{EndReason, ProtocolVersion};

/// The first packet of a connection.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) version: ProtocolVersion,
    pub(crate) client_id: String,
    /// v5: Clean Start.
    pub(crate) clean_session: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) will: Option<Will>,
    /// As asked for; for v3.1.1 0 or [`u32::MAX`].
    pub(crate) session_expiry_s: u32,
    /// How many unacknowledged PUBLISH the box takes at a time.
    pub(crate) receive_maximum: u16,
    /// The largest packet that the box takes.
    pub(crate) packet_bytes_max: usize,
    /// It wants an authentication exchange (v5), and none is offered.
    pub(crate) authentication_method: bool,
}

/// What a box leaves to be said when it is lost.
#[derive(Debug)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
}

/// What a box may send after CONNECT.
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
        /// v5, reason 0x04: the will is to be published all the same.
        with_will: bool,
        /// v5: the session expiry interval, if it changes it.
        session_expiry_s: Option<u32>,
    },
}

/// A message of a box.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// 0 when the quality of service is 0.
    pub(crate) packet_id: u16,
}

/// A message for a box, about to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) dup: bool,
    /// `None`: quality of service 0.
    pub(crate) packet_id: Option<u16>,
    /// v5: Message Expiry Interval.
    pub(crate) expires_s: Option<u32>,
}

/// Bytes that break the rules of MQTT, with the v5 reason code that says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) code: u8,
}

const MALFORMED: Violation = Violation { code: 0x81 };
const PROTOCOL_ERROR: Violation = Violation { code: 0x82 };
const TOPIC_ALIAS_INVALID: Violation = Violation { code: 0x94 };
const SUBSCRIPTION_ID_NOT_SUPPORTED: Violation = Violation { code: 0xa1 };

/// Why a CONNECT is answered with a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectRefusal {
    ProtocolVersion,
    ClientId,
    NotAuthorized,
    Unavailable,
    QosNotSupported,
    RetainNotSupported,
    AuthenticationMethod,
}

impl ConnectRefusal {
    /// For metrics and logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ProtocolVersion => "protocol_version",
            Self::ClientId => "client_id",
            Self::NotAuthorized => "not_authorized",
            Self::Unavailable => "unavailable",
            Self::QosNotSupported => "will_qos",
            Self::RetainNotSupported => "will_retain",
            Self::AuthenticationMethod => "authentication_method",
        }
    }

    /// The return code of v3.1.1 (section 3.2.2.3) and the reason code of v5 (section 3.2.2.2).
    const fn code(self, version: ProtocolVersion) -> u8 {
        let (v311, v5) = match self {
            Self::ProtocolVersion => (1, 0x84),
            Self::ClientId => (2, 0x85),
            Self::NotAuthorized => (5, 0x87),
            Self::Unavailable => (3, 0x88),
            Self::QosNotSupported => (5, 0x9b),
            Self::RetainNotSupported => (5, 0x9a),
            Self::AuthenticationMethod => (5, 0x8c),
        };
        match version {
            ProtocolVersion::V311 => v311,
            ProtocolVersion::V5 => v5,
        }
    }
}

/// What a v5 box is told about this server in CONNACK.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) session_expiry_s: Option<u32>,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_bytes_max: u32,
    pub(crate) keep_alive_s: Option<u16>,
}

/// A CONNECT that cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectError {
    /// Another protocol or another version of it: answered with a refusal.
    Version,
    /// Not a CONNECT: the connection is closed.
    Malformed,
}

/// Reads the first packet of a connection.
pub(crate) fn read_connect(frame: Frame) -> Result<Connect, ConnectError> {
    if frame.kind != Kind::Connect {
        return Err(ConnectError::Malformed);
    }
    // Protocol name, level and flags stand at fixed places in every version that we speak.
    let version = match frame.body() {
        [0, 4, b'M', b'Q', b'T', b'T', 4, ..] => ProtocolVersion::V311,
        [0, 4, b'M', b'Q', b'T', b'T', 5, ..] => ProtocolVersion::V5,
        [0, 4, b'M', b'Q', b'T', b'T', ..] | [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', ..] => {
            return Err(ConnectError::Version);
        }
        _ => return Err(ConnectError::Malformed),
    };
    let reserved = frame.body().get(7).is_none_or(|flags| flags & 1 != 0);
    if reserved {
        return Err(ConnectError::Malformed);
    }
    let Ok(Decoded::Connect(connect, properties, will, _, _)) = decode(version, frame) else {
        return Err(ConnectError::Malformed);
    };
    let will = match will {
        None => None,
        Some(will) => Some(Will {
            topic: utf8(&will.topic).map_err(|_| ConnectError::Malformed)?,
            payload: will.message,
            qos: will.qos as u8,
            retain: will.retain,
        }),
    };
    let properties = properties.as_ref();
    let asked_expiry_s = match version {
        ProtocolVersion::V311 if connect.clean_session => 0,
        ProtocolVersion::V311 => u32::MAX,
        ProtocolVersion::V5 => properties
            .and_then(|p| p.session_expiry_interval)
            .unwrap_or(0),
    };
    let receive_maximum = properties
        .and_then(|p| p.receive_maximum)
        .unwrap_or(u16::MAX);
    let packet_bytes_max = properties
        .and_then(|p| p.max_packet_size)
        .unwrap_or(u32::MAX);
    if receive_maximum == 0 || packet_bytes_max == 0 {
        return Err(ConnectError::Malformed);
    }
    Ok(Connect {
        version,
        client_id: connect.client_id,
        clean_session: connect.clean_session,
        keep_alive_s: connect.keep_alive,
        will,
        session_expiry_s: asked_expiry_s,
        receive_maximum,
        packet_bytes_max: usize::try_from(packet_bytes_max).unwrap_or(usize::MAX),
        authentication_method: properties.is_some_and(|p| p.authentication_method.is_some()),
    })
}

/// Says no to a CONNECT.
pub(crate) fn refuse(version: ProtocolVersion, refusal: ConnectRefusal, out: &mut BytesMut) {
    let code = refusal.code(version);
    match version {
        ProtocolVersion::V311 => out.put_slice(&[0x20, 2, 0, code]),
        ProtocolVersion::V5 => out.put_slice(&[0x20, 3, 0, code, 0]),
    }
}

/// The version that a session speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Protocol(pub(crate) ProtocolVersion);

impl Protocol {
    fn v5(self) -> bool {
        self.0 == ProtocolVersion::V5
    }

    /// Reads a packet.
    pub(crate) fn read(self, frame: Frame) -> Result<Packet, Violation> {
        match frame.kind {
            Kind::Connect => Err(PROTOCOL_ERROR),
            Kind::PingReq => Ok(Packet::PingReq),
            Kind::PubAck => self.read_puback(frame.body()),
            Kind::Publish => self.read_publish(frame).map(Packet::Publish),
            Kind::Disconnect => self.read_disconnect(frame),
            Kind::Subscribe => {
                let Decoded::Subscribe(subscribe, properties) = self.decode(frame)? else {
                    return Err(MALFORMED);
                };
                if properties.is_some_and(|p| p.id.is_some()) {
                    return Err(SUBSCRIPTION_ID_NOT_SUPPORTED);
                }
                Ok(Packet::Subscribe {
                    packet_id: nonzero(subscribe.pkid)?,
                    filters: subscribe
                        .filters
                        .into_iter()
                        .map(|filter| (filter.path, filter.qos as u8))
                        .collect(),
                })
            }
            Kind::Unsubscribe => {
                let Decoded::Unsubscribe(unsubscribe, _) = self.decode(frame)? else {
                    return Err(MALFORMED);
                };
                if unsubscribe.filters.is_empty() {
                    return Err(PROTOCOL_ERROR);
                }
                Ok(Packet::Unsubscribe {
                    packet_id: nonzero(unsubscribe.pkid)?,
                    filters: unsubscribe.filters,
                })
            }
        }
    }

    fn decode(self, frame: Frame) -> Result<Decoded, Violation> {
        decode(self.0, frame)
    }

    fn read_puback(self, body: &[u8]) -> Result<Packet, Violation> {
        match body {
            [high, low] => Ok((*high, *low)),
            // A reason code and properties: it is received, and that is all we ask.
            [high, low, ..] if self.v5() => Ok((*high, *low)),
            _ => Err(MALFORMED),
        }
        .and_then(|(high, low)| nonzero(u16::from_be_bytes([high, low])))
        .map(|packet_id| Packet::PubAck { packet_id })
    }

    fn read_publish(self, frame: Frame) -> Result<Publish, Violation> {
        let qos = (frame.flags >> 1) & 0b11;
        let packet_id = match qos {
            0 => 0,
            _ => packet_id_after_topic(frame.body()).ok_or(MALFORMED)?,
        };
        let Decoded::Publish(publish, properties) = self.decode(frame)? else {
            return Err(MALFORMED);
        };
        if let Some(properties) = properties {
            if properties.topic_alias.is_some() {
                return Err(TOPIC_ALIAS_INVALID);
            }
            if !properties.subscription_identifiers.is_empty() {
                return Err(PROTOCOL_ERROR);
            }
        }
        Ok(Publish {
            topic: utf8(&publish.topic)?,
            payload: publish.payload,
            qos,
            retain: publish.retain,
            packet_id,
        })
    }

    fn read_disconnect(self, frame: Frame) -> Result<Packet, Violation> {
        let plain = |with_will| Packet::Disconnect {
            with_will,
            session_expiry_s: None,
        };
        match frame.body() {
            [] => Ok(plain(false)),
            [_, ..] if !self.v5() => Err(MALFORMED),
            [reason] => Ok(plain(*reason != 0)),
            [reason, ..] => {
                let with_will = *reason != 0;
                let Decoded::Disconnect(_, properties) = self.decode(frame)? else {
                    return Err(MALFORMED);
                };
                Ok(Packet::Disconnect {
                    with_will,
                    session_expiry_s: properties.and_then(|p| p.session_expiry_interval),
                })
            }
        }
    }

    /// CONNACK that lets a box in.
    pub(crate) fn write_welcome(self, out: &mut BytesMut, session_present: bool, terms: Terms) {
        if !self.v5() {
            out.put_slice(&[0x20, 2, u8::from(session_present), 0]);
            return;
        }
        let connack = ConnAck {
            session_present,
            code: ConnectReturnCode::Success,
        };
        let properties = ConnAckProperties {
            session_expiry_interval: terms.session_expiry_s,
            receive_max: Some(terms.receive_maximum),
            max_qos: Some(1),
            retain_available: Some(0),
            max_packet_size: Some(terms.packet_bytes_max),
            subscription_identifiers_available: Some(0),
            shared_subscription_available: Some(0),
            server_keep_alive: terms.keep_alive_s,
            ..ConnAckProperties::default()
        };
        V5.write(Decoded::ConnAck(connack, Some(properties)), out)
            .expect("a CONNACK of a few numbers is never too long");
    }

    pub(crate) fn write_puback(self, out: &mut BytesMut, packet_id: u16) {
        out.put_slice(&[0x40, 2]);
        out.put_u16(packet_id);
    }

    /// PUBACK with reason "not authorized". v5 only: v3.1.1 has no way to say it.
    pub(crate) fn write_puback_not_authorized(self, out: &mut BytesMut, packet_id: u16) {
        debug_assert!(self.v5());
        out.put_slice(&[0x40, 3]);
        out.put_u16(packet_id);
        out.put_u8(0x87);
    }

    /// SUBACK: for each filter the granted quality of service, or `None` for a refusal.
    pub(crate) fn write_suback(self, out: &mut BytesMut, packet_id: u16, granted: &[Option<u8>]) {
        let refused = if self.v5() { 0x87 } else { 0x80 };
        out.put_u8(0x90);
        self.write_answers(
            out,
            packet_id,
            granted.iter().map(|qos| qos.unwrap_or(refused)),
        );
    }

    /// UNSUBACK: for each filter whether there was such a subscription. v3.1.1 does not say.
    pub(crate) fn write_unsuback(self, out: &mut BytesMut, packet_id: u16, existed: &[bool]) {
        if self.v5() {
            out.put_u8(0xb0);
            let codes = existed
                .iter()
                .map(|existed| if *existed { 0 } else { 0x11 });
            self.write_answers(out, packet_id, codes);
        } else {
            out.put_slice(&[0xb0, 2]);
            out.put_u16(packet_id);
        }
    }

    fn write_answers(
        self,
        out: &mut BytesMut,
        packet_id: u16,
        codes: impl ExactSizeIterator<Item = u8>,
    ) {
        write_length(out, 2 + usize::from(self.v5()) + codes.len());
        out.put_u16(packet_id);
        if self.v5() {
            out.put_u8(0);
        }
        out.extend(codes);
    }

    pub(crate) fn write_pingresp(self, out: &mut BytesMut) {
        out.put_slice(&[0xd0, 0]);
    }

    /// How many bytes [`Protocol::write_publish`] writes.
    pub(crate) fn publish_len(self, publish: &Outgoing<'_>) -> usize {
        let body = self.publish_body_len(publish);
        1 + length_len(body) + body
    }

    fn publish_body_len(self, publish: &Outgoing<'_>) -> usize {
        let packet_id = if publish.packet_id.is_some() { 2 } else { 0 };
        let properties = match (self.v5(), publish.expires_s) {
            (false, _) => 0,
            (true, None) => 1,
            (true, Some(_)) => 6,
        };
        2 + publish.topic.len() + packet_id + properties + publish.payload.len()
    }

    pub(crate) fn write_publish(self, out: &mut BytesMut, publish: &Outgoing<'_>) {
        let qos = u8::from(publish.packet_id.is_some());
        out.reserve(self.publish_len(publish));
        out.put_u8(0x30 | u8::from(publish.dup) << 3 | qos << 1);
        write_length(out, self.publish_body_len(publish));
        let topic_len =
            u16::try_from(publish.topic.len()).expect("topics of the contract are short");
        out.put_u16(topic_len);
        out.put_slice(publish.topic);
        if let Some(packet_id) = publish.packet_id {
            out.put_u16(packet_id);
        }
        if self.v5() {
            match publish.expires_s {
                None => out.put_u8(0),
                Some(seconds) => {
                    out.put_slice(&[5, 2]);
                    out.put_u32(seconds);
                }
            }
        }
        out.put_slice(publish.payload);
    }

    /// The server's DISCONNECT. v3.1.1 has none: the connection is just closed.
    pub(crate) fn write_goodbye(self, out: &mut BytesMut, code: u8) {
        if self.v5() {
            out.put_slice(&[0xe0, 1, code]);
        }
    }
}

/// The v5 reason code of a server's DISCONNECT, or `None` where none is sent.
pub(crate) fn goodbye_code(reason: EndReason) -> Option<u8> {
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
    })
}

fn decode(version: ProtocolVersion, frame: Frame) -> Result<Decoded, Violation> {
    let mut bytes = frame.bytes;
    // The frame is whole and its size within limits, so the codec's own limit has nothing to do.
    match version {
        ProtocolVersion::V311 => V4.read_mut(&mut bytes, usize::MAX),
        ProtocolVersion::V5 => V5.read_mut(&mut bytes, usize::MAX),
    }
    .map_err(|_| MALFORMED)
}

fn nonzero(packet_id: u16) -> Result<u16, Violation> {
    match packet_id {
        0 => Err(MALFORMED),
        packet_id => Ok(packet_id),
    }
}

fn utf8(bytes: &[u8]) -> Result<String, Violation> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| MALFORMED)
}

/// The packet identifier of a PUBLISH, which stands after the topic.
fn packet_id_after_topic(body: &[u8]) -> Option<u16> {
    let (len, rest) = body.split_first_chunk::<2>()?;
    let rest = rest.get(usize::from(u16::from_be_bytes(*len))..)?;
    let (id, _) = rest.split_first_chunk::<2>()?;
    Some(u16::from_be_bytes(*id)).filter(|id| *id != 0)
}

fn length_len(len: usize) -> usize {
    match len {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

fn write_length(out: &mut BytesMut, mut len: usize) {
    debug_assert!(len <= 268_435_455);
    loop {
        let low = (len & 0x7f) as u8;
        len >>= 7;
        if len == 0 {
            out.put_u8(low);
            return;
        }
        out.put_u8(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V311: Protocol = Protocol(ProtocolVersion::V311);
    const V5: Protocol = Protocol(ProtocolVersion::V5);

    fn frame(bytes: &[u8]) -> Frame {
        Frame::take(&mut BytesMut::from(bytes), usize::MAX)
            .unwrap()
            .unwrap()
    }

    fn publish(packet_id: Option<u16>, expires_s: Option<u32>, dup: bool) -> Outgoing<'static> {
        Outgoing {
            topic: b"a/b",
            payload: b"hello",
            dup,
            packet_id,
            expires_s,
        }
    }

    #[test]
    fn what_we_publish_reads_back_as_itself() {
        for protocol in [V311, V5] {
            for (packet_id, expires_s, dup) in [
                (None, None, false),
                (Some(7), None, false),
                (Some(65_535), Some(300), true),
            ] {
                let mut out = BytesMut::new();
                let outgoing = publish(packet_id, expires_s, dup);
                protocol.write_publish(&mut out, &outgoing);
                assert_eq!(out.len(), protocol.publish_len(&outgoing));
                let frame = frame(&out);
                assert_eq!(frame.flags & 0b1000 != 0, dup);
                let Packet::Publish(read) = protocol.read(frame).unwrap() else {
                    panic!("not a publish");
                };
                assert_eq!(read.topic, "a/b");
                assert_eq!(read.payload, &b"hello"[..]);
                assert_eq!(read.packet_id, packet_id.unwrap_or(0));
                assert_eq!(read.qos, u8::from(packet_id.is_some()));
            }
        }
    }

    #[test]
    fn long_packets_have_longer_lengths() {
        for len in [0, 100, 128, 16_383, 16_384, 70_000] {
            let payload = vec![b'x'; len];
            let mut out = BytesMut::new();
            let outgoing = Outgoing {
                payload: &payload,
                ..publish(Some(1), None, false)
            };
            V311.write_publish(&mut out, &outgoing);
            assert_eq!(out.len(), V311.publish_len(&outgoing));
            let Packet::Publish(read) = V311.read(frame(&out)).unwrap() else {
                panic!("not a publish");
            };
            assert_eq!(read.payload.len(), len);
        }
    }

    #[test]
    fn a_packet_identifier_is_never_zero() {
        for bytes in [
            &[0x40, 2, 0, 0][..],
            &[0x82, 6, 0, 0, 0, 1, b'a', 0],
            &[0xa2, 5, 0, 0, 0, 1, b'a'],
            &[0x32, 5, 0, 1, b'a', 0, 0],
        ] {
            assert_eq!(V311.read(frame(bytes)).unwrap_err(), MALFORMED);
        }
    }

    #[test]
    fn a_second_connect_is_a_protocol_error() {
        let mut bytes = vec![0x10, 12, 0, 4];
        bytes.extend(b"MQTT\x04\x02\x00\x3c\x00\x00");
        assert_eq!(V311.read(frame(&bytes)).unwrap_err(), PROTOCOL_ERROR);
    }

    #[test]
    fn connect_is_read_in_both_versions_and_others_are_named() {
        let connect = |rest: &[u8]| {
            let mut bytes = vec![0x10, rest.len() as u8];
            bytes.extend(rest);
            read_connect(frame(&bytes))
        };
        let v311 = connect(b"\x00\x04MQTT\x04\x00\x00\x3c\x00\x01a").unwrap();
        assert_eq!(v311.version, ProtocolVersion::V311);
        assert_eq!((v311.client_id.as_str(), v311.keep_alive_s), ("a", 60));
        assert_eq!(v311.session_expiry_s, u32::MAX);
        let clean = connect(b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a").unwrap();
        assert_eq!((clean.clean_session, clean.session_expiry_s), (true, 0));
        let v5 =
            connect(b"\x00\x04MQTT\x05\x02\x00\x3c\x08\x11\x00\x00\x00\x0a\x21\x00\x05\x00\x01a")
                .unwrap();
        assert_eq!(v5.version, ProtocolVersion::V5);
        assert_eq!((v5.session_expiry_s, v5.receive_maximum), (10, 5));
        for other in [
            &b"\x00\x04MQTT\x03\x02\x00\x3c\x00\x01a"[..],
            b"\x00\x04MQTT\x06\x02\x00\x3c\x00\x01a",
            b"\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a",
        ] {
            assert_eq!(connect(other).unwrap_err(), ConnectError::Version);
        }
        for bad in [
            &b"\x00\x04MQTT\x04\x03\x00\x3c\x00\x01a"[..],
            b"\x00\x04HTTP\x04\x02\x00\x3c\x00\x01a",
            b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x09a",
            b"\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\x00\x00\x00\x01a",
        ] {
            assert_eq!(connect(bad).unwrap_err(), ConnectError::Malformed);
        }
    }

    #[test]
    fn a_v5_disconnect_may_be_a_reason_alone() {
        for (bytes, will, expiry) in [
            (&[0xe0, 0][..], false, None),
            (&[0xe0, 1, 4], true, None),
            (&[0xe0, 2, 0, 0], false, None),
            (&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 9], false, Some(9)),
        ] {
            let Packet::Disconnect {
                with_will,
                session_expiry_s,
            } = V5.read(frame(bytes)).unwrap()
            else {
                panic!("not a disconnect");
            };
            assert_eq!((with_will, session_expiry_s), (will, expiry));
        }
        assert_eq!(V311.read(frame(&[0xe0, 1, 0])).unwrap_err(), MALFORMED);
    }

    #[test]
    fn what_is_not_offered_has_its_own_reason_code() {
        assert_eq!(
            V5.read(frame(&[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 1]))
                .unwrap_err(),
            TOPIC_ALIAS_INVALID
        );
        assert_eq!(
            V5.read(frame(&[0x82, 9, 0, 1, 2, 0x0b, 1, 0, 1, b'a', 0]))
                .unwrap_err(),
            SUBSCRIPTION_ID_NOT_SUPPORTED
        );
    }

    #[test]
    fn answers_are_the_bytes_of_the_standard() {
        let written = |write: &dyn Fn(&mut BytesMut)| {
            let mut out = BytesMut::new();
            write(&mut out);
            out.to_vec()
        };
        let granted = [Some(1), None];
        assert_eq!(
            written(&|out| V311.write_suback(out, 7, &granted)),
            [0x90, 4, 0, 7, 1, 0x80]
        );
        assert_eq!(
            written(&|out| V5.write_suback(out, 7, &granted)),
            [0x90, 5, 0, 7, 0, 1, 0x87]
        );
        assert_eq!(
            written(&|out| V311.write_unsuback(out, 7, &[true, false])),
            [0xb0, 2, 0, 7]
        );
        assert_eq!(
            written(&|out| V5.write_unsuback(out, 7, &[true, false])),
            [0xb0, 5, 0, 7, 0, 0, 0x11]
        );
        assert_eq!(written(&|out| V5.write_goodbye(out, 0x8b)), [0xe0, 1, 0x8b]);
        assert!(written(&|out| V311.write_goodbye(out, 0x8b)).is_empty());
        assert_eq!(
            written(&|out| V5.write_puback_not_authorized(out, 258)),
            [0x40, 3, 1, 2, 0x87]
        );
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

        /// Properties whose lengths lie: the loops of the codec must stay within the packet.
        #[test]
        fn lying_v5_properties_do_not_panic(
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
