//! How a box joins: client id, user name, password.

use aws_lc_rs::hmac;

use super::error::ValueError;
use super::template::{Placeholder, Template};
use super::values::BoxValues;
use crate::text_enum::text_enum;

text_enum! {
    /// How a box comes by its settings.
    pub enum Bootstrap as "bootstrap" {
        /// Somebody types them in, or loads them with the maker's tool.
        TypedIn = "typed_in",
        /// It asks for them: `POST /speaker/dev-config`.
        DevConfig = "dev_config",
    }
}

/// The fewest characters of a password, and of a secret that one is derived from: more than 128 bits.
pub(super) const CHARS_MIN: usize = 22;
/// The fewest where the maker leaves no more room, which the profile must say: more than 64 bits.
pub(super) const WEAKER_CHARS_MIN: usize = 11;
/// The random bits of one of 62 characters, in thousandths.
const BITS_OF_CHAR_PERMILLE: u32 = 5_954;
/// The most characters that the random bytes give evenly.
pub(super) const RANDOM_CHARS_MAX: usize = 32;

/// How a box announces itself in CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The client id.
    pub client_id: String,
    /// The user name.
    pub username: String,
    /// How often it speaks at the least, in seconds.
    pub keep_alive_s: u16,
    /// Whether it begins each connection without a session.
    pub clean_session: bool,
}

/// A new password.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// What the box sends in CONNECT.
    pub password: String,
    /// What is typed into the box instead, where it makes the password from this secret.
    pub product_secret: Option<String>,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// How many guesses a password withstands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordStrength<'a> {
    /// Its random bits.
    pub bits: u32,
    /// Why the maker leaves no room for 128.
    pub weaker: Option<&'a str>,
}

/// The rule for passwords of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PasswordRule {
    Random {
        chars: usize,
    },
    HmacSha256 {
        message: Template,
        upper: bool,
        secret_chars: usize,
    },
}

/// The templates of a profile for CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoginTemplates {
    pub(super) bootstrap: Bootstrap,
    pub(super) client_id: Template,
    pub(super) username: Template,
    pub(super) password: PasswordRule,
    /// Why passwords have less than 128 random bits, if they do.
    pub(super) weaker: Option<String>,
    pub(super) keep_alive_s: u16,
    pub(super) clean_session: bool,
}

/// The placeholders that a client id, a user name and the text of a derived password may have.
pub(super) const IN_LOGINS: &[Placeholder] = &[
    Placeholder::Serial,
    Placeholder::Imei,
    Placeholder::ProductKey,
    Placeholder::DeviceId,
];

impl LoginTemplates {
    pub(super) fn of(&self, values: &BoxValues) -> Result<Login, ValueError> {
        let fill = |template: &Template| template.fill(|placeholder| values.get(placeholder));
        Ok(Login {
            client_id: fill(&self.client_id)?,
            username: fill(&self.username)?,
            keep_alive_s: self.keep_alive_s,
            clean_session: self.clean_session,
        })
    }

    /// A text about the box itself, its user name and client id included.
    pub(super) fn fill(
        &self,
        template: &Template,
        values: &BoxValues,
    ) -> Result<String, ValueError> {
        template.fill(|placeholder| self.value(placeholder, values))
    }

    pub(super) fn value(
        &self,
        placeholder: Placeholder,
        values: &BoxValues,
    ) -> Result<String, ValueError> {
        let template = match placeholder {
            Placeholder::Username => &self.username,
            Placeholder::ClientId => &self.client_id,
            _ => return values.get(placeholder),
        };
        template.fill(|placeholder| values.get(placeholder))
    }

    pub(super) fn strength(&self) -> PasswordStrength<'_> {
        let (PasswordRule::Random { chars }
        | PasswordRule::HmacSha256 {
            secret_chars: chars,
            ..
        }) = self.password;
        let permille = u32::try_from(chars).unwrap_or_default() * BITS_OF_CHAR_PERMILLE;
        PasswordStrength {
            bits: permille / 1_000,
            weaker: self.weaker.as_deref(),
        }
    }

    pub(super) fn password(
        &self,
        values: &BoxValues,
        random: &[u8; 32],
    ) -> Result<Password, ValueError> {
        match &self.password {
            PasswordRule::Random { chars } => Ok(Password {
                password: characters(random, *chars),
                product_secret: None,
            }),
            PasswordRule::HmacSha256 {
                message,
                upper,
                secret_chars,
            } => {
                let secret = characters(random, *secret_chars);
                let message = message.fill(|placeholder| values.get(placeholder))?;
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
                let digest = hmac::sign(&key, message.as_bytes());
                let password = if *upper {
                    hex::encode_upper(digest)
                } else {
                    hex::encode(digest)
                };
                Ok(Password {
                    password,
                    product_secret: Some(secret),
                })
            }
        }
    }
}

/// So many letters and digits out of random bytes: the bytes as one number, written in base 62. 256 bits are so many
/// more than 32 characters need that each character is as likely as any other.
fn characters(random: &[u8; 32], count: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = *random;
    (0..count)
        .map(|_| {
            let mut remainder = 0u32;
            for byte in &mut number {
                let value = remainder * 256 + u32::from(*byte);
                *byte = u8::try_from(value / 62).unwrap_or_default();
                remainder = value % 62;
            }
            char::from(ALPHABET[usize::try_from(remainder).unwrap_or_default()])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_those_of_the_number() {
        let mut random = [0; 32];
        assert_eq!(characters(&random, 4), "0000");
        random[31] = 61;
        assert_eq!(characters(&random, 2), "z0");
        // 256 = 4 × 62 + 8.
        random[30] = 1;
        random[31] = 0;
        assert_eq!(characters(&random, 3), "840");
    }

    #[test]
    fn the_fewest_characters_have_the_bits_that_are_promised() {
        let bits = |chars: usize| u32::try_from(chars).unwrap() * BITS_OF_CHAR_PERMILLE / 1_000;
        assert!(bits(CHARS_MIN) >= 128 && bits(CHARS_MIN - 1) < 128);
        assert!(bits(WEAKER_CHARS_MIN) >= 64 && bits(WEAKER_CHARS_MIN - 1) < 64);
        assert_eq!(bits(16), 95);
    }

    #[test]
    fn every_character_comes_as_often_as_another() {
        let mut counts = std::collections::HashMap::<char, u32>::new();
        for seed in 0..2_000u32 {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &seed.to_be_bytes());
            let random = digest.as_ref().try_into().unwrap();
            for c in characters(&random, RANDOM_CHARS_MAX).chars() {
                *counts.entry(c).or_default() += 1;
            }
        }
        assert_eq!(counts.len(), 62);
        // 64,000 characters, 1,032 of each expected, with a deviation of 32.
        assert!(
            counts.values().all(|count| (850..1_220).contains(count)),
            "{counts:?}"
        );
    }
}
