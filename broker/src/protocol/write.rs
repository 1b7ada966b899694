//! Packets to bytes, after CONNACK.

use bytes::{BufMut, BytesMut};

use super::{Granted, Outgoing, Protocol};

/// The property Server Reference (MQTT 5.0 section 3.14.2.2.5).
const SERVER_REFERENCE: u8 = 0x1c;

impl Protocol {
    pub(crate) fn write_puback(self, out: &mut BytesMut, packet_id: u16) {
        out.put_slice(&[0x40, 2]);
        out.put_u16(packet_id);
    }

    /// PUBACK with reason "not authorized". v5 only: v3.1.1 has no reason codes.
    pub(crate) fn write_puback_not_authorized(self, out: &mut BytesMut, packet_id: u16) {
        debug_assert!(self.v5());
        out.put_slice(&[0x40, 3]);
        out.put_u16(packet_id);
        out.put_u8(0x87);
    }

    /// SUBACK, with an answer to each filter.
    pub(crate) fn write_suback(self, out: &mut BytesMut, packet_id: u16, granted: &[Granted]) {
        let code = |granted: &Granted| match (granted, self.v5()) {
            (Granted::Quality(qos), _) => *qos,
            (Granted::NotAuthorized | Granted::QuotaExceeded, false) => 0x80,
            (Granted::NotAuthorized, true) => 0x87,
            (Granted::QuotaExceeded, true) => 0x97,
        };
        out.put_u8(0x90);
        self.write_answers(out, packet_id, granted.iter().map(code));
    }

    /// UNSUBACK. In v5 it says for each filter whether there was such a subscription.
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
        let properties = if self.v5() {
            let len = properties_len(publish);
            length_len(len) + len
        } else {
            0
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
            write_length(out, properties_len(publish));
            if let Some(seconds) = publish.expires_s {
                out.put_u8(2);
                out.put_u32(seconds);
            }
            for (name, value) in publish.user_properties {
                out.put_u8(0x26);
                write_string(out, name);
                write_string(out, value);
            }
        }
        out.put_slice(publish.payload);
    }

    /// The server's DISCONNECT. v3.1.1 has none.
    pub(crate) fn write_disconnect(self, out: &mut BytesMut, code: u8) {
        if self.v5() {
            out.put_slice(&[0xe0, 1, code]);
        }
    }

    /// DISCONNECT with the server to use instead (Server Reference).
    pub(crate) fn write_disconnect_to(self, out: &mut BytesMut, code: u8, reference: &str) {
        if self.v5() {
            let properties = 1 + 2 + reference.len();
            out.put_u8(0xe0);
            write_length(out, 1 + length_len(properties) + properties);
            out.put_u8(code);
            write_length(out, properties);
            out.put_u8(SERVER_REFERENCE);
            write_string(out, reference);
        }
    }
}

/// The length of the v5 properties of a PUBLISH.
fn properties_len(publish: &Outgoing<'_>) -> usize {
    let expiry = if publish.expires_s.is_some() { 5 } else { 0 };
    let user = |(name, value): &(String, String)| 1 + 2 + name.len() + 2 + value.len();
    expiry + publish.user_properties.iter().map(user).sum::<usize>()
}

fn write_string(out: &mut BytesMut, text: &str) {
    let len = u16::try_from(text.len()).expect("it came as a string of MQTT");
    out.put_u16(len);
    out.put_slice(text.as_bytes());
}

fn length_len(len: usize) -> usize {
    match len {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

pub(super) fn write_length(out: &mut BytesMut, mut len: usize) {
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
    use crate::protocol::Packet;
    use crate::protocol::tests::{V5, V311, frame, publish};

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
    fn user_properties_are_carried_to_version_5_and_left_out_of_3_1_1() {
        let user_properties = [
            ("trace".to_owned(), "x".repeat(200)),
            (String::new(), "ß".to_owned()),
        ];
        let outgoing = Outgoing {
            user_properties: &user_properties,
            ..publish(None, Some(9), false)
        };
        for (protocol, expected) in [(V5, &user_properties[..]), (V311, &[])] {
            let mut out = BytesMut::new();
            protocol.write_publish(&mut out, &outgoing);
            assert_eq!(out.len(), protocol.publish_len(&outgoing));
            let Packet::Publish(read) = protocol.read(frame(&out)).unwrap() else {
                panic!("not a publish");
            };
            assert_eq!(read.user_properties, expected);
            assert_eq!(read.payload, &b"hello"[..]);
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
    fn answers_are_the_bytes_of_the_standard() {
        let written = |write: &dyn Fn(&mut BytesMut)| {
            let mut out = BytesMut::new();
            write(&mut out);
            out.to_vec()
        };
        let granted = [
            Granted::Quality(1),
            Granted::NotAuthorized,
            Granted::QuotaExceeded,
        ];
        assert_eq!(
            written(&|out| V311.write_suback(out, 7, &granted)),
            [0x90, 5, 0, 7, 1, 0x80, 0x80]
        );
        assert_eq!(
            written(&|out| V5.write_suback(out, 7, &granted)),
            [0x90, 6, 0, 7, 0, 1, 0x87, 0x97]
        );
        assert_eq!(
            written(&|out| V311.write_unsuback(out, 7, &[true, false])),
            [0xb0, 2, 0, 7]
        );
        assert_eq!(
            written(&|out| V5.write_unsuback(out, 7, &[true, false])),
            [0xb0, 5, 0, 7, 0, 0, 0x11]
        );
        assert_eq!(
            written(&|out| V5.write_disconnect(out, 0x8b)),
            [0xe0, 1, 0x8b]
        );
        assert!(written(&|out| V311.write_disconnect(out, 0x8b)).is_empty());
        assert_eq!(
            written(&|out| V5.write_disconnect_to(out, 0x9c, "b:1")),
            [0xe0, 8, 0x9c, 6, 0x1c, 0, 3, b'b', b':', b'1']
        );
        assert!(written(&|out| V311.write_disconnect_to(out, 0x9c, "b:1")).is_empty());
        assert_eq!(
            written(&|out| V5.write_puback_not_authorized(out, 258)),
            [0x40, 3, 1, 2, 0x87]
        );
    }
}
