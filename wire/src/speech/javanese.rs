//! Javanese, in the everyday register (*ngoko*).
//!
//! A digit before a unit (*puluh*, *atus*, *ewu*, *yuta*) has a form of its own (*loro*, but *rong ewu*), and one is a prefix
//! (*satus*, *sewu*, *sayuta*). 11 to 19 end in *-las*, 21 to 29 in *-likur*; 25, 50 and 60 have their own words (*selawe*,
//! *seket*, *sewidak*).

use std::sync::LazyLock;

use super::token::{BelowHundred, Part, Phrases, QRIS, Token, groups, numeral, say};

const DIGITS: [&str; 10] = [
    "nol", "siji", "loro", "telu", "papat", "lima", "enem", "pitu", "wolu", "sanga",
];

/// The digits before a unit. The one has none: it is a prefix, or *siji* at the end of a larger number.
const BEFORE_UNIT: [Token; 10] = [
    Token::new("0", "nol"),
    Token::new("1", "siji"),
    Token::new("2ng", "rong"),
    Token::new("3ng", "telung"),
    Token::new("4ng", "patang"),
    Token::new("5ng", "limang"),
    Token::new("6ng", "nem"),
    Token::new("7ng", "pitung"),
    Token::new("8ng", "wolung"),
    Token::new("9ng", "sangang"),
];

const TEENS: [&str; 10] = [
    "sepuluh", "sewelas", "rolas", "telulas", "patbelas", "limalas", "nembelas", "pitulas",
    "wolulas", "sangalas",
];

const TWENTIES: [&str; 10] = [
    "rong puluh",
    "selikur",
    "rolikur",
    "telulikur",
    "patlikur",
    "selawe",
    "nemlikur",
    "pitulikur",
    "wolulikur",
    "sangalikur",
];

const TENS: [&str; 10] = [
    "",
    "",
    "",
    "telung puluh",
    "patang puluh",
    "seket",
    "sewidak",
    "pitung puluh",
    "wolung puluh",
    "sangang puluh",
];

static BELOW_HUNDRED: BelowHundred = LazyLock::new(|| {
    let of =
        |words: [&str; 10], place: usize| words.get(place).copied().unwrap_or_default().to_owned();
    (0..100)
        .map(|number| match (number / 10, number % 10) {
            (0, unit) => of(DIGITS, unit),
            (1, unit) => of(TEENS, unit),
            (2, unit) => of(TWENTIES, unit),
            (tens, 0) => of(TENS, tens),
            (tens, unit) => format!("{} {}", of(TENS, tens), of(DIGITS, unit)),
        })
        .collect()
});

const HUNDRED: Token = Token::new("100", "satus");
const HUNDREDS: Token = Token::word("atus");
const THOUSAND: Token = Token::new("1000", "sewu");
const MILLION: Token = Token::new("1000000", "sayuta");
const UNITS: [Token; 4] = [
    Token::word("ewu"),
    Token::word("yuta"),
    Token::word("milyar"),
    Token::word("trilyun"),
];

pub(super) const PHRASES: Phrases = Phrases {
    paid: &[say("pambayaran"), QRIS, say("ditampa")],
    delayed: &[say("pambayaran"), say("kasep"), say("ditampa")],
    repeated: &[
        say("dibaleni"),
        Part::Pause,
        say("pambayaran"),
        say("pungkasan"),
    ],
    total: &[say("gunggung"), say("dina"), say("iki")],
    test: &[say("iki"), say("swara"), say("percobaan")],
    nothing_to_repeat: &[
        say("durung"),
        say("ana"),
        say("pambayaran"),
        say("kanggo"),
        say("dibaleni"),
    ],
    currency: Token::word("rupiah"),
    to: "kanggo",
};

/// Appends a number up to [`super::MAX`].
pub(super) fn number(number: u64, tokens: &mut Vec<Token>) {
    if number == 0 {
        tokens.push(numeral(&BELOW_HUNDRED, 0));
    }
    for (group, power) in groups(number) {
        match (group, power) {
            (1, 1) => tokens.push(THOUSAND),
            (1, 2) => tokens.push(MILLION),
            (_, 0) => {
                hundreds(group, tokens);
                if !group.is_multiple_of(100) {
                    tokens.push(numeral(&BELOW_HUNDRED, group % 100));
                }
            }
            _ => {
                hundreds(group, tokens);
                before_unit(group % 100, tokens);
                tokens.extend(UNITS.get(power as usize - 1));
            }
        }
    }
}

fn hundreds(group: u64, tokens: &mut Vec<Token>) {
    match group / 100 {
        0 => {}
        1 => tokens.push(HUNDRED),
        count => tokens.extend([digit_before_unit(count), HUNDREDS]),
    }
}

/// A number from 0 to 99 before a unit; nothing for 0. Only a digit on its own or after tens changes: *seket limang ewu*,
/// but *limalas ewu*, *selawe ewu*.
fn before_unit(number: u64, tokens: &mut Vec<Token>) {
    match (number / 10, number % 10) {
        (0, 0) => {}
        (0, unit) => tokens.push(digit_before_unit(unit)),
        (1 | 2, _) | (_, 0 | 1) => tokens.push(numeral(&BELOW_HUNDRED, number)),
        (tens, unit) => {
            tokens.extend([numeral(&BELOW_HUNDRED, tens * 10), digit_before_unit(unit)]);
        }
    }
}

fn digit_before_unit(digit: u64) -> Token {
    BEFORE_UNIT[digit as usize % BEFORE_UNIT.len()]
}
