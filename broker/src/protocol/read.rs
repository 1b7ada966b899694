//! Frames to packets, after CONNECT.

use rumqttd::protocol::Packet as Decoded;

use super::{
    MALFORMED, PROTOCOL_ERROR, Packet, Protocol, Publish, Violation, decode, retain, utf8,
};
use crate::frame::{Frame, Kind};

const TOPIC_ALIAS_INVALID: Violation = Violation { code: 0x94 };
const SUBSCRIPTION_ID_NOT_SUPPORTED: Violation = Violation { code: 0xa1 };

impl Protocol {
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
            // A reason code and properties, which are ignored.
            [high, low, ..] if self.v5() => Ok((*high, *low)),
            _ => Err(MALFORMED),
        }
        .and_then(|(high, low)| nonzero(u16::from_be_bytes([high, low])))
        .map(|packet_id| Packet::PubAck { packet_id })
    }

    fn read_publish(self, frame: Frame) -> Result<Publish, Violation> {
        let qos = (frame.flags >> 1) & 0b11;
        // MQTT-3.3.1-2. Version 3.1.1 forbids it too, but some clients set DUP when they repeat a message of quality 0;
        // it is ignored there.
        if self.v5() && qos == 0 && frame.flags & 0b1000 != 0 {
            return Err(MALFORMED);
        }
        let packet_id = match qos {
            0 => 0,
            _ => packet_id_after_topic(frame.body()).ok_or(MALFORMED)?,
        };
        let Decoded::Publish(publish, properties) = self.decode(frame)? else {
            return Err(MALFORMED);
        };
        let user_properties = match properties {
            None => Vec::new(),
            Some(properties) if properties.topic_alias.is_some() => {
                return Err(TOPIC_ALIAS_INVALID);
            }
            Some(properties) if !properties.subscription_identifiers.is_empty() => {
                return Err(PROTOCOL_ERROR);
            }
            Some(properties) => properties.user_properties,
        };
        // MQTT 5.0 section 3.3.2.1: an empty topic needs an alias, and aliases are not offered.
        if self.v5() && publish.topic.is_empty() {
            return Err(PROTOCOL_ERROR);
        }
        Ok(Publish {
            topic: utf8(&publish.topic)?,
            payload: publish.payload,
            qos,
            retain: retain(self.0, publish.retain),
            packet_id,
            user_properties,
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
}

fn nonzero(packet_id: u16) -> Result<u16, Violation> {
    match packet_id {
        0 => Err(MALFORMED),
        packet_id => Ok(packet_id),
    }
}

/// The packet identifier of a PUBLISH, which follows the topic.
fn packet_id_after_topic(body: &[u8]) -> Option<u16> {
    let (len, rest) = body.split_first_chunk::<2>()?;
    let rest = rest.get(usize::from(u16::from_be_bytes(*len))..)?;
    let (id, _) = rest.split_first_chunk::<2>()?;
    Some(u16::from_be_bytes(*id)).filter(|id| *id != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::{V5, V311, frame};

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
    fn user_properties_are_read() {
        let bytes = [
            0x30, 14, 0, 1, b'a', 9, 0x26, 0, 2, b'k', b'y', 0, 2, b'v', b'1', b'!',
        ];
        let Packet::Publish(publish) = V5.read(frame(&bytes)).unwrap() else {
            panic!("not a publish");
        };
        let expected = [("ky".to_owned(), "v1".to_owned())];
        assert_eq!(publish.user_properties, expected);
        assert_eq!(publish.payload, &b"!"[..]);
    }

    #[test]
    fn dup_at_quality_0_is_an_error_of_version_5_alone() {
        let v5 = [0x38, 5, 0, 1, b'a', 0, b'x'];
        assert_eq!(V5.read(frame(&v5)).unwrap_err(), MALFORMED);
        let v311 = [0x38, 4, 0, 1, b'a', b'x'];
        assert!(V311.read(frame(&v311)).is_ok());
    }

    #[test]
    fn retain_is_ignored_in_3_1_1_and_read_in_version_5() {
        for (protocol, retain, bytes) in [
            (V311, false, &[0x31, 4, 0, 1, b'a', b'x'][..]),
            (V5, true, &[0x31, 5, 0, 1, b'a', 0, b'x']),
        ] {
            let Packet::Publish(publish) = protocol.read(frame(bytes)).unwrap() else {
                panic!("not a publish");
            };
            assert_eq!(publish.retain, retain);
        }
    }

    #[test]
    fn an_empty_topic_is_an_error_of_version_5() {
        let bytes = [0x30, 4, 0, 0, 0, b'x'];
        assert_eq!(V5.read(frame(&bytes)).unwrap_err(), PROTOCOL_ERROR);
    }
}
