//! The signed envelope around everything the platform says.
//!
//! A box believes no broker, bridge or neighbour: it speaks, shows and obeys only what carries an Ed25519 signature
//! of a key that it was given at activation. What is signed are bytes, not a structure, so nothing has to be
//! re-encoded to verify:
//!
//! ```text
//! soundbox/1 LF message_type LF device_id LF body
//! ```
//!
//! The envelope is `{message_type, device_id, key_id, body, signature}`. In JSON the body is the JSON text of the
//! message, as a string, and the signature is standard base64; in MessagePack the body is the MessagePack encoding
//! of the message, and both are bin. The message type and the addressee are part of what is signed: an envelope can
//! neither be moved to another topic nor to another box.

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

/// The first line of what is signed: a signature made for anything else is none here.
const CONTEXT: &str = "soundbox/1";

/// The length of an Ed25519 public key (RFC 8032).
pub const PUBLIC_KEY_LEN: usize = 32;

/// The length of an Ed25519 signature (RFC 8032).
const SIGNATURE_LEN: usize = 64;

/// How many keys a box holds at most: the current one and those about to come or go.
const KEYS_MAX: usize = 16;

/// The longest name of a key.
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

/// A key that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not an Ed25519 key.
    #[error("not an Ed25519 key")]
    NotEd25519,
    /// Not a sane name.
    #[error("a key id is 1 to {KEY_ID_LEN_MAX} characters of [A-Za-z0-9_.-]")]
    KeyId,
    /// More keys than a box holds.
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

/// Why a message could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The message could not be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A JSON body that is not text; cannot happen with serde_json.
    #[error("the body is not text")]
    NotText,
}

/// The platform's side: signs what it says.
pub struct Signer {
    key_id: String,
    key: Ed25519KeyPair,
}

impl Signer {
    /// A signer from the 32 bytes of an Ed25519 private key (the seed of RFC 8032).
    ///
    /// # Errors
    /// A key id that is not sane.
    pub fn from_seed(key_id: impl Into<String>, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let key = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::NotEd25519)?;
        Self::new(key_id.into(), key)
    }

    /// A signer from a PKCS#8 document (RFC 8410), version 1 or 2.
    ///
    /// # Errors
    /// Not an Ed25519 key in PKCS#8, or a key id that is not sane.
    pub fn from_pkcs8(key_id: impl Into<String>, document: &[u8]) -> Result<Self, KeyError> {
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document)
            .map_err(|_| KeyError::NotEd25519)?;
        Self::new(key_id.into(), key)
    }

    fn new(key_id: String, key: Ed25519KeyPair) -> Result<Self, KeyError> {
        check_key_id(&key_id)?;
        Ok(Self { key_id, key })
    }

    /// The name under which boxes know the key.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The public key, 32 bytes.
    pub fn public_key(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }

    /// The one key that verifies what this signs.
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
    /// A message that breaks a limit.
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
    /// Not an envelope at all.
    #[error("not an envelope: {0}")]
    Malformed(#[source] DecodeError),
    /// The platform does not speak on this channel.
    #[error("not a downlink channel")]
    NotADownlink,
    /// For another box.
    #[error("addressed to another device")]
    OtherDevice,
    /// Not what this topic carries.
    #[error("message_type is not {expected}")]
    WrongMessageType {
        /// What the topic carries.
        expected: &'static str,
    },
    /// A key that this box was never given.
    #[error("signed with an unknown key")]
    UnknownKey,
    /// The signature does not verify.
    #[error("the signature is wrong")]
    WrongSignature,
    /// Properly signed, and yet not a message of this contract.
    #[error("the signed body is not the message: {0}")]
    Body(#[source] DecodeError),
}

/// The box's side: the public keys it was given at activation, by name.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct VerifyingKeys {
    keys: BTreeMap<String, [u8; PUBLIC_KEY_LEN]>,
}

impl VerifyingKeys {
    /// Adds a key.
    ///
    /// # Errors
    /// A key id that is not sane, or too many keys.
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

    /// The names of the keys.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Whether there is no key, so that nothing can be believed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Verifies what came on `own`'s `channel`, and only then reads it.
    ///
    /// # Errors
    /// Whatever is not exactly a message of the platform to this box on this topic.
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
