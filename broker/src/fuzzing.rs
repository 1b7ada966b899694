//! The packet reader, for the fuzzer. Not part of the crate's interface.

use bytes::BytesMut;

use crate::frame::Frame;
use crate::protocol::{Protocol, read_connect};

/// Larger than the fuzzer's inputs, so that only a length in a header can exceed it.
const BODY_BYTES_MAX: usize = 4096;

/// Reads these bytes as a connection does: CONNECT first, then the packets of a session.
///
/// # Panics
/// When bytes are lost or added, or when the result depends on how the bytes are split.
pub fn read_packets(bytes: &[u8]) {
    let at_once = read(bytes, bytes.len().max(1));
    // TCP may split the bytes anywhere.
    assert_eq!(at_once, read(bytes, 1), "one byte at a time");
    assert_eq!(at_once, read(bytes, 7), "seven bytes at a time");
}

/// The packets that were read, as text, up to the end or the first refusal.
fn read(bytes: &[u8], piece: usize) -> Vec<String> {
    let mut packets = Vec::new();
    let mut buffer = BytesMut::new();
    let mut protocol = None;
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.len();
            match Frame::take(&mut buffer, BODY_BYTES_MAX) {
                Ok(None) => {
                    assert_eq!(buffer.len(), before, "bytes were lost");
                    break;
                }
                Ok(Some(frame)) => {
                    assert_eq!(frame.bytes.len() + buffer.len(), before, "bytes were lost");
                    assert!(frame.body().len() <= BODY_BYTES_MAX);
                    let Some(protocol) = protocol else {
                        match read_connect(frame) {
                            Ok(connect) => {
                                packets.push(format!("{connect:?}"));
                                protocol = Some(Protocol(connect.version));
                                continue;
                            }
                            Err(error) => {
                                packets.push(format!("{error:?}"));
                                return packets;
                            }
                        }
                    };
                    match protocol.read(frame) {
                        Ok(packet) => packets.push(format!("{packet:?}")),
                        Err(violation) => {
                            packets.push(format!("{violation:?}"));
                            return packets;
                        }
                    }
                }
                Err(error) => {
                    packets.push(format!("{error:?}"));
                    return packets;
                }
            }
        }
    }
    packets
}
