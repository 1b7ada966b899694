//! Numbers in Indonesian words, as they are spoken.
//!
//! The only irregularity is the digit one: a single ten, hundred or thousand is `se-` (`sepuluh`, `sebelas`, `seratus`,
//! `seribu`), while a single million is `satu juta`. `seribu` stands for exactly one thousand: 101,000 is `seratus satu
//! ribu`.

/// The largest supported number: 999 trillion and the rest.
pub const MAX: u64 = 999_999_999_999_999;

const UNITS: [&str; 10] = [
    "nol", "satu", "dua", "tiga", "empat", "lima", "enam", "tujuh", "delapan", "sembilan",
];

/// The scales above a thousand, largest first.
const SCALES: [(u64, &str); 3] = [
    (1_000_000_000_000, "triliun"),
    (1_000_000_000, "miliar"),
    (1_000_000, "juta"),
];

/// `number` in words; `None` above [`MAX`].
pub fn number(number: u64) -> Option<String> {
    if number > MAX {
        return None;
    }
    if number == 0 {
        return Some(UNITS[0].to_owned());
    }
    let mut words = Vec::new();
    let mut rest = number;
    for (scale, name) in SCALES {
        let count = rest / scale;
        if count > 0 {
            below_thousand(count, &mut words);
            words.push(name);
        }
        rest %= scale;
    }
    match rest / 1_000 {
        0 => {}
        1 => words.push("seribu"),
        count => {
            below_thousand(count, &mut words);
            words.push("ribu");
        }
    }
    below_thousand(rest % 1_000, &mut words);
    Some(words.join(" "))
}

/// 0 … 999; nothing for 0.
fn below_thousand(number: u64, words: &mut Vec<&'static str>) {
    let unit = |digit: u64| UNITS[digit as usize % UNITS.len()];
    match number / 100 {
        0 => {}
        1 => words.push("seratus"),
        count => words.extend([unit(count), "ratus"]),
    }
    match number % 100 {
        0 => {}
        rest @ 1..=9 => words.push(unit(rest)),
        10 => words.push("sepuluh"),
        11 => words.push("sebelas"),
        rest @ 12..=19 => words.extend([unit(rest - 10), "belas"]),
        rest => {
            words.extend([unit(rest / 10), "puluh"]);
            if rest % 10 > 0 {
                words.push(unit(rest % 10));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_written_as_they_are_spoken() {
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
            assert_eq!(number(value).as_deref(), Some(words), "{value}");
        }
    }

    #[test]
    fn there_are_no_words_above_the_largest_number() {
        assert!(number(MAX).is_some_and(|words| {
            words.starts_with("sembilan ratus sembilan puluh sembilan triliun")
        }));
        assert_eq!(number(MAX + 1), None);
        assert_eq!(number(u64::MAX), None);
    }

    /// An independent reader of the words, so that the property below does not repeat a mistake above.
    fn value_of(words: &str) -> u64 {
        let (mut total, mut group, mut last) = (0, 0, 0);
        for word in words.split(' ') {
            match word {
                "sepuluh" => group += 10,
                "sebelas" => group += 11,
                "seratus" => group += 100,
                "seribu" => total += 1_000,
                "belas" => group += 10,
                "puluh" => group += last * 9,
                "ratus" => group += last * 99,
                "ribu" | "juta" | "miliar" | "triliun" => {
                    let power = match word {
                        "ribu" => 3,
                        "juta" => 6,
                        "miliar" => 9,
                        _ => 12,
                    };
                    total += group * 10u64.pow(power);
                    group = 0;
                }
                unit => {
                    last = UNITS.iter().position(|name| *name == unit).unwrap() as u64;
                    group += last;
                }
            }
        }
        total + group
    }

    proptest! {
        #[test]
        fn the_words_mean_the_number(value in prop_oneof![0..=MAX, 0..=20_000_000u64, 0..=2_000u64]) {
            prop_assert_eq!(value_of(&number(value).unwrap()), value);
        }
    }
}
