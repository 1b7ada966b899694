//! The signed envelope of the platform's messages.
//!
//! A box trusts no broker or bridge: it accepts only messages with an Ed25519 signature of a key that it received at
//! activation. The signature covers bytes, not a structure, so nothing has to be encoded again to verify it:
//!
//! ```text
//! soundbox/1 LF message_type LF device_id LF body
//! ```
//!
//! The envelope is `{message_type, device_id, key_id, body, signature}`. In JSON the body is the JSON text of the
//! message, as a string, and the signature is standard base64; in MessagePack the body is the MessagePack encoding
//! of the message, and both are bin. The signature also covers the message type and the addressee, so an envelope cannot
//! be moved to another topic or to another box.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{self, DecodeError, EncodeError, Encoding};
use crate::ids::DeviceId;
use crate::message::DownlinkMessage;
use crate::topic::{Channel, Direction};

/// The first line of the signed bytes, so that signatures made for other purposes are not valid here.
const CONTEXT: &str = "soundbox/1";

/// The length of an Ed25519 public key (RFC 8032).
pub const PUBLIC_KEY_LEN: usize = 32;

/// The length of an Ed25519 signature (RFC 8032).
const SIGNATURE_LEN: usize = 64;

/// The most keys of a box: the current one and those of a rotation.
const KEYS_MAX: usize = 16;

/// The longest key id.
const KEY_ID_LEN_MAX: usize = 64;

#[derive(Serialize, Deserialize)]
struct JsonEnvelope {
    message_type: String,
    device_id: String,
    key_id: String,
    body: String,
    signature: String,
}

#[derive(Serialize, Deserialize)]
struct MsgpackEnvelope {
    message_type: String,
    device_id: String,
    key_id: String,
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
    #[serde(with = "serde_bytes")]
    signature: Vec<u8>,
}

fn signing_input(message_type: &str, device_id: &str, body: &[u8]) -> Vec<u8> {
    let mut input =
        Vec::with_capacity(CONTEXT.len() + message_type.len() + device_id.len() + body.len() + 3);
    for line in [CONTEXT, message_type, device_id] {
        input.extend_from_slice(line.as_bytes());
        input.push(b'\n');
    }
    input.extend_from_slice(body);
    input
}

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not an Ed25519 key.
    #[error("not an Ed25519 key")]
    NotEd25519,
    /// An invalid key id.
    #[error("a key id is 1 to {KEY_ID_LEN_MAX} characters of [A-Za-z0-9_.-]")]
    KeyId,
    /// More keys than a box can have.
    #[error("more than {KEYS_MAX} keys")]
    TooMany,
}

fn check_key_id(key_id: &str) -> Result<(), KeyError> {
    let plain = key_id
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if plain && !key_id.is_empty() && key_id.len() <= KEY_ID_LEN_MAX {
        Ok(())
    } else {
        Err(KeyError::KeyId)
    }
}

/// Why a message could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The message could not be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A JSON body that is not text; cannot happen with serde_json.
    #[error("the body is not text")]
    NotText,
}

/// The platform's side: signs messages.
pub struct Signer {
    key_id: String,
    key: Ed25519KeyPair,
}

impl Signer {
    /// A signer from the 32 bytes of an Ed25519 private key (the seed of RFC 8032).
    ///
    /// # Errors
    /// An invalid key id.
    pub fn from_seed(key_id: impl Into<String>, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let key = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::NotEd25519)?;
        Self::new(key_id.into(), key)
    }

    /// A signer from a PKCS#8 document (RFC 8410), version 1 or 2.
    ///
    /// # Errors
    /// Not an Ed25519 key in PKCS#8, or an invalid key id.
    pub fn from_pkcs8(key_id: impl Into<String>, document: &[u8]) -> Result<Self, KeyError> {
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document)
            .map_err(|_| KeyError::NotEd25519)?;
        Self::new(key_id.into(), key)
    }

    fn new(key_id: String, key: Ed25519KeyPair) -> Result<Self, KeyError> {
        check_key_id(&key_id)?;
        Ok(Self { key_id, key })
    }

    /// The key's id.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The public key, 32 bytes.
    pub fn public_key(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }

    /// The public key of this signer alone.
    pub fn verifying_keys(&self) -> VerifyingKeys {
        let mut keys = VerifyingKeys::default();
        if let Ok(public) = <[u8; PUBLIC_KEY_LEN]>::try_from(self.public_key()) {
            keys.keys.insert(self.key_id.clone(), public);
        }
        keys
    }

    /// The payload for `device_id`'s topic.
    ///
    /// # Errors
    /// A message that violates a limit.
    pub fn seal(
        &self,
        message: &DownlinkMessage,
        device_id: DeviceId,
        encoding: Encoding,
    ) -> Result<Vec<u8>, SealError> {
        let body = message.encode_body(encoding)?;
        let message_type = message.message_type().to_owned();
        let device_id = device_id.to_string();
        let key_id = self.key_id.clone();
        let signature = self
            .key
            .sign(&signing_input(&message_type, &device_id, &body));
        let envelope = match encoding {
            Encoding::Json => {
                let body = String::from_utf8(body).map_err(|_| SealError::NotText)?;
                let signature = BASE64.encode(signature);
                codec::encode(
                    encoding,
                    &JsonEnvelope {
                        message_type,
                        device_id,
                        key_id,
                        body,
                        signature,
                    },
                )
            }
            Encoding::Msgpack => {
                let signature = signature.as_ref().to_vec();
                codec::encode(
                    encoding,
                    &MsgpackEnvelope {
                        message_type,
                        device_id,
                        key_id,
                        body,
                        signature,
                    },
                )
            }
        };
        Ok(envelope?)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// Why a box refuses an envelope.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not an envelope.
    #[error("not an envelope: {0}")]
    Malformed(#[source] DecodeError),
    /// The platform does not publish on this channel.
    #[error("not a downlink channel")]
    NotADownlink,
    /// Addressed to another box.
    #[error("addressed to another device")]
    OtherDevice,
    /// Another type than that of the topic.
    #[error("message_type is not {expected}")]
    WrongMessageType {
        /// The type of the topic's messages.
        expected: &'static str,
    },
    /// A key that this box does not have.
    #[error("signed with an unknown key")]
    UnknownKey,
    /// The signature does not verify.
    #[error("the signature is wrong")]
    WrongSignature,
    /// The signature is valid, but the body is not a message of this contract.
    #[error("the signed body is not the message: {0}")]
    Body(#[source] DecodeError),
}

/// The box's side: the public keys that it received at activation, by id.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct VerifyingKeys {
    keys: BTreeMap<String, [u8; PUBLIC_KEY_LEN]>,
}

impl VerifyingKeys {
    /// Adds a key.
    ///
    /// # Errors
    /// An invalid key id, or too many keys.
    pub fn insert(
        &mut self,
        key_id: impl Into<String>,
        public_key: [u8; PUBLIC_KEY_LEN],
    ) -> Result<(), KeyError> {
        let key_id = key_id.into();
        check_key_id(&key_id)?;
        if self.keys.len() >= KEYS_MAX && !self.keys.contains_key(&key_id) {
            return Err(KeyError::TooMany);
        }
        self.keys.insert(key_id, public_key);
        Ok(())
    }

    /// Whether there is no key, so that no message can be verified.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Verifies a message on `own`'s `channel`, and then reads it.
    ///
    /// # Errors
    /// Anything that is not a valid message from the platform to this box on this topic.
    pub fn open(
        &self,
        own: DeviceId,
        channel: Channel,
        bytes: &[u8],
    ) -> Result<DownlinkMessage, OpenError> {
        if channel.direction() != Direction::Downlink {
            return Err(OpenError::NotADownlink);
        }
        let encoding = Encoding::detect(bytes).map_err(OpenError::Malformed)?;
        let envelope = match encoding {
            Encoding::Json => {
                let json: JsonEnvelope =
                    codec::decode(encoding, bytes).map_err(OpenError::Malformed)?;
                MsgpackEnvelope {
                    message_type: json.message_type,
                    device_id: json.device_id,
                    key_id: json.key_id,
                    body: json.body.into_bytes(),
                    signature: BASE64
                        .decode(json.signature)
                        .map_err(|_| OpenError::WrongSignature)?,
                }
            }
            Encoding::Msgpack => codec::decode(encoding, bytes).map_err(OpenError::Malformed)?,
        };
        if envelope.device_id != own.to_string() {
            return Err(OpenError::OtherDevice);
        }
        let expected = channel.message_type();
        if envelope.message_type != expected {
            return Err(OpenError::WrongMessageType { expected });
        }
        let key = self
            .keys
            .get(&envelope.key_id)
            .ok_or(OpenError::UnknownKey)?;
        if envelope.signature.len() != SIGNATURE_LEN {
            return Err(OpenError::WrongSignature);
        }
        let input = signing_input(&envelope.message_type, &envelope.device_id, &envelope.body);
        UnparsedPublicKey::new(&ED25519, key)
            .verify(&input, &envelope.signature)
            .map_err(|_| OpenError::WrongSignature)?;
        DownlinkMessage::decode_body(channel, encoding, &envelope.body).map_err(OpenError::Body)
    }
}

impl fmt::Debug for VerifyingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

impl Serialize for VerifyingKeys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.keys
                .iter()
                .map(|(key_id, key)| (key_id, BASE64.encode(key))),
        )
    }
}

impl<'de> Deserialize<'de> for VerifyingKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;

        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let mut keys = Self::default();
        for (key_id, text) in texts {
            let bytes = BASE64.decode(text).map_err(D::Error::custom)?;
            let key = bytes
                .try_into()
                .map_err(|_| D::Error::custom("an Ed25519 public key has 32 bytes"))?;
            keys.insert(key_id, key).map_err(D::Error::custom)?;
        }
        Ok(keys)
    }
}
