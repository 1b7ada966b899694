//! One-time codes with which a person sets a password that no other person knows.
//!
//! Where two people make or reset a user, each holds one half of the code. Neither can set the password alone, and so
//! neither can become the second person. Only a hash over both halves is kept.

use chrono::{DateTime, TimeDelta, Utc};
use store::people::user::Setup;

use crate::secret;

/// How long a code is good.
const LIFETIME: TimeDelta = TimeDelta::days(3);

/// A new code, or half of one: 125 random bits in groups that can be read out.
pub(crate) fn generate() -> String {
    secret::activation_code()
}

/// The hash of a code or a half, as it was typed.
pub(crate) fn hash(code: &str) -> Vec<u8> {
    secret::hash(&code.trim().to_ascii_uppercase())
}

/// What is kept of a code, or of two halves, given their hashes.
pub(super) fn setup(hashes: &[&[u8]], now: DateTime<Utc>) -> Setup {
    Setup {
        hash: combined(hashes),
        expires_at: now + LIFETIME,
    }
}

/// The possible hashes of what a person typed: the halves in either order.
pub(super) fn candidates(code: &str, second_code: Option<&str>) -> Vec<Vec<u8>> {
    let first = hash(code);
    match second_code.map(hash) {
        None => vec![combined(&[&first])],
        Some(second) => vec![combined(&[&first, &second]), combined(&[&second, &first])],
    }
}

fn combined(hashes: &[&[u8]]) -> Vec<u8> {
    secret::hash_bytes(&hashes.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_needed_and_either_comes_first() {
        let (one, two) = (generate(), generate());
        let kept = setup(&[&hash(&one), &hash(&two)], DateTime::UNIX_EPOCH).hash;
        let typed = format!(" {} ", one.to_lowercase());
        assert!(candidates(&typed, Some(&two)).contains(&kept));
        assert!(candidates(&two, Some(&one)).contains(&kept));
        for wrong in [
            candidates(&one, None),
            candidates(&two, None),
            candidates(&one, Some(&one)),
            candidates(&one, Some(&generate())),
            candidates(&format!("{one}{two}"), None),
        ] {
            assert!(!wrong.contains(&kept));
        }
        let whole = setup(&[&hash(&one)], DateTime::UNIX_EPOCH).hash;
        assert!(candidates(&one, None).contains(&whole));
    }
}
