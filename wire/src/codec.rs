//! The two encodings of a message, told apart by the first byte.
//!
//! `{` opens a JSON object; as MessagePack it would be the integer 123, and a message is always a map, so the two can
//! never be confused. What JSON allows before it (blanks, line ends) or editors put there (a byte order mark) is skipped;
//! none of it begins a MessagePack map either. MessagePack maps carry field names (rmp-serde's "named" form), never positions: a field can be
//! added without a version. Length and depth are bounded before and while anything is read.

use std::io::Cursor;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::message::FieldError;

/// The longest message or envelope, in bytes.
pub const MESSAGE_LEN_MAX: usize = 64 * 1024;

/// How deep a MessagePack message may be nested (serde_json has a limit of its own, 128; what is skipped has none).
const DEPTH_MAX: usize = 256;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// JSON text without what senders put around it: a byte order mark and white space before it, and the NUL that ends a C
/// string behind it.
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

/// How a message is written.
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
    /// The word in `payload_encoding`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Msgpack => "msgpack",
        }
    }

    /// Tells the encoding of a message by its first byte, or by the first one of its JSON text.
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

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no encoding.
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

/// Why bytes are not the message that was expected.
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
    /// The message does not say what it is.
    #[error("message_type is missing")]
    NoMessageType,
    /// The message is not what its topic carries.
    #[error("message_type is not {expected}")]
    WrongMessageType {
        /// What the topic carries.
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
        // Text in another character set is somewhere in a text: it costs those letters, not the message.
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

/// Makes sure that a message says of itself what its topic says of it.
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
