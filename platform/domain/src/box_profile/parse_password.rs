//! The rule for passwords of a profile.

use toml::Spanned;

use super::file::{self, Case};
use super::login::{CHARS_MIN, IN_LOGINS, PasswordRule, RANDOM_CHARS_MAX, WEAKER_CHARS_MIN};
use super::source::{Result, Source};

const KEY: &str = "transport.password";

impl Source<'_> {
    /// The rule, and why its passwords have less than 128 random bits, if they do.
    pub(super) fn password(
        &self,
        password: Spanned<file::Password>,
    ) -> Result<(PasswordRule, Option<String>)> {
        let offset = password.span().start;
        let error = |problem: String| self.at(offset, KEY, problem);
        let password = password.into_inner();
        let weaker = password.weaker;
        let strong = |found: usize, of: &str| match &weaker {
            None if (CHARS_MIN..=RANDOM_CHARS_MAX).contains(&found) => Ok(found),
            None => Err(error(format!(
                "{of} is from {CHARS_MIN} to {RANDOM_CHARS_MAX}: fewer have less than 128 random bits, for which weaker must \
                 say why the maker leaves no more room"
            ))),
            Some(why) if why.get_ref().trim().is_empty() => {
                Err(self.error(why, format!("{KEY}.weaker"), "says nothing"))
            }
            Some(_) if (WEAKER_CHARS_MIN..CHARS_MIN).contains(&found) => Ok(found),
            Some(why) => Err(self.error(
                why,
                format!("{KEY}.weaker"),
                format!("is for {of} from {WEAKER_CHARS_MIN} to {}", CHARS_MIN - 1),
            )),
        };
        let rule = match password.rule {
            file::PasswordRule::Random => {
                let (Some(chars), None, None, None) = (
                    password.chars,
                    &password.message,
                    password.case,
                    password.secret_chars,
                ) else {
                    let problem = "a random password has chars, and weaker if they are few";
                    return Err(error(problem.to_owned()));
                };
                PasswordRule::Random {
                    chars: strong(chars, "chars")?,
                }
            }
            file::PasswordRule::HmacSha256 => {
                let (Some(message), Some(case), Some(secret_chars), None) = (
                    password.message,
                    password.case,
                    password.secret_chars,
                    password.chars,
                ) else {
                    let problem = "a derived password has message, case and secret_chars";
                    return Err(error(problem.to_owned()));
                };
                PasswordRule::HmacSha256 {
                    message: self.template(&message, &format!("{KEY}.message"), &[IN_LOGINS])?,
                    upper: case == Case::Upper,
                    secret_chars: strong(secret_chars, "secret_chars")?,
                }
            }
        };
        Ok((rule, weaker.map(Spanned::into_inner)))
    }
}
