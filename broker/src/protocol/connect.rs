//! CONNECT and its answer.

use bytes::{BufMut, Bytes, BytesMut};
use rumqttd::protocol::v5::V5;
use rumqttd::protocol::{
    ConnAck, ConnAckProperties, ConnectReturnCode, Packet as Decoded, Protocol as Codec,
};

use super::{Protocol, UserProperties, decode, retain, utf8};
use crate::frame::{Frame, Kind, variable_length};
use crate::host::{Password, ProtocolVersion, Refusal};

/// The first packet of a connection.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) version: ProtocolVersion,
    pub(crate) client_id: String,
    /// v5: Clean Start.
    pub(crate) clean_session: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) will: Option<Will>,
    /// As requested; for v3.1.1 0 or [`u32::MAX`].
    pub(crate) session_expiry_s: u32,
    /// The most unacknowledged PUBLISH packets that the client accepts.
    pub(crate) receive_maximum: u16,
    /// The largest packet that the client accepts.
    pub(crate) packet_bytes_max: usize,
    /// It requests an authentication exchange (v5), which is not offered.
    pub(crate) authentication_method: bool,
    /// Its user name and password, if it sent both.
    pub(crate) login: Option<(String, Password)>,
}

/// A client's will.
#[derive(Debug)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) user_properties: UserProperties,
}

/// The reason of a CONNACK that refuses a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectRefusal {
    ProtocolVersion,
    ClientId,
    BadCredentials,
    NotAuthorized,
    Unavailable,
    QosNotSupported,
    RetainNotSupported,
    AuthenticationMethod,
    WillTooLarge,
}

impl From<Refusal> for ConnectRefusal {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotAuthorized => Self::NotAuthorized,
            Refusal::Unavailable => Self::Unavailable,
        }
    }
}

impl ConnectRefusal {
    /// For metrics and logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ProtocolVersion => "protocol_version",
            Self::ClientId => "client_id",
            Self::BadCredentials => "bad_credentials",
            Self::NotAuthorized => "not_authorized",
            Self::Unavailable => "unavailable",
            Self::QosNotSupported => "will_qos",
            Self::RetainNotSupported => "will_retain",
            Self::AuthenticationMethod => "authentication_method",
            Self::WillTooLarge => "will_too_large",
        }
    }

    /// The return code of v3.1.1 (section 3.2.2.3) and the reason code of v5 (section 3.2.2.2).
    const fn code(self, version: ProtocolVersion) -> u8 {
        let (v311, v5) = match self {
            Self::ProtocolVersion => (1, 0x84),
            Self::ClientId => (2, 0x85),
            Self::BadCredentials => (4, 0x86),
            Self::NotAuthorized => (5, 0x87),
            Self::Unavailable => (3, 0x88),
            Self::QosNotSupported => (5, 0x9b),
            Self::RetainNotSupported => (5, 0x9a),
            Self::AuthenticationMethod => (5, 0x8c),
            Self::WillTooLarge => (5, 0x95),
        };
        match version {
            ProtocolVersion::V311 => v311,
            ProtocolVersion::V5 => v5,
        }
    }
}

/// The limits of this server in the CONNACK of v5.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) session_expiry_s: Option<u32>,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_bytes_max: u32,
    pub(crate) keep_alive_s: Option<u16>,
    /// The client id that the server assigned to a client without one.
    pub(crate) assigned_client_id: Option<String>,
}

/// Why a first packet cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectError {
    /// Another protocol or another version of it: answered with a refusal.
    Version,
    /// Not a CONNECT: the connection is closed.
    Malformed,
}

/// The position of the connect flags in the body.
const FLAGS_AT: usize = 7;
/// The connect flags of the user name and the password.
const LOGIN_FLAGS: u8 = 0b1100_0000;
/// The connect flag of the will.
const WILL_FLAG: u8 = 0b0000_0100;

/// The quality of a will. In version 5 CONNACK excludes quality 2 (Maximum QoS). Version 3.1.1 has no such property, so
/// quality 2 is lowered to 1, as for its subscriptions.
fn will_qos(version: ProtocolVersion, requested: u8) -> u8 {
    match version {
        ProtocolVersion::V311 => requested.min(1),
        ProtocolVersion::V5 => requested,
    }
}

/// Reads the first packet of a connection.
pub(crate) fn read_connect(mut frame: Frame) -> Result<Connect, ConnectError> {
    if frame.kind != Kind::Connect {
        return Err(ConnectError::Malformed);
    }
    // Protocol name, level and flags have fixed positions in every supported version.
    let version = match frame.body() {
        [0, 4, b'M', b'Q', b'T', b'T', 4, ..] => ProtocolVersion::V311,
        [0, 4, b'M', b'Q', b'T', b'T', 5, ..] => ProtocolVersion::V5,
        [0, 4, b'M', b'Q', b'T', b'T', ..] | [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', ..] => {
            return Err(ConnectError::Version);
        }
        _ => return Err(ConnectError::Malformed),
    };
    let reserved = frame
        .body()
        .get(FLAGS_AT)
        .is_none_or(|flags| flags & 1 != 0);
    if reserved {
        return Err(ConnectError::Malformed);
    }
    let login = read_login(version, frame.body());
    if version == ProtocolVersion::V311 {
        // Some clients send passwords that are not UTF-8, which the standard allows and the codec refuses. So the codec
        // does not read user name and password, which are at the end.
        let flags = frame.body_at + FLAGS_AT;
        frame.bytes[flags] &= !LOGIN_FLAGS;
    }
    let Ok(Decoded::Connect(connect, properties, will, will_properties, _)) =
        decode(version, frame)
    else {
        return Err(ConnectError::Malformed);
    };
    let will = match will {
        None => None,
        Some(will) => Some(Will {
            topic: utf8(&will.topic).map_err(|_| ConnectError::Malformed)?,
            payload: will.message,
            qos: will_qos(version, will.qos as u8),
            retain: retain(version, will.retain),
            user_properties: will_properties
                .map(|properties| properties.user_properties)
                .unwrap_or_default(),
        }),
    };
    let properties = properties.as_ref();
    let requested_expiry_s = match version {
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
        session_expiry_s: requested_expiry_s,
        receive_maximum,
        packet_bytes_max: usize::try_from(packet_bytes_max).unwrap_or(usize::MAX),
        authentication_method: properties.is_some_and(|p| p.authentication_method.is_some()),
        login,
    })
}

/// The user name and password at the end of a CONNECT; `None` unless there are both.
fn read_login(version: ProtocolVersion, body: &[u8]) -> Option<(String, Password)> {
    let flags = *body.get(FLAGS_AT)?;
    if flags & LOGIN_FLAGS != LOGIN_FLAGS {
        return None;
    }
    // After the flags: keep-alive, in version 5 properties, then the texts.
    let mut rest = body.get(FLAGS_AT + 3..)?;
    let v5 = version == ProtocolVersion::V5;
    if v5 {
        skip_properties(&mut rest)?;
    }
    take_text(&mut rest)?;
    if flags & WILL_FLAG != 0 {
        if v5 {
            skip_properties(&mut rest)?;
        }
        take_text(&mut rest)?;
        take_text(&mut rest)?;
    }
    let user_name = std::str::from_utf8(take_text(&mut rest)?).ok()?.to_owned();
    let password = Bytes::copy_from_slice(take_text(&mut rest)?);
    Some((user_name, Password::new(password)))
}

/// Bytes with their length in front (MQTT section 1.5.3).
fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (text, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    Some(text)
}

/// Properties with their length in front.
fn skip_properties(rest: &mut &[u8]) -> Option<()> {
    let (length, length_bytes) = variable_length(rest).ok()??;
    *rest = rest.get(length_bytes..)?.get(length..)?;
    Some(())
}

/// Writes the CONNACK that refuses a client.
pub(crate) fn write_refusal(version: ProtocolVersion, refusal: ConnectRefusal, out: &mut BytesMut) {
    let code = refusal.code(version);
    match version {
        ProtocolVersion::V311 => out.put_slice(&[0x20, 2, 0, code]),
        ProtocolVersion::V5 => out.put_slice(&[0x20, 3, 0, code, 0]),
    }
}

impl Protocol {
    /// Writes the CONNACK that accepts a client.
    pub(crate) fn write_connack(self, out: &mut BytesMut, session_present: bool, terms: Terms) {
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
            assigned_client_identifier: terms.assigned_client_id,
            ..ConnAckProperties::default()
        };
        V5.write(Decoded::ConnAck(connack, Some(properties)), out)
            .expect("a CONNACK of a few numbers and an id is never too long");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::frame;

    #[test]
    fn connect_is_read_in_both_versions_and_other_versions_are_recognised() {
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
        let login =
            connect(b"\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01a\x00\x01u\x00\x02\xff\xfe").unwrap();
        assert_eq!(login.client_id, "a");
        let (user_name, password) = login.login.unwrap();
        assert_eq!(
            (user_name.as_str(), password.as_bytes()),
            ("u", &b"\xff\xfe"[..])
        );
        assert_eq!(format!("{password:?}"), "Password(..)");
        let with_will =
            connect(b"\x00\x04MQTT\x04\xf6\x00\x3c\x00\x01a\x00\x01t\x00\x01m\x00\x01u\x00\x01p");
        assert_eq!(with_will.unwrap().login.unwrap().0, "u");
        let v5_login = connect(
            b"\x00\x04MQTT\x05\xc2\x00\x3c\x05\x11\x00\x00\x00\x0a\x00\x01a\x00\x01u\x00\x01p",
        );
        assert_eq!(v5_login.unwrap().login.unwrap().1.as_bytes(), b"p");
        let without_password = connect(b"\x00\x04MQTT\x04\x82\x00\x3c\x00\x01a\x00\x01u");
        assert!(without_password.unwrap().login.is_none());
        let cut = connect(b"\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01a\x00\x09u");
        assert!(cut.unwrap().login.is_none());
        let will = connect(b"\x00\x04MQTT\x04\x36\x00\x3c\x00\x01a\x00\x01t\x00\x01m").unwrap();
        let will = will.will.unwrap();
        assert_eq!((will.qos, will.retain), (1, false));
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
}
