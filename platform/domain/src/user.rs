//! People who log in: what an email is to us, and what a password must be.

use std::fmt;
use std::str::FromStr;

use crate::text_enum::text_enum;

/// The longest email (RFC 5321: a path of 256 octets less its angle brackets).
const EMAIL_LEN_MAX: usize = 254;
/// The shortest and the longest password, in characters (NIST SP 800-63B: no fewer than 64 allowed).
const PASSWORD_LEN: std::ops::RangeInclusive<usize> = 12..=128;

text_enum! {
    /// Whether a user may log in.
    pub enum UserStatus as "user status" {
        /// May log in.
        Active = "active",
        /// May not, and whatever tokens it had are revoked.
        Disabled = "disabled",
    }
}

/// An email address in lower case. Only its owner can say whether it exists; its form is all that is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email(String);

/// A text that cannot be an email address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an email address of at most {EMAIL_LEN_MAX} visible ASCII characters")]
pub struct NoEmail;

impl Email {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Email {
    type Err = NoEmail;

    fn from_str(text: &str) -> Result<Self, NoEmail> {
        let text = text.trim();
        let (local, host) = text.rsplit_once('@').ok_or(NoEmail)?;
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain || local.is_empty() || host.is_empty() || text.len() > EMAIL_LEN_MAX {
            return Err(NoEmail);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// What is wrong with a new password of the user with this email. Rules about its characters are not among it: they make
/// people choose worse.
///
/// # Errors
/// A sentence for the person who chose it.
pub fn check_password(password: &str, email: &str) -> Result<(), String> {
    if !PASSWORD_LEN.contains(&password.chars().count()) {
        return Err(format!(
            "{} to {} characters",
            PASSWORD_LEN.start(),
            PASSWORD_LEN.end()
        ));
    }
    if password.trim().eq_ignore_ascii_case(email.trim()) {
        return Err("must not be the email".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_is_one_user_however_it_is_written() {
        let email: Email = " Sari@Example.ID ".parse().unwrap();
        assert_eq!(email.as_str(), "sari@example.id");
    }

    #[test]
    fn what_has_no_two_sides_is_no_email() {
        let long = format!("{}@x.id", "a".repeat(EMAIL_LEN_MAX));
        for wrong in [
            "",
            "sari",
            "@example.id",
            "sari@",
            "sa ri@example.id",
            "sári@example.id",
            "a\n@b.c",
            &long,
        ] {
            assert_eq!(wrong.parse::<Email>(), Err(NoEmail), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_long_and_not_the_email() {
        let email = "sari@example.id";
        assert!(check_password("123456789012", email).is_ok());
        assert!(check_password(&"é".repeat(128), email).is_ok());
        assert!(check_password("12345678901", email).is_err());
        assert!(check_password(&"x".repeat(129), email).is_err());
        assert!(check_password("Sari@Example.ID", email).is_err());
    }
}
