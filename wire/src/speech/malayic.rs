//! Numbers in Indonesian and Sundanese, which count alike: a digit and a unit (*puluh*, *ratus*), and a prefix in place of
//! the digit one.

use std::sync::LazyLock;

use super::token::{BelowHundred, Part, Phrases, QRIS, Token, groups, numeral, say};

/// The words of one of the two languages.
pub(super) struct Malayic {
    below_hundred: &'static BelowHundred,
    hundred: Token,
    hundreds: Token,
    thousand: Token,
    /// *Juta* where a million has a prefix; else a million is the digit one and the unit.
    million: Option<Token>,
    /// Thousands, millions, …
    units: [Token; 4],
}

/// `ten`, `eleven`; then the digits before *belas* and *puluh*.
fn below_hundred(digits: [&str; 10], ten: &str, eleven: &str) -> Vec<String> {
    let digit = |number: usize| digits.get(number).copied().unwrap_or_default();
    (0..100)
        .map(|number| match (number / 10, number % 10) {
            (0, unit) => digit(unit).to_owned(),
            (1, 0) => ten.to_owned(),
            (1, 1) => eleven.to_owned(),
            (1, unit) => format!("{} belas", digit(unit)),
            (tens, 0) => format!("{} puluh", digit(tens)),
            (tens, unit) => format!("{} puluh {}", digit(tens), digit(unit)),
        })
        .collect()
}

static INDONESIAN_BELOW_HUNDRED: BelowHundred = LazyLock::new(|| {
    below_hundred(
        [
            "nol", "satu", "dua", "tiga", "empat", "lima", "enam", "tujuh", "delapan", "sembilan",
        ],
        "sepuluh",
        "sebelas",
    )
});

/// `seribu` is exactly one thousand: 101,000 is `seratus satu ribu`.
pub(super) static INDONESIAN: Malayic = Malayic {
    below_hundred: &INDONESIAN_BELOW_HUNDRED,
    hundred: Token::new("100", "seratus"),
    hundreds: Token::word("ratus"),
    thousand: Token::new("1000", "seribu"),
    million: None,
    units: [
        Token::word("ribu"),
        Token::word("juta"),
        Token::word("miliar"),
        Token::word("triliun"),
    ],
};

pub(super) const INDONESIAN_PHRASES: Phrases = Phrases {
    paid: &[say("pembayaran"), QRIS, say("diterima")],
    delayed: &[say("pembayaran"), say("tertunda"), say("diterima")],
    repeated: &[
        say("diulang"),
        Part::Pause,
        say("pembayaran"),
        say("terakhir"),
    ],
    total: &[say("total"), say("hari"), say("ini")],
    test: &[say("ini"), say("suara"), say("percobaan")],
    nothing_to_repeat: &[
        say("belum"),
        say("ada"),
        say("pembayaran"),
        say("untuk"),
        say("diulang"),
    ],
    currency: Token::word("rupiah"),
    to: "untuk",
};

static SUNDANESE_BELOW_HUNDRED: BelowHundred = LazyLock::new(|| {
    below_hundred(
        [
            "nol", "hiji", "dua", "tilu", "opat", "lima", "genep", "tujuh", "dalapan", "salapan",
        ],
        "sapuluh",
        "sabelas",
    )
});

/// `sarebu` is exactly one thousand: 101,000 is `saratus hiji rebu`. A million alone has the prefix: `sajuta`.
pub(super) static SUNDANESE: Malayic = Malayic {
    below_hundred: &SUNDANESE_BELOW_HUNDRED,
    hundred: Token::new("100", "saratus"),
    hundreds: Token::word("ratus"),
    thousand: Token::new("1000", "sarebu"),
    million: Some(Token::new("1000000", "sajuta")),
    units: [
        Token::word("rebu"),
        Token::word("juta"),
        Token::word("miliar"),
        Token::word("triliun"),
    ],
};

pub(super) const SUNDANESE_PHRASES: Phrases = Phrases {
    paid: &[say("pamayaran"), QRIS, say("ditarima")],
    delayed: &[say("pamayaran"), say("telat"), say("ditarima")],
    repeated: &[
        say("diulang"),
        Part::Pause,
        say("pamayaran"),
        say("panungtung"),
    ],
    total: &[say("jumlah"), say("poe"), say("ieu")],
    test: &[say("ieu"), say("sora"), say("percobaan")],
    nothing_to_repeat: &[
        say("acan"),
        say("aya"),
        say("pamayaran"),
        say("pikeun"),
        say("diulang"),
    ],
    currency: Token::word("rupiah"),
    to: "pikeun",
};

impl Malayic {
    /// Appends a number up to [`super::MAX`].
    pub(super) fn number(&self, number: u64, tokens: &mut Vec<Token>) {
        if number == 0 {
            tokens.push(numeral(self.below_hundred, 0));
        }
        for (group, power) in groups(number) {
            let unit = power
                .checked_sub(1)
                .and_then(|place| self.units.get(place as usize));
            match (group, power) {
                (1, 1) => tokens.push(self.thousand),
                (1, 2) if self.million.is_some() => tokens.extend(self.million),
                _ => {
                    self.below_thousand(group, tokens);
                    tokens.extend(unit);
                }
            }
        }
    }

    fn below_thousand(&self, number: u64, tokens: &mut Vec<Token>) {
        match number / 100 {
            0 => {}
            1 => tokens.push(self.hundred),
            count => tokens.extend([numeral(self.below_hundred, count), self.hundreds]),
        }
        if !number.is_multiple_of(100) {
            tokens.push(numeral(self.below_hundred, number % 100));
        }
    }
}
