//! The packet reader, as a fuzzer feeds it. No part of the crate's interface.

use bytes::BytesMut;

use crate::frame::Frame;
use crate::protocol::{Protocol, read_connect};

/// Larger than what the fuzzer makes, so that the limit is met through announced lengths alone.
const BODY_BYTES_MAX: usize = 4096;

/// Reads these bytes as a connection does, CONNECT first, then what a session may send.
///
/// # Panics
/// When bytes are lost or invented, or when it matters in which pieces they arrive.
pub fn read_packets(bytes: &[u8]) {
    let at_once = read(bytes, bytes.len().max(1));
    // TCP may cut anywhere.
    assert_eq!(at_once, read(bytes, 1), "one byte at a time");
    assert_eq!(at_once, read(bytes, 7), "seven bytes at a time");
}

/// What was read, in words, until the end or the first refusal.
fn read(bytes: &[u8], piece: usize) -> Vec<String> {
    let mut said = Vec::new();
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
                                said.push(format!("{connect:?}"));
                                protocol = Some(Protocol(connect.version));
                                continue;
                            }
                            Err(error) => {
                                said.push(format!("{error:?}"));
                                return said;
                            }
                        }
                    };
                    match protocol.read(frame) {
                        Ok(packet) => said.push(format!("{packet:?}")),
                        Err(violation) => {
                            said.push(format!("{violation:?}"));
                            return said;
                        }
                    }
                }
                Err(error) => {
                    said.push(format!("{error:?}"));
                    return said;
                }
            }
        }
    }
    said
}
