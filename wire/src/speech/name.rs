//! A merchant's name, as it is said.

/// The most characters of a name that are said.
const CHARS_MAX: usize = 40;

/// A name as far as it can be said: letters, digits, and the signs `&`, `-` and `'` within it, with single blanks. It is cut
/// after whole words at 40 characters. `None`: it has neither letter nor digit.
pub(super) fn spoken(name: &str) -> Option<String> {
    let said: String = name
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || matches!(c, '&' | '-' | '\'') {
                c
            } else {
                ' '
            }
        })
        .collect();
    let mut spoken = String::new();
    let mut chars = 0;
    for word in said.split_whitespace() {
        let length = word.chars().count();
        let gap = usize::from(chars > 0);
        if chars + gap + length > CHARS_MAX {
            if chars == 0 {
                spoken.extend(word.chars().take(CHARS_MAX));
            }
            break;
        }
        if chars > 0 {
            spoken.push(' ');
        }
        spoken.push_str(word);
        chars += gap + length;
    }
    spoken.chars().any(char::is_alphanumeric).then_some(spoken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_after_whole_words() {
        let cases = [
            ("Kopi Senja", "Kopi Senja"),
            ("  Warung\u{200b} Bu   Sari! ☕", "Warung Bu Sari"),
            ("Mie & Bakso, cabang 2", "Mie & Bakso cabang 2"),
            ("食堂", "食堂"),
            (
                "Toko Serba Ada Maju Jaya Makmur Sentosa Abadi",
                "Toko Serba Ada Maju Jaya Makmur Sentosa",
            ),
        ];
        for (name, said) in cases {
            assert_eq!(spoken(name).as_deref(), Some(said), "{name}");
        }
        assert_eq!(spoken(&"a".repeat(100)), Some("a".repeat(40)));
        for name in ["", "  ", "☕", "& -", "\u{200b}"] {
            assert_eq!(spoken(name), None, "{name:?}");
        }
    }
}
