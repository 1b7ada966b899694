//! The metadata of a downlink inside the router.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// Carried through the router as the publish's correlation data, and not sent to the box.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) sequence: u64,
    pub(super) key: Option<Uuid>,
}

impl Label {
    pub(super) fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(24);
        bytes.put_u64(self.sequence);
        if let Some(key) = self.key {
            bytes.put_slice(key.as_bytes());
        }
        bytes.freeze()
    }

    pub(super) fn from_bytes(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < 8 {
            return None;
        }
        let sequence = bytes.get_u64();
        let key = match bytes.len() {
            0 => None,
            _ => Some(Uuid::from_slice(&bytes).ok()?),
        };
        Some(Self { sequence, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_reads_back_as_itself() {
        for key in [None, Some(Uuid::from_u128(7))] {
            let label = Label { sequence: 9, key };
            assert_eq!(Label::from_bytes(label.to_bytes()), Some(label));
        }
        for bytes in [&b""[..], b"1234567", b"123456781234567"] {
            assert_eq!(Label::from_bytes(Bytes::copy_from_slice(bytes)), None);
        }
    }
}
