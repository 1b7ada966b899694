//! Secrets that are shown once and kept as hashes: bearer tokens and activation codes.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// 32 Crockford letters and digits, without those that people mistake for each other.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new bearer token with 256 random bits, its kind readable at the front.
pub fn token(kind: &str) -> String {
    let bytes: [u8; 32] = rand::random();
    format!("{kind}_{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// A new activation code: 125 random bits as 25 letters and digits in groups of five, for a label or a phone call.
pub fn activation_code() -> String {
    let bytes: [u8; 25] = rand::random();
    let letters: Vec<char> = bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect();
    letters
        .chunks(5)
        .map(|group| group.iter().collect::<String>())
        .collect::<Vec<_>>()
        .join("-")
}

/// The SHA-256 under which a secret is kept. It needs no salt or stretching: it has more than 100 random bits.
pub fn hash(secret: &str) -> Vec<u8> {
    hash_bytes(secret.as_bytes())
}

/// SHA-256.
pub fn hash_bytes(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}
