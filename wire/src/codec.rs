//! The two encodings of a message, distinguished by the first byte.
//!
//! `{` opens a JSON object. As MessagePack it would be the integer 123, and a message is always a map, so the two cannot
//! be confused. White space and a byte order mark before it are skipped; none of them begins a MessagePack map either.
//! MessagePack maps have field names (rmp-serde's "named" form), not positions, so a field can be added without a new
//! version. Length and depth are limited before and during reading.

use std::io::Cursor;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits::FieldError;

/// The longest message or envelope, in bytes.
pub const MESSAGE_LEN_MAX: usize = 64 * 1024;

/// The deepest nesting of a MessagePack message (serde_json has a limit of its own, 128; skipped values have none).
const DEPTH_MAX: usize = 256;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// JSON text without a byte order mark and white space before it, and without the NUL of a C string after it.
pub fn json_text(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let start = bytes
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(start, |last| last + 1);
    &bytes[start..end.max(start)]
}

/// The encoding of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// JSON text.
    #[default]
    Json,
    /// MessagePack with named fields.
    Msgpack,
}

impl Encoding {
    /// The value of `payload_encoding`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Msgpack => "msgpack",
        }
    }

    /// The encoding of a message, by its first byte or by the first one of its JSON text.
    ///
    /// # Errors
    /// Neither a JSON object nor a MessagePack map, or longer than [`MESSAGE_LEN_MAX`].
    pub fn detect(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MESSAGE_LEN_MAX {
            return Err(DecodeError::TooLong);
        }
        match bytes.first() {
            // fixmap, map 16, map 32
            Some(0x80..=0x8f | 0xde | 0xdf) => Ok(Self::Msgpack),
            _ if json_text(bytes).first() == Some(&b'{') => Ok(Self::Json),
            _ => Err(DecodeError::NotAMessage),
        }
    }
}

#[cfg(feature = "sqlx")]
crate::stored_as_text!(Encoding);

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error for a text that names no encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an encoding is json or msgpack")]
pub struct ParseEncodingError;

impl std::str::FromStr for Encoding {
    type Err = ParseEncodingError;

    fn from_str(text: &str) -> Result<Self, ParseEncodingError> {
        match text {
            "json" => Ok(Self::Json),
            "msgpack" => Ok(Self::Msgpack),
            _ => Err(ParseEncodingError),
        }
    }
}

/// Why bytes are not the expected message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`MESSAGE_LEN_MAX`].
    #[error("longer than {MESSAGE_LEN_MAX} bytes")]
    TooLong,
    /// The first byte opens neither a JSON object nor a MessagePack map.
    #[error("neither a JSON object nor a MessagePack map")]
    NotAMessage,
    /// A box does not publish to this channel.
    #[error("not an uplink channel")]
    NotAnUplink,
    /// The platform does not publish to this channel.
    #[error("not a downlink channel")]
    NotADownlink,
    /// The message has no type.
    #[error("message_type is missing")]
    NoMessageType,
    /// The message has another type than its topic.
    #[error("message_type is not {expected}")]
    WrongMessageType {
        /// The type of the topic's messages.
        expected: &'static str,
    },
    /// Not JSON, or not this structure.
    #[error("malformed JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Not MessagePack, or not this structure.
    #[error("malformed MessagePack: {0}")]
    Msgpack(#[from] rmp_serde::decode::Error),
    /// Bytes after the end of the message.
    #[error("bytes follow the message")]
    TrailingBytes,
    /// A field breaks its limit.
    #[error("{0}")]
    Field(#[from] FieldError),
}

/// Why a message could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Longer than [`MESSAGE_LEN_MAX`].
    #[error("longer than {MESSAGE_LEN_MAX} bytes")]
    TooLong,
    /// JSON could not express it.
    #[error("not expressible in JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// MessagePack could not express it.
    #[error("not expressible in MessagePack: {0}")]
    Msgpack(#[from] rmp_serde::encode::Error),
    /// A field breaks its limit.
    #[error("{0}")]
    Field(#[from] FieldError),
}

pub(crate) fn encode<T: Serialize>(
    encoding: Encoding,
    message: &T,
) -> Result<Vec<u8>, EncodeError> {
    let bytes = match encoding {
        Encoding::Json => serde_json::to_vec(message)?,
        Encoding::Msgpack => rmp_serde::to_vec_named(message)?,
    };
    if bytes.len() > MESSAGE_LEN_MAX {
        Err(EncodeError::TooLong)
    } else {
        Ok(bytes)
    }
}

pub(crate) fn decode<T: DeserializeOwned>(
    encoding: Encoding,
    bytes: &[u8],
) -> Result<T, DecodeError> {
    if Encoding::detect(bytes)? != encoding {
        return Err(DecodeError::NotAMessage);
    }
    match encoding {
        // Bytes that are not UTF-8 are replaced: they cost letters of a text, not the message.
        Encoding::Json => Ok(serde_json::from_str(&String::from_utf8_lossy(json_text(
            bytes,
        )))?),
        Encoding::Msgpack => {
            let mut deserializer = rmp_serde::Deserializer::new(Cursor::new(bytes));
            deserializer.set_max_depth(DEPTH_MAX);
            let message = T::deserialize(&mut deserializer)?;
            if deserializer.position() == bytes.len() as u64 {
                Ok(message)
            } else {
                Err(DecodeError::TrailingBytes)
            }
        }
    }
}

/// Checks that a message has the type of its topic.
pub(crate) fn expect_message_type(
    encoding: Encoding,
    bytes: &[u8],
    expected: &'static str,
) -> Result<(), DecodeError> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        message_type: Option<String>,
    }

    match decode::<Head>(encoding, bytes)?.message_type {
        Some(found) if found == expected => Ok(()),
        Some(_) => Err(DecodeError::WrongMessageType { expected }),
        None => Err(DecodeError::NoMessageType),
    }
}
