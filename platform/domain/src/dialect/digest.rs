//! A signature inside the message: the hash of some of its fields and the secret, in hex, in another field.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;

use super::pointer::{Layout, Place};
use super::secret::SharedSecret;
use crate::callback::read_object;
use crate::partner_message::deciding;
use crate::text_enum::text_enum;

text_enum! {
    /// A hash function.
    pub enum HashFunction as "hash function" {
        /// What old recipes ask for.
        Sha1 = "sha1",
        /// SHA-256.
        Sha256 = "sha256",
        /// SHA-512.
        Sha512 = "sha512",
    }
}

impl HashFunction {
    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// What is hashed, and where the result stands.
#[derive(Debug, Clone)]
pub(super) struct Digest {
    pub(super) hash: HashFunction,
    pub(super) layout: Layout,
    pub(super) parts: Vec<Part>,
    pub(super) claimed: Place,
}

/// A part of the text that is hashed.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Field(Place),
    Secret,
}

impl Digest {
    /// Whether the message carries the hash that one of the secrets gives.
    pub(super) fn is_right(&self, fields: &[u8], secrets: &[SharedSecret]) -> bool {
        let Ok(object) = read_object(fields) else {
            return false;
        };
        let Ok(document) = self.layout.open(object) else {
            return false;
        };
        let text = |place: &Place| {
            let raw = document.first(std::slice::from_ref(place));
            deciding(raw).ok().flatten()
        };
        let Some(claimed) = text(&self.claimed) else {
            return false;
        };
        let mut fields = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            fields.push(match part {
                Part::Secret => None,
                // A field that is hashed and absent counts as empty.
                Part::Field(place) => Some(text(place).unwrap_or_default()),
            });
        }
        let claimed = claimed.to_ascii_lowercase();
        let matches = secrets
            .iter()
            .filter(|secret| {
                let mut context = digest::Context::new(self.hash.algorithm());
                for field in &fields {
                    context.update(
                        field
                            .as_ref()
                            .map_or(secret.bytes(), |text| text.as_bytes()),
                    );
                }
                let right = hex::encode(context.finish());
                verify_slices_are_equal(right.as_bytes(), claimed.as_bytes()).is_ok()
            })
            .count();
        matches > 0
    }
}
