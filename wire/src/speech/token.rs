//! The units of speech.

use std::sync::LazyLock;

/// The smallest unit that is said: a word of a sentence, or the clip that says it. A clip may be of several words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// The name of its clip: lower-case letters and digits. Unique in a language.
    pub clip: &'static str,
    /// How it is written.
    pub text: &'static str,
}

impl Token {
    /// A word whose clip has its name.
    pub(super) const fn word(text: &'static str) -> Self {
        Self { clip: text, text }
    }

    pub(super) const fn new(clip: &'static str, text: &'static str) -> Self {
        Self { clip, text }
    }
}

/// A part of a fixed phrase.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Say(Token),
    /// Written as a comma.
    Pause,
}

/// A word of a phrase whose clip has its name.
pub(super) const fn say(text: &'static str) -> Part {
    Part::Say(Token::word(text))
}

/// The phrases of a language. An amount follows `paid`, `delayed`, `repeated` and `total`.
pub(super) struct Phrases {
    pub(super) paid: &'static [Part],
    pub(super) delayed: &'static [Part],
    pub(super) repeated: &'static [Part],
    pub(super) total: &'static [Part],
    pub(super) test: &'static [Part],
    pub(super) nothing_to_repeat: &'static [Part],
    /// Follows an amount.
    pub(super) currency: Token,
    /// What is between an amount and the merchant's name.
    pub(super) to: &'static str,
}

/// `qris`, in every language.
pub(super) const QRIS: Part = Part::Say(Token::new("qris", "QRIS"));

/// The numbers 0 to 99 of a language, each one clip.
pub(super) type BelowHundred = LazyLock<Vec<String>>;

static DIGITS: BelowHundred = LazyLock::new(|| (0..100).map(|number| number.to_string()).collect());

/// A number from 0 to 99; its clip is named by its digits.
pub(super) fn numeral(words: &'static BelowHundred, number: u64) -> Token {
    let place = usize::try_from(number).unwrap_or(usize::MAX);
    match (DIGITS.get(place), words.get(place)) {
        (Some(clip), Some(text)) => Token { clip, text },
        _ => Token::word(""),
    }
}

/// A number as groups of three digits without the empty ones, the highest first: its value, 1 to 999, and its power of a
/// thousand.
pub(super) fn groups(number: u64) -> impl Iterator<Item = (u64, u32)> {
    (0..=6_u32)
        .rev()
        .map(move |power| (number / 1_000_u64.pow(power) % 1_000, power))
        .filter(|(group, _)| *group > 0)
}
