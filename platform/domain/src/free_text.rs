//! Free text that a box announces for an operator. It must not sound like a payment.
//!
//! A box announces payments only from signed, verified payments. An operator's text goes through the same speaker, so a
//! text that sounds like a payment could obtain goods without one. The rule is strict and simple rather than clever:
//!
//! 1. The alphabet is small: the letters a to z, e with an accent, digits, spaces and plain punctuation. So there are no
//!    look-alike letters, no digits of other scripts, nothing invisible.
//! 2. A word has letters or digits, not both.
//! 3. There are no amounts: fewer than three digits in a row (a number word from nol to sembilan is a digit, and only a
//!    letter word ends the row), no word for ten or more.
//! 4. There are no words of payments. They are looked for in the letters alone, without separators, with doubled letters
//!    as one, and with digits read as the letters that they resemble.
//!
//! A text that is refused without cause can be put in other words; a text that passes wrongly costs money.

/// Words of payments, found anywhere in a text: long and rare enough that few other words contain them.
const PAYMENT_STEMS: &[&str] = &[
    // Indonesian, Javanese, Sundanese, and names of wallets.
    "bayar",
    "diterima",
    "ditarima",
    "rupiah",
    "lunas",
    "masuk",
    "mlebet",
    "mlebu",
    "transaksi",
    "saldo",
    "setoran",
    "dhuwit",
    "duwit",
    "artos",
    "gopay",
    "shopeepay",
    "linkaja",
    // English.
    "payment",
    "receiv",
    "transfer",
    "transaction",
    "settle",
    "deposit",
    "money",
];
/// Words of payments that other words contain: found where they stand alone.
const PAYMENT_WORDS: &[&str] = &[
    "rp", "idr", "qris", "paid", "pay", "uang", "duit", "dana", "tf", "trf", "cash", "tunai",
    "asup", "artha", "arta", "ditampa", "ditampi", "katampa", "katampi",
];
/// Number words of ten or more, found anywhere.
const NUMBER_STEMS: &[&str] = &[
    // Indonesian, Javanese, Sundanese.
    "puluh",
    "belas",
    "welas",
    "ratus",
    "seribu",
    "sarebu",
    "sejuta",
    "miliar",
    "milyar",
    "triliun",
    "trilyun",
    "sewidak",
    "selawe",
    "likur",
    "rolas",
    "telulas",
    "limalas",
    "pitulas",
    "wolulas",
    "sangalas",
    "sayuta",
    "sajuta",
    // English.
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "sixty",
    "seventy",
    "eighty",
    "ninety",
    "hundred",
    "thousand",
    "million",
    "billion",
    "trillion",
];
/// Number words of ten or more that other words contain, and what shops call amounts.
const NUMBER_WORDS: &[&str] = &[
    "ribu", "rebu", "juta", "jeti", "rb", "rbu", "jt", "perak", "atus", "satus", "ewu", "sewu",
    "yuta", "seket", "sangang", "ten", "jigo", "seceng", "goceng", "ceban", "noban", "gocap",
    "gopek", "cepek",
];
/// Number words of one digit.
const DIGIT_WORDS: &[&str] = &[
    "nol", "kosong", "satu", "dua", "tiga", "empat", "lima", "enam", "tujuh", "delapan",
    "sembilan", "siji", "loro", "telu", "papat", "limo", "enem", "pitu", "wolu", "sanga", "sango",
    "rong", "telung", "patang", "limang", "nem", "pitung", "wolung", "hiji", "opat", "genep",
    "dalapan", "salapan", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight",
    "nine",
];
/// What may hang on a short word of Indonesian, Javanese or Sundanese without making it another.
const SUFFIXES: &[&str] = &["", "nya", "an", "kan", "ku", "mu", "ne", "na", "s"];
/// How many digits in a row make an amount.
const AMOUNT_DIGITS: usize = 3;
/// Configured words of this many letters and more are looked for anywhere.
const STEM_LEN_MIN: usize = 5;
/// Punctuation beside the space.
const PUNCTUATION: &str = ".,!?'\"-:;()/&‘’“”–—";

/// Why a text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A character outside of the alphabet.
    #[error("only the letters a to z, digits, spaces and . , ! ? ' - : ; ( ) / & can be said")]
    Character,
    /// Letters and digits in one word.
    #[error("letters and digits must not stand in one word")]
    MixedWord,
    /// Digits or digit words in a row.
    #[error(
        "three digits in a row, also as words or with signs between them, sound like an amount"
    )]
    Digits,
    /// A word for a number of ten or more.
    #[error("{0:?} sounds like an amount; numbers up to 99 are written in digits")]
    Number(String),
    /// A word that is kept for payments.
    #[error("{0:?} is a word that only announcements of payments use")]
    Payment(String),
}

/// Checks whether a box may announce `text`. `more` are reserved words beside those of this file.
///
/// # Errors
/// [`Refusal`], which names the first thing that is wrong.
pub fn check(text: &str, more: &[String]) -> Result<(), Refusal> {
    let words = words(text)?;
    if words.iter().any(|word| word.is_mixed()) {
        return Err(Refusal::MixedWord);
    }
    check_digits(&words)?;
    let more_in = |long: bool| {
        more.iter()
            .map(String::as_str)
            .filter(move |word| (word.len() >= STEM_LEN_MIN) == long)
    };
    for reading in readings(&words) {
        let all = reading.concat();
        let anywhere = |stem: &&str| squeeze(&all).contains(&squeeze(stem));
        let alone = |word: &&str| stands_alone(&reading, word);
        if let Some(word) = NUMBER_STEMS.iter().copied().find(anywhere) {
            return Err(Refusal::Number(word.to_owned()));
        }
        if let Some(word) = NUMBER_WORDS.iter().copied().find(alone) {
            return Err(Refusal::Number(word.to_owned()));
        }
        let stems = PAYMENT_STEMS.iter().copied().chain(more_in(true));
        if let Some(word) = stems.into_iter().find(anywhere) {
            return Err(Refusal::Payment(word.to_owned()));
        }
        let short = PAYMENT_WORDS.iter().copied().chain(more_in(false));
        if let Some(word) = short.into_iter().find(alone) {
            return Err(Refusal::Payment(word.to_owned()));
        }
    }
    Ok(())
}

/// Whether a configured reserved word can ever be found: letters a to z.
pub fn is_reservable(word: &str) -> bool {
    word.len() >= 2 && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Letters and digits without anything between them, in lower case.
struct Word(String);

impl Word {
    fn has_digits(&self) -> bool {
        self.0.bytes().any(|byte| byte.is_ascii_digit())
    }

    fn is_mixed(&self) -> bool {
        self.has_digits() && self.0.bytes().any(|byte| byte.is_ascii_alphabetic())
    }

    /// How many digits it says; none for any other word.
    fn digits(&self) -> usize {
        if self.has_digits() {
            self.0.len()
        } else {
            usize::from(DIGIT_WORDS.contains(&self.0.as_str()))
        }
    }
}

/// The words of a text. An exclamation mark inside a word resembles an i and is read as one.
fn words(text: &str) -> Result<Vec<Word>, Refusal> {
    let letters: Vec<char> = text.chars().collect();
    let is_letter_at = |place: Option<usize>| {
        place
            .and_then(|place| letters.get(place))
            .is_some_and(char::is_ascii_alphanumeric)
    };
    let mut words = Vec::new();
    let mut word = String::new();
    for (place, letter) in letters.iter().enumerate() {
        let is_inside = is_letter_at(place.checked_sub(1)) && is_letter_at(Some(place + 1));
        match letter {
            'é' | 'è' | 'ê' | 'ë' | 'É' | 'È' | 'Ê' | 'Ë' => word.push('e'),
            letter if letter.is_ascii_alphanumeric() => word.push(letter.to_ascii_lowercase()),
            '!' if is_inside => word.push('i'),
            sign if *sign == ' ' || PUNCTUATION.contains(*sign) => {
                words.push(Word(std::mem::take(&mut word)));
            }
            _ => return Err(Refusal::Character),
        }
    }
    words.push(Word(word));
    words.retain(|word| !word.0.is_empty());
    Ok(words)
}

fn check_digits(words: &[Word]) -> Result<(), Refusal> {
    let mut row = 0;
    for word in words {
        let digits = word.digits();
        // "10 k": thousands, as prices are written.
        let unit = row > 0 && matches!(word.0.as_str(), "k" | "m");
        row = if digits == 0 { 0 } else { row + digits };
        if row >= AMOUNT_DIGITS || unit {
            return Err(Refusal::Digits);
        }
    }
    Ok(())
}

/// The words as letters: with digits left out, and with digits read as letters, of which 1 resembles two.
fn readings(words: &[Word]) -> [Vec<String>; 3] {
    let read = |one: Option<char>| -> Vec<String> {
        let letter = |sign: char| match (sign, one) {
            ('a'..='z', _) => Some(sign),
            (_, None) => None,
            ('0', _) => Some('o'),
            ('1', one) => one,
            ('2', _) => Some('z'),
            ('3', _) => Some('e'),
            ('4', _) => Some('a'),
            ('5', _) => Some('s'),
            ('6' | '9', _) => Some('g'),
            ('7', _) => Some('t'),
            ('8', _) => Some('b'),
            _ => None,
        };
        words
            .iter()
            .map(|word| word.0.chars().filter_map(letter).collect())
            .filter(|word: &String| !word.is_empty())
            .collect()
    };
    [read(None), read(Some('i')), read(Some('l'))]
}

/// Whether words that stand next to each other make `wanted`, with or without a suffix.
fn stands_alone(words: &[String], wanted: &str) -> bool {
    let forms: Vec<String> = SUFFIXES
        .iter()
        .map(|suffix| squeeze(&format!("{wanted}{suffix}")))
        .collect();
    (0..words.len()).any(|first| {
        let mut joined = String::new();
        words[first..].iter().any(|word| {
            joined.push_str(word);
            forms.contains(&squeeze(&joined))
        })
    })
}

/// Doubled letters as one: a speaker says them alike.
fn squeeze(text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    letters.dedup();
    letters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_shops_say_is_said() {
        for text in [
            "Selamat pagi",
            "Selamat datang di Warung Sari Rasa",
            "Terima kasih, sampai jumpa lagi!",
            "Toko tutup jam 9 malam",
            "Antrean nomor 12, silakan ke kasir dua",
            "Promo kopi susu hari ini: beli 2 dapat 1",
            "Awas, lantai licin",
            "Mohon antre dengan tertib, jangan ribut",
            "Sugeng rawuh, matur nuwun",
            "Wilujeng sumping, hatur nuhun",
            "Énggal mulih nggih",
            "Kasir satu saja, seketika menu ditampilkan",
            "Happy New Year & welcome (again)",
            "Listrik padam; mesin menyala lagi jam 10",
        ] {
            assert_eq!(check(text, &[]), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_sounds_like_a_payment_is_not() {
        for text in [
            "Pembayaran QRIS diterima, sepuluh juta rupiah",
            "PEMBAYARAN",
            "pem bayaran",
            "p e m b a y a r a n",
            "p.e.m.b.a.y.a.r.a.n",
            "Pembayaaaran",
            "p3mb4y4r4n",
            "p 3 m b 4 y 4 r 4 n",
            "pemba-yaran",
            "sudah dibayar",
            "l u n a s",
            "1un4s",
            "sudah 1 u n 4 s",
            "Q R I S",
            "qr!s",
            "qr1s",
            "qrisnya sudah",
            "r p",
            "Rp",
            "Rp.",
            "I.D.R.",
            "uangnya sudah sampai",
            "transfer berhasil",
            "trans fer",
            "dana masuk",
            "payment received",
            "PAID",
            "p a i d",
            "paid.",
            "arthane wis ditampa",
            "dhuwit mlebu",
            "artos tos ditampi",
        ] {
            assert!(check(text, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn no_amount_is_said() {
        for text in [
            "100",
            "1 0 0",
            "1.0.0",
            "10.000",
            "10 - 0",
            "jam 21.00",
            "10rb",
            "10 rb",
            "10 r b",
            "10k",
            "10 k",
            "10 jt",
            "sepuluh",
            "se puluh",
            "s e p u l u h",
            "sepu luh juta",
            "lima belas",
            "seratus",
            "se ribu",
            "ribuan",
            "r1bu",
            "lima nol nol",
            "5 nol 0",
            "lima, nol, nol",
            "satu juta",
            "jutaan",
            "goceng",
            "ceban",
            "seket ewu",
            "sewu",
            "saratus rebu",
            "ten",
            "fifty",
            "one hundred",
            "one zero zero",
            // Digits and letters of other scripts, marks, and what cannot be seen.
            "１０００",
            "١٠٠٠",
            "𝟏𝟎𝟎𝟎",
            "1\u{200b}000",
            "①②③",
            "sе\u{440}uluh",
            "lunаs",
            "lu\u{301}nas",
            "l\u{200d}unas",
            "ｌｕｎａｓ",
            "lunas\u{202e}",
            "50 €",
            "$50",
        ] {
            assert!(check(text, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn the_refusal_names_the_word() {
        assert_eq!(
            check("Sudah lu-nas ya", &[]),
            Err(Refusal::Payment("lunas".into()))
        );
        assert_eq!(check("se puluh", &[]), Err(Refusal::Number("puluh".into())));
    }

    #[test]
    fn an_operator_reserves_more_words() {
        let more = ["ovo".to_owned(), "berhasil".to_owned()];
        assert_eq!(check("Selamat pagi", &more), Ok(()));
        for text in ["o v o", "OVO-nya", "ber hasil!", "berhas1l"] {
            assert!(check(text, &more).is_err(), "{text}");
        }
        assert_eq!(check("Promosi novotel", &more), Ok(()));
        assert!(is_reservable("ovo") && !is_reservable("OVO") && !is_reservable("o"));
    }

    /// The text, disguised to pass the rule.
    fn disguised(text: &str, seed: &[u8]) -> String {
        text.chars()
            .zip(seed.iter().cycle())
            .map(|(letter, choice)| {
                let other = match letter {
                    'a' => '4',
                    'i' => '1',
                    'e' => '3',
                    'o' => '0',
                    's' => '5',
                    't' => '7',
                    letter => letter,
                };
                match choice % 6 {
                    0 => letter.to_uppercase().to_string(),
                    1 => format!("{letter} "),
                    2 => format!("{letter}{letter}"),
                    3 => other.to_string(),
                    4 => format!("{letter}. "),
                    _ => letter.to_string(),
                }
            })
            .collect()
    }

    proptest! {
        #[test]
        fn every_announced_amount_is_refused_however_it_is_written(
            amount in prop_oneof![100..=10_000_000u64, 1_000..=999_999u64],
            language in proptest::sample::select(&wire::Language::ALL[..]),
            seed in proptest::collection::vec(any::<u8>(), 16),
        ) {
            let spoken = wire::speech::number(language, amount).unwrap();
            prop_assert!(check(&spoken, &[]).is_err(), "{spoken}");
            let digits: String = amount.to_string().chars().zip(seed.iter().cycle())
                .map(|(digit, choice)| format!("{digit}{}", ["", ".", " ", ", "][usize::from(choice % 4)]))
                .collect();
            prop_assert!(check(&digits, &[]).is_err(), "{digits}");
        }

        #[test]
        fn every_word_of_a_payment_is_refused_however_it_is_written(
            word in proptest::sample::select(
                [PAYMENT_STEMS, PAYMENT_WORDS, NUMBER_STEMS, NUMBER_WORDS].concat()
            ),
            seed in proptest::collection::vec(any::<u8>(), 16),
        ) {
            let written = disguised(word, &seed);
            prop_assert!(check(&format!("Halo {written} ya"), &[]).is_err(), "{written}");
        }
    }
}
