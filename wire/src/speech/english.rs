//! English.

use std::sync::LazyLock;

use super::token::{BelowHundred, Part, Phrases, QRIS, Token, groups, numeral, say};

const BELOW_TWENTY: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];

const TENS: [&str; 10] = [
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];

static BELOW_HUNDRED: BelowHundred = LazyLock::new(|| {
    (0..100)
        .map(|number| match BELOW_TWENTY.get(number) {
            Some(word) => (*word).to_owned(),
            None if number.is_multiple_of(10) => TENS[number / 10].to_owned(),
            None => format!("{}-{}", TENS[number / 10], BELOW_TWENTY[number % 10]),
        })
        .collect()
});

const HUNDRED: Token = Token::word("hundred");
const UNITS: [Token; 4] = [
    Token::word("thousand"),
    Token::word("million"),
    Token::word("billion"),
    Token::word("trillion"),
];

pub(super) const PHRASES: Phrases = Phrases {
    paid: &[QRIS, say("payment"), say("received")],
    delayed: &[say("delayed"), say("payment"), say("received")],
    repeated: &[say("repeated"), Part::Pause, say("last"), say("payment")],
    total: &[say("total"), say("today")],
    test: &[say("this"), say("is"), say("a"), say("test")],
    nothing_to_repeat: &[
        say("there"),
        say("is"),
        say("no"),
        say("payment"),
        say("to"),
        say("repeat"),
    ],
    currency: Token::word("rupiah"),
    to: "for",
};

/// Appends a number up to [`super::MAX`].
pub(super) fn number(number: u64, tokens: &mut Vec<Token>) {
    if number == 0 {
        tokens.push(numeral(&BELOW_HUNDRED, 0));
    }
    for (group, power) in groups(number) {
        if group >= 100 {
            tokens.extend([numeral(&BELOW_HUNDRED, group / 100), HUNDRED]);
        }
        if !group.is_multiple_of(100) {
            tokens.push(numeral(&BELOW_HUNDRED, group % 100));
        }
        tokens.extend(
            power
                .checked_sub(1)
                .and_then(|place| UNITS.get(place as usize)),
        );
    }
}
