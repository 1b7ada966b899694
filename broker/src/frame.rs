//! Framing: one complete packet out of a stream of bytes.
//!
//! This runs before any codec. A packet that a client must not send (an acknowledgement that only servers send, any
//! part of the QoS 2 exchange, an unknown type), wrong flag bits and a length over the limit are refused from the fixed
//! header alone, before the rest of the packet has arrived. So nothing larger is ever buffered, and the codec gets only
//! packets that it supports.

use bytes::BytesMut;

/// The packets that a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Publish,
    PubAck,
    Subscribe,
    Unsubscribe,
    PingReq,
    Disconnect,
}

/// A complete packet with its fixed header.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// The low four bits of the first byte, checked for the kind.
    pub(crate) flags: u8,
    /// All bytes of the packet.
    pub(crate) bytes: BytesMut,
    /// The position of the variable header.
    pub(crate) body_at: usize,
}

/// Why bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a packet type that a client must not send")]
    WrongType,
    #[error("wrong flags in the fixed header")]
    WrongFlags,
    #[error("the remaining length is malformed")]
    MalformedLength,
    #[error("a packet of {0} bytes")]
    TooLarge(usize),
}

/// The most bytes that a length is written in.
const LENGTH_BYTES_MAX: usize = 4;

impl Frame {
    /// Takes the next packet from the front of `buffer`. `Ok(None)`: more bytes are needed.
    ///
    /// `body_bytes_max` is the largest remaining length that a fixed header may have.
    pub(crate) fn take(
        buffer: &mut BytesMut,
        body_bytes_max: usize,
    ) -> Result<Option<Self>, FrameError> {
        let Some(&first) = buffer.first() else {
            return Ok(None);
        };
        let flags = first & 0x0f;
        let kind = kind(first >> 4)?;
        if !flags_are_right(kind, flags) {
            return Err(FrameError::WrongFlags);
        }
        let Some((body_len, length_bytes)) = variable_length(buffer.get(1..).unwrap_or_default())?
        else {
            return Ok(None);
        };
        let body_at = 1 + length_bytes;
        if body_len > body_bytes_max {
            return Err(FrameError::TooLarge(body_len));
        }
        if !length_is_possible(kind, body_len) {
            return Err(FrameError::MalformedLength);
        }
        let total = body_at + body_len;
        if buffer.len() < total {
            return Ok(None);
        }
        Ok(Some(Self {
            kind,
            flags,
            bytes: buffer.split_to(total),
            body_at,
        }))
    }

    /// The bytes after the fixed header.
    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[self.body_at..]
    }
}

fn kind(number: u8) -> Result<Kind, FrameError> {
    Ok(match number {
        1 => Kind::Connect,
        3 => Kind::Publish,
        4 => Kind::PubAck,
        8 => Kind::Subscribe,
        10 => Kind::Unsubscribe,
        12 => Kind::PingReq,
        14 => Kind::Disconnect,
        // 2, 9, 11 and 13 are sent by servers; 5, 6 and 7 belong to QoS 2, which is not supported; 15 is AUTH, which
        // may only follow an authentication method in CONNECT, and none is offered; 0 is reserved.
        _ => return Err(FrameError::WrongType),
    })
}

/// MQTT 3.1.1 section 2.2.2: the flag bits of each type.
fn flags_are_right(kind: Kind, flags: u8) -> bool {
    match kind {
        // Whether DUP is allowed with quality 0 depends on the version, which is not known here.
        Kind::Publish => flags & 0b0110 != 0b0110,
        Kind::Subscribe | Kind::Unsubscribe => flags == 0b0010,
        Kind::Connect | Kind::PubAck | Kind::PingReq | Kind::Disconnect => flags == 0,
    }
}

/// The shortest body of each type; PINGREQ has none.
fn length_is_possible(kind: Kind, len: usize) -> bool {
    match kind {
        // Protocol name, level, flags, keep-alive, client id.
        Kind::Connect => len >= 12,
        Kind::Publish | Kind::PubAck => len >= 2,
        // Packet identifier and one topic filter.
        Kind::Subscribe => len >= 5,
        Kind::Unsubscribe => len >= 4,
        Kind::PingReq => len == 0,
        Kind::Disconnect => true,
    }
}

/// A length in up to four bytes of seven bits (MQTT 5.0 section 1.5.5), and in how many it is written. `None`: not all of
/// them have arrived.
pub(crate) fn variable_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
    let mut length = 0;
    for (index, byte) in bytes.iter().enumerate().take(LENGTH_BYTES_MAX) {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((length, index + 1)));
        }
    }
    if bytes.len() >= LENGTH_BYTES_MAX {
        return Err(FrameError::MalformedLength);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 1_000;

    fn take(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        Frame::take(&mut BytesMut::from(bytes), MAX)
    }

    #[test]
    fn a_ping_is_a_frame() {
        let frame = take(&[0xc0, 0]).unwrap().unwrap();
        assert_eq!(frame.kind, Kind::PingReq);
        assert!(frame.body().is_empty());
    }

    #[test]
    fn what_follows_a_frame_stays_in_the_buffer() {
        let mut buffer = BytesMut::from(&[0x40, 2, 0, 7, 0xc0, 0, 0x30][..]);
        let frame = Frame::take(&mut buffer, MAX).unwrap().unwrap();
        assert_eq!(frame.kind, Kind::PubAck);
        assert_eq!(frame.body(), &[0, 7][..]);
        let frame = Frame::take(&mut buffer, MAX).unwrap().unwrap();
        assert_eq!(frame.kind, Kind::PingReq);
        assert!(Frame::take(&mut buffer, MAX).unwrap().is_none());
        assert_eq!(buffer, &[0x30][..]);
    }

    #[test]
    fn packets_of_servers_and_of_qos_2_are_refused_by_their_first_byte() {
        for number in [0, 2, 5, 6, 7, 9, 11, 13, 15] {
            for flags in 0..16 {
                assert_eq!(
                    take(&[number << 4 | flags]).unwrap_err(),
                    FrameError::WrongType
                );
            }
        }
    }

    #[test]
    fn wrong_flags_are_refused_by_the_first_byte() {
        for first in [0x11, 0x36, 0x37, 0x3e, 0x41, 0x80, 0x83, 0xa0, 0xc1, 0xe1] {
            assert_eq!(take(&[first]).unwrap_err(), FrameError::WrongFlags);
        }
        for first in [0x30, 0x31, 0x32, 0x3a, 0x34, 0x38] {
            assert!(take(&[first]).unwrap().is_none());
        }
    }

    #[test]
    fn a_packet_over_the_limit_is_refused_before_it_arrives() {
        assert_eq!(
            take(&[0x30, 0xe9, 0x07]).unwrap_err(),
            FrameError::TooLarge(MAX + 1)
        );
        assert!(take(&[0x30, 0xe8, 0x07]).unwrap().is_none());
        assert_eq!(
            take(&[0x30, 0xff, 0xff, 0xff, 0x7f]).unwrap_err(),
            FrameError::TooLarge(268_435_455)
        );
        assert_eq!(
            take(&[0x30, 0xff, 0xff, 0xff, 0xff]).unwrap_err(),
            FrameError::MalformedLength
        );
        assert_eq!(take(&[0xc0, 1]).unwrap_err(), FrameError::MalformedLength);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic_and_always_end(bytes: Vec<u8>) {
            let mut buffer = BytesMut::from(&bytes[..]);
            let mut taken = 0;
            while let Ok(Some(frame)) = Frame::take(&mut buffer, MAX) {
                taken += frame.bytes.len();
                prop_assert!(frame.body().len() <= MAX);
            }
            prop_assert_eq!(taken + buffer.len(), bytes.len());
        }

        #[test]
        fn a_frame_is_taken_whole_or_not_at_all(body in prop::collection::vec(any::<u8>(), 2..400), cut in 0_usize..402) {
            let mut whole = vec![0x30];
            let len = body.len();
            if len < 128 {
                whole.push(len as u8);
            } else {
                whole.extend([(len % 128) as u8 | 0x80, (len / 128) as u8]);
            }
            whole.extend(&body);
            let cut = cut.min(whole.len());
            let mut buffer = BytesMut::from(&whole[..cut]);
            let taken = Frame::take(&mut buffer, MAX).unwrap();
            if cut < whole.len() {
                prop_assert!(taken.is_none());
                prop_assert_eq!(buffer.len(), cut);
            } else {
                let taken = taken.unwrap();
                prop_assert_eq!(taken.body(), body);
            }
        }
    }
}
