//! What a soundbox says: sentences in each [`Language`], and the same sentences as lists of clips.
//!
//! A grammar for each language makes a sequence of [`Token`]s. Their texts, joined, are the sentence for a box with a
//! speech synthesiser; their names are the clips for a box that has recordings. So the two can never say different things.

mod english;
mod javanese;
mod malayic;
mod name;
#[cfg(test)]
mod tests;
mod token;

use std::collections::BTreeSet;

use crate::language::Language;
use crate::message::Speech;
use crate::rupiah::Rupiah;

pub use token::Token;

use token::{Part, Phrases};

/// The largest number that has words.
pub const MAX: u64 = 999_999_999_999_999;

/// An amount that has no words: negative, or above [`MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are no words for this amount")]
pub struct NoWordsError;

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A payment that was just made.
    Paid(Rupiah),
    /// A payment that was made a while ago.
    Delayed(Rupiah),
    /// The last payment, once more, because someone at the box asked for it.
    Repeated(Rupiah),
    /// What was paid today.
    Total(Rupiah),
    /// That the box can be heard.
    Test,
    /// That no payment was made that could be repeated.
    NothingToRepeat,
}

/// A sentence.
#[derive(Debug, Clone)]
pub struct Sentence {
    parts: Vec<Part>,
    /// What precedes the merchant's name, and the name.
    name: Option<(&'static str, String)>,
}

impl Sentence {
    /// What a person would write.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Pause => text.push(','),
                Part::Say(token) if text.is_empty() => {
                    let mut letters = token.text.chars();
                    text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
                    text.push_str(letters.as_str());
                }
                Part::Say(token) => {
                    text.push(' ');
                    text.push_str(token.text);
                }
            }
        }
        if let Some((to, name)) = &self.name {
            text.push_str(", ");
            text.push_str(to);
            text.push(' ');
            text.push_str(name);
        }
        text
    }

    /// The names of the clips that say it. A merchant's name has no clip and is left out.
    pub fn clips(&self) -> Vec<&'static str> {
        self.tokens().map(|token| token.clip).collect()
    }

    fn tokens(&self) -> impl Iterator<Item = Token> {
        self.parts.iter().filter_map(|part| match part {
            Part::Say(token) => Some(*token),
            Part::Pause => None,
        })
    }
}

/// The sentence for `kind`. With a `merchant`, an amount is followed by that name as far as it can be said: its letters and
/// digits, at most 40 characters.
///
/// # Errors
/// An amount that has no words.
pub fn sentence(
    language: Language,
    kind: Kind,
    merchant: Option<&str>,
) -> Result<Sentence, NoWordsError> {
    let phrases = phrases(language);
    let (phrase, amount) = match kind {
        Kind::Paid(amount) => (phrases.paid, Some(amount)),
        Kind::Delayed(amount) => (phrases.delayed, Some(amount)),
        Kind::Repeated(amount) => (phrases.repeated, Some(amount)),
        Kind::Total(amount) => (phrases.total, Some(amount)),
        Kind::Test => (phrases.test, None),
        Kind::NothingToRepeat => (phrases.nothing_to_repeat, None),
    };
    let mut parts = phrase.to_vec();
    let mut name = None;
    if let Some(amount) = amount {
        let number = u64::try_from(amount.to_i64()).map_err(|_| NoWordsError)?;
        parts.push(Part::Pause);
        parts.extend(numeral(language, number)?.into_iter().map(Part::Say));
        parts.push(Part::Say(phrases.currency));
        name = merchant
            .and_then(name::spoken)
            .map(|name| (phrases.to, name));
    }
    Ok(Sentence { parts, name })
}

/// The sentences for a payment of `amount`.
///
/// # Errors
/// An amount that has no words.
pub fn payment(
    language: Language,
    amount: Rupiah,
    merchant: Option<&str>,
) -> Result<Speech, NoWordsError> {
    Ok(Speech {
        language: language.as_str().to_owned(),
        text: sentence(language, Kind::Paid(amount), merchant)?.text(),
        delayed_text: sentence(language, Kind::Delayed(amount), merchant)?.text(),
    })
}

/// The sentences for the last payment, of `amount`, that is repeated at a box's request: however old it is, it is said to be
/// repeated.
///
/// # Errors
/// An amount that has no words.
pub fn repeated(
    language: Language,
    amount: Rupiah,
    merchant: Option<&str>,
) -> Result<Speech, NoWordsError> {
    let text = sentence(language, Kind::Repeated(amount), merchant)?.text();
    Ok(Speech {
        language: language.as_str().to_owned(),
        delayed_text: text.clone(),
        text,
    })
}

/// The clips of `text`, which is a sentence about `amount` or one of those without an amount. A merchant's name at its end
/// has no clip and is left out. `None`: it is no sentence of the grammar.
pub fn clips_of(
    language: Language,
    amount: Option<Rupiah>,
    text: &str,
) -> Option<Vec<&'static str>> {
    let of_amount = amount.into_iter().flat_map(|amount| {
        [
            Kind::Paid(amount),
            Kind::Delayed(amount),
            Kind::Repeated(amount),
            Kind::Total(amount),
        ]
    });
    of_amount
        .chain([Kind::Test, Kind::NothingToRepeat])
        .filter_map(|kind| sentence(language, kind, None).ok())
        .find(|sentence| {
            let rest = text.strip_prefix(sentence.text().as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(", "))
        })
        .map(|sentence| sentence.clips())
}

/// `number` in words; `None` above [`MAX`].
pub fn number(language: Language, number: u64) -> Option<String> {
    let tokens = numeral(language, number).ok()?;
    let words: Vec<&str> = tokens.iter().map(|token| token.text).collect();
    Some(words.join(" "))
}

/// Every clip that a box needs to say any sentence of a language, without a merchant's name.
pub fn clips(language: Language) -> BTreeSet<Token> {
    let phrases = phrases(language);
    let mut tokens: BTreeSet<Token> = [
        phrases.paid,
        phrases.delayed,
        phrases.repeated,
        phrases.total,
        phrases.test,
        phrases.nothing_to_repeat,
    ]
    .into_iter()
    .flatten()
    .filter_map(|part| match part {
        Part::Say(token) => Some(*token),
        Part::Pause => None,
    })
    .collect();
    tokens.insert(phrases.currency);
    // The words of a group of three digits depend on the group and on its power of a thousand alone.
    for power in [0, 3, 6, 9, 12] {
        for group in 0..1_000 {
            tokens.extend(numeral(language, group * 10_u64.pow(power)).unwrap_or_default());
        }
    }
    tokens
}

fn phrases(language: Language) -> &'static Phrases {
    match language {
        Language::Id => &malayic::INDONESIAN_PHRASES,
        Language::En => &english::PHRASES,
        Language::Jv => &javanese::PHRASES,
        Language::Su => &malayic::SUNDANESE_PHRASES,
    }
}

fn numeral(language: Language, number: u64) -> Result<Vec<Token>, NoWordsError> {
    if number > MAX {
        return Err(NoWordsError);
    }
    let mut tokens = Vec::with_capacity(8);
    match language {
        Language::Id => malayic::INDONESIAN.number(number, &mut tokens),
        Language::En => english::number(number, &mut tokens),
        Language::Jv => javanese::number(number, &mut tokens),
        Language::Su => malayic::SUNDANESE.number(number, &mut tokens),
    }
    Ok(tokens)
}
