//! Every amount reads back from its words and from its clips, by readers that know the languages and not the grammars.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What a word or clip does to a number that is being read.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A number that is added to the group.
    Add(u64),
    /// The last number that was added counts so many times.
    Times(u64),
    /// The group is so many thousands, millions, …
    Unit(u32),
    /// A whole thousand or million.
    Whole(u64),
}

use Step::{Add, Times, Unit, Whole};

/// Follows the steps. Groups must descend, and only the last may have no unit.
fn value(steps: impl Iterator<Item = Option<Step>>) -> Option<u64> {
    let (mut total, mut group, mut last, mut power) = (0, 0, 0, 15);
    let mut lower = |to: u32| {
        let descends = to < power;
        power = to;
        descends
    };
    for step in steps {
        match step? {
            Add(number) => {
                group += number;
                last = number;
            }
            Times(factor) => {
                group += last * (factor - 1);
                last = 0;
            }
            Unit(to) => {
                if group == 0 || !lower(to) {
                    return None;
                }
                total += group * 10_u64.pow(to);
                (group, last) = (0, 0);
            }
            Whole(number) => {
                if group != 0 || !lower(number.ilog10()) {
                    return None;
                }
                total += number;
            }
        }
    }
    Some(total + group)
}

fn indonesian(word: &str) -> Option<Step> {
    Some(match word {
        "nol" => Add(0),
        "satu" => Add(1),
        "dua" => Add(2),
        "tiga" => Add(3),
        "empat" => Add(4),
        "lima" => Add(5),
        "enam" => Add(6),
        "tujuh" => Add(7),
        "delapan" => Add(8),
        "sembilan" => Add(9),
        "sepuluh" | "belas" => Add(10),
        "sebelas" => Add(11),
        "seratus" => Add(100),
        "puluh" => Times(10),
        "ratus" => Times(100),
        "seribu" => Whole(1_000),
        "ribu" => Unit(3),
        "juta" => Unit(6),
        "miliar" => Unit(9),
        "triliun" => Unit(12),
        _ => return None,
    })
}

fn sundanese(word: &str) -> Option<Step> {
    Some(match word {
        "nol" => Add(0),
        "hiji" => Add(1),
        "dua" => Add(2),
        "tilu" => Add(3),
        "opat" => Add(4),
        "lima" => Add(5),
        "genep" => Add(6),
        "tujuh" => Add(7),
        "dalapan" => Add(8),
        "salapan" => Add(9),
        "sapuluh" | "belas" => Add(10),
        "sabelas" => Add(11),
        "saratus" => Add(100),
        "puluh" => Times(10),
        "ratus" => Times(100),
        "sarebu" => Whole(1_000),
        "sajuta" => Whole(1_000_000),
        "rebu" => Unit(3),
        "juta" => Unit(6),
        "miliar" => Unit(9),
        "triliun" => Unit(12),
        _ => return None,
    })
}

fn javanese(word: &str) -> Option<Step> {
    Some(match word {
        "nol" => Add(0),
        "siji" => Add(1),
        "loro" | "rong" => Add(2),
        "telu" | "telung" => Add(3),
        "papat" | "patang" => Add(4),
        "lima" | "limang" => Add(5),
        "enem" | "nem" => Add(6),
        "pitu" | "pitung" => Add(7),
        "wolu" | "wolung" => Add(8),
        "sanga" | "sangang" => Add(9),
        "sepuluh" => Add(10),
        "sewelas" => Add(11),
        "rolas" => Add(12),
        "telulas" => Add(13),
        "patbelas" => Add(14),
        "limalas" => Add(15),
        "nembelas" => Add(16),
        "pitulas" => Add(17),
        "wolulas" => Add(18),
        "sangalas" => Add(19),
        "selikur" => Add(21),
        "rolikur" => Add(22),
        "telulikur" => Add(23),
        "patlikur" => Add(24),
        "selawe" => Add(25),
        "nemlikur" => Add(26),
        "pitulikur" => Add(27),
        "wolulikur" => Add(28),
        "sangalikur" => Add(29),
        "seket" => Add(50),
        "sewidak" => Add(60),
        "satus" => Add(100),
        "puluh" => Times(10),
        "atus" => Times(100),
        "sewu" => Whole(1_000),
        "sayuta" => Whole(1_000_000),
        "ewu" => Unit(3),
        "yuta" => Unit(6),
        "milyar" => Unit(9),
        "trilyun" => Unit(12),
        _ => return None,
    })
}

fn english(word: &str) -> Option<Step> {
    const ONES: [&str; 20] = [
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
    const TENS: [&str; 8] = [
        "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
    ];
    if let Some(number) = ONES.iter().position(|one| *one == word) {
        return Some(Add(number as u64));
    }
    if let Some(tens) = TENS.iter().position(|ten| *ten == word) {
        return Some(Add(tens as u64 * 10 + 20));
    }
    Some(match word {
        "hundred" => Times(100),
        "thousand" => Unit(3),
        "million" => Unit(6),
        "billion" => Unit(9),
        "trillion" => Unit(12),
        _ => return None,
    })
}

/// The reader of a language's words; `None` for what is no number in it.
fn word_reader(language: Language) -> fn(&str) -> Option<Step> {
    match language {
        Language::Id => indonesian,
        Language::En => english,
        Language::Jv => javanese,
        Language::Su => sundanese,
    }
}

/// Reads a clip by its name: digits, or the word of a unit.
fn clip(language: Language, name: &str) -> Option<Step> {
    if let Ok(number) = name.trim_end_matches("ng").parse::<u64>() {
        let is_whole = number >= 1_000;
        return Some(if is_whole { Whole(number) } else { Add(number) });
    }
    match (language, name) {
        (Language::Id | Language::Su, "ratus")
        | (Language::Jv, "atus")
        | (Language::En, "hundred") => Some(Times(100)),
        (Language::Id, "ribu")
        | (Language::Su, "rebu")
        | (Language::Jv, "ewu")
        | (Language::En, "thousand") => Some(Unit(3)),
        (Language::Id | Language::Su, "juta")
        | (Language::Jv, "yuta")
        | (Language::En, "million") => Some(Unit(6)),
        (Language::Id | Language::Su, "miliar")
        | (Language::Jv, "milyar")
        | (Language::En, "billion") => Some(Unit(9)),
        (Language::Id | Language::Su, "triliun")
        | (Language::Jv, "trilyun")
        | (Language::En, "trillion") => Some(Unit(12)),
        _ => None,
    }
}

fn reads_back(language: Language, number: u64) {
    let tokens = numeral(language, number).unwrap();
    let reader = word_reader(language);
    let words = tokens.iter().flat_map(|token| token.text.split([' ', '-']));
    assert_eq!(value(words.map(reader)), Some(number), "{tokens:?}");
    let clips = tokens.iter().map(|token| clip(language, token.clip));
    assert_eq!(value(clips), Some(number), "{tokens:?}");
}

/// Every amount that a payment may have by default.
fn every_amount_reads_back(language: Language) {
    for number in 0..=10_000_000 {
        reads_back(language, number);
    }
}

#[test]
fn every_amount_reads_back_in_indonesian() {
    every_amount_reads_back(Language::Id);
}

#[test]
fn every_amount_reads_back_in_english() {
    every_amount_reads_back(Language::En);
}

#[test]
fn every_amount_reads_back_in_javanese() {
    every_amount_reads_back(Language::Jv);
}

#[test]
fn every_amount_reads_back_in_sundanese() {
    every_amount_reads_back(Language::Su);
}

#[test]
fn indonesian_numbers_are_written_as_they_are_spoken() {
    let table = [
        (0, "nol"),
        (1, "satu"),
        (10, "sepuluh"),
        (11, "sebelas"),
        (12, "dua belas"),
        (19, "sembilan belas"),
        (20, "dua puluh"),
        (21, "dua puluh satu"),
        (99, "sembilan puluh sembilan"),
        (100, "seratus"),
        (101, "seratus satu"),
        (110, "seratus sepuluh"),
        (111, "seratus sebelas"),
        (200, "dua ratus"),
        (999, "sembilan ratus sembilan puluh sembilan"),
        (1_000, "seribu"),
        (1_001, "seribu satu"),
        (1_100, "seribu seratus"),
        (1_500, "seribu lima ratus"),
        (2_000, "dua ribu"),
        (10_000, "sepuluh ribu"),
        (11_000, "sebelas ribu"),
        (12_500, "dua belas ribu lima ratus"),
        (50_000, "lima puluh ribu"),
        (100_000, "seratus ribu"),
        (101_000, "seratus satu ribu"),
        (101_001, "seratus satu ribu satu"),
        (111_111, "seratus sebelas ribu seratus sebelas"),
        (1_000_000, "satu juta"),
        (1_001_000, "satu juta seribu"),
        (1_001_001, "satu juta seribu satu"),
        (10_000_000, "sepuluh juta"),
        (1_000_000_000, "satu miliar"),
        (2_500_000_000, "dua miliar lima ratus juta"),
        (1_000_000_000_000, "satu triliun"),
        (100_000_000_001_000, "seratus triliun seribu"),
    ];
    for (value, words) in table {
        assert_eq!(
            number(Language::Id, value).as_deref(),
            Some(words),
            "{value}"
        );
    }
}

#[test]
fn javanese_numbers_are_written_as_they_are_spoken() {
    let table = [
        (1, "siji"),
        (6, "enem"),
        (11, "sewelas"),
        (15, "limalas"),
        (20, "rong puluh"),
        (21, "selikur"),
        (25, "selawe"),
        (29, "sangalikur"),
        (32, "telung puluh loro"),
        (50, "seket"),
        (55, "seket lima"),
        (60, "sewidak"),
        (66, "sewidak enem"),
        (101, "satus siji"),
        (600, "nem atus"),
        (1_500, "sewu limang atus"),
        (2_000, "rong ewu"),
        (15_000, "limalas ewu"),
        (21_000, "selikur ewu"),
        (25_000, "selawe ewu"),
        (50_000, "seket ewu"),
        (66_500, "sewidak nem ewu limang atus"),
        (75_000, "pitung puluh limang ewu"),
        (100_000, "satus ewu"),
        (101_000, "satus siji ewu"),
        (102_000, "satus rong ewu"),
        (1_000_000, "sayuta"),
        (1_001_000, "sayuta sewu"),
        (2_050_000, "rong yuta seket ewu"),
        (10_000_000, "sepuluh yuta"),
        (1_000_000_000, "siji milyar"),
    ];
    for (value, words) in table {
        assert_eq!(
            number(Language::Jv, value).as_deref(),
            Some(words),
            "{value}"
        );
    }
}

#[test]
fn sundanese_and_english_numbers_are_written_as_they_are_spoken() {
    let table = [
        (11, "sabelas", "eleven"),
        (21, "dua puluh hiji", "twenty-one"),
        (160, "saratus genep puluh", "one hundred sixty"),
        (1_000, "sarebu", "one thousand"),
        (
            12_500,
            "dua belas rebu lima ratus",
            "twelve thousand five hundred",
        ),
        (101_000, "saratus hiji rebu", "one hundred one thousand"),
        (1_000_000, "sajuta", "one million"),
        (2_000_000, "dua juta", "two million"),
    ];
    for (value, sundanese, english) in table {
        assert_eq!(number(Language::Su, value).as_deref(), Some(sundanese));
        assert_eq!(number(Language::En, value).as_deref(), Some(english));
    }
}

#[test]
fn a_payment_is_spoken_in_the_words_of_each_language() {
    let amount = Rupiah::from_i64(50_000);
    let spoken = |language, merchant| payment(language, amount, merchant).unwrap();
    let indonesian = spoken(Language::Id, None);
    assert_eq!(indonesian.language, "id");
    assert_eq!(
        indonesian.text,
        "Pembayaran QRIS diterima, lima puluh ribu rupiah"
    );
    assert_eq!(
        indonesian.delayed_text,
        "Pembayaran tertunda diterima, lima puluh ribu rupiah"
    );
    let javanese = spoken(Language::Jv, Some("Kopi Senja"));
    assert_eq!(javanese.language, "jv");
    assert_eq!(
        javanese.text,
        "Pambayaran QRIS ditampa, seket ewu rupiah, kanggo Kopi Senja"
    );
    assert_eq!(
        spoken(Language::Su, None).text,
        "Pamayaran QRIS ditarima, lima puluh rebu rupiah"
    );
    assert_eq!(
        spoken(Language::En, None).text,
        "QRIS payment received, fifty thousand rupiah"
    );
}

#[test]
fn a_sentence_and_its_clips_say_the_same() {
    let sentence = sentence(
        Language::Id,
        Kind::Paid(Rupiah::from_i64(50_000)),
        Some("Kopi"),
    )
    .unwrap();
    assert_eq!(
        sentence.clips(),
        ["pembayaran", "qris", "diterima", "50", "ribu", "rupiah"]
    );
    let repeated = repeated(Language::Id, Rupiah::from_i64(1_000), None).unwrap();
    assert_eq!(repeated.text, "Diulang, pembayaran terakhir, seribu rupiah");
    assert_eq!(repeated.delayed_text, repeated.text);
}

#[test]
fn there_are_no_words_above_the_largest_number() {
    for language in Language::ALL {
        reads_back(language, MAX);
        assert_eq!(number(language, MAX + 1), None);
        assert_eq!(number(language, u64::MAX), None);
        for amount in [-1, i64::MIN, i64::MAX] {
            let amount = Rupiah::from_i64(amount);
            assert_eq!(payment(language, amount, None), Err(NoWordsError));
        }
    }
}

#[test]
fn clips_have_names_that_are_file_names_and_are_unique() {
    for language in Language::ALL {
        let tokens = clips(language);
        let names: BTreeSet<&str> = tokens.iter().map(|token| token.clip).collect();
        assert_eq!(names.len(), tokens.len(), "{language}");
        for token in tokens {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            assert!(
                !token.clip.is_empty() && token.clip.bytes().all(plain),
                "{token:?}"
            );
            assert!(!token.text.is_empty(), "{token:?}");
        }
    }
}

fn language() -> impl Strategy<Value = Language> {
    proptest::sample::select(&Language::ALL[..])
}

fn number_up_to_max() -> impl Strategy<Value = u64> {
    prop_oneof![0..=MAX, 0..=20_000_000u64, 0..=2_000u64]
}

proptest! {
    #[test]
    fn larger_numbers_read_back(language in language(), number in number_up_to_max()) {
        reads_back(language, number);
        let words = super::number(language, number).unwrap();
        prop_assert_eq!(value(words.split([' ', '-']).map(word_reader(language))), Some(number), "{}", words);
    }

    #[test]
    fn every_clip_of_a_sentence_is_in_the_list(
        language in language(),
        value in number_up_to_max(),
        kind in 0..6_usize,
        name in prop::option::of("[a-z]{1,12}"),
    ) {
        let amount = Rupiah::from_i64(i64::try_from(value).unwrap());
        let kind = [
            Kind::Paid(amount), Kind::Delayed(amount), Kind::Repeated(amount), Kind::Total(amount), Kind::Test,
            Kind::NothingToRepeat,
        ][kind];
        let list = clips(language);
        let sentence = sentence(language, kind, name.as_deref()).unwrap();
        for token in sentence.tokens() {
            prop_assert!(list.contains(&token), "{:?}", token);
        }
        // The clips of a text are those of the sentence that it is.
        let of_text = clips_of(language, Some(amount), &sentence.text());
        prop_assert_eq!(of_text, Some(sentence.clips()));
        let other = Rupiah::from_i64(amount.to_i64() + 1);
        let is_of_amount = !matches!(kind, Kind::Test | Kind::NothingToRepeat);
        prop_assert_eq!(clips_of(language, Some(other), &sentence.text()).is_none(), is_of_amount);
    }

    /// Whatever a merchant is called, the amount stays what it is, and the sentence fits into its message.
    #[test]
    fn a_name_changes_nothing_before_it(language in language(), value in 0..=MAX, name in ".{0,120}|[食🍜a-z ]{60}") {
        let amount = Rupiah::from_i64(i64::try_from(value).unwrap());
        let (plain, named) = (payment(language, amount, None).unwrap(), payment(language, amount, Some(&name)).unwrap());
        for (plain, named) in [(plain.text, named.text), (plain.delayed_text, named.delayed_text)] {
            prop_assert!(named.len() <= 512, "{}", named);
            let rest = named.strip_prefix(&plain);
            prop_assert!(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(", ")), "{}", named);
            prop_assert_eq!(rest.unwrap().matches(',').count(), usize::from(named != plain));
        }
    }
}
