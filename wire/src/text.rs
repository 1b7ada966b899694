//! Texts that a box displays or speaks: one rule for the API, the database and the wire.
//!
//! A text that the API accepts must fit into the message that carries it to a box. So there is one limit for both sides
//! ([`NAME`], [`SPOKEN`]), in characters and in bytes, and one check ([`TextLimit::check`]). A text must have visible
//! characters: a name of joiners and direction marks alone has a length, but shows nothing.

/// The limits of a text's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLimit {
    /// The most characters.
    pub chars_max: usize,
    /// The most bytes of UTF-8.
    pub bytes_max: usize,
}

/// Names of merchants, outlets and terminals (`merchant_name`).
pub const NAME: TextLimit = TextLimit {
    chars_max: 100,
    bytes_max: 256,
};

/// A text that a box speaks once, on an operator's request.
pub const SPOKEN: TextLimit = TextLimit {
    chars_max: 200,
    bytes_max: 800,
};

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It has no visible character.
    #[error("has no visible text")]
    Invisible,
    /// More characters than the limit.
    #[error("longer than {0} characters")]
    Chars(usize),
    /// More bytes than the limit.
    #[error("longer than {0} bytes")]
    Bytes(usize),
    /// A control character (also NUL) or a line separator.
    #[error("contains a control character")]
    Control,
    /// A character that changes the direction of the text around it.
    #[error("contains a character that changes the direction of text")]
    Direction,
    /// Joiners, selectors and marks outnumber the visible characters.
    #[error("has more invisible characters than visible ones")]
    MostlyInvisible,
}

impl TextLimit {
    /// A limit in characters alone, for a text that is not sent to boxes.
    pub const fn chars(chars_max: usize) -> Self {
        Self {
            chars_max,
            bytes_max: chars_max.saturating_mul(4),
        }
    }

    /// Checks a text.
    ///
    /// # Errors
    /// The first violated rule.
    pub fn check(self, text: &str) -> Result<(), TextError> {
        let (mut chars, mut visible, mut invisible) = (0_usize, 0_usize, 0_usize);
        for c in text.chars() {
            chars += 1;
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
                return Err(TextError::Control);
            }
            if matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                return Err(TextError::Direction);
            }
            if is_invisible(c) {
                invisible += 1;
            } else if !c.is_whitespace() {
                visible += 1;
            }
        }
        if visible == 0 {
            Err(TextError::Invisible)
        } else if invisible > visible {
            Err(TextError::MostlyInvisible)
        } else if chars > self.chars_max {
            Err(TextError::Chars(self.chars_max))
        } else if text.len() > self.bytes_max {
            Err(TextError::Bytes(self.bytes_max))
        } else {
            Ok(())
        }
    }
}

/// Whether a character shows nothing by itself: default ignorable and format characters of Unicode, marks that need a
/// preceding letter, blanks that are not white space, private use and non-characters.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{70f}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{13430}'..='\u{1343f}' | '\u{e0000}'..='\u{e0fff}'
        // Numbers' and other prefixed format signs.
        | '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{110bd}' | '\u{110cd}'
        // Fillers and blanks.
        | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
        // Combining marks and variation selectors.
        | '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}'
        // Private use and non-characters.
        | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' | '\u{fdd0}'..='\u{fdef}')
        || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_accepted() {
        for name in [
            "Toko",
            "Kopi Senja — Bandung",
            "Warung Ibu Sari & Anak-anak",
            "食堂",
            "مقهى",
            "Café",
            "Cafe\u{301}",
            "Mie 🍜",
            "Toko 👨\u{200d}👩\u{200d}👧",
            "☕\u{fe0f} Kopi",
            &"a".repeat(100),
        ] {
            assert_eq!(NAME.check(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn invisible_texts_are_refused() {
        for name in [
            "",
            " ",
            "\u{a0}\u{3000}",
            "\u{200d}",
            "\u{200b}\u{2060}\u{feff}",
            "\u{ad}",
            "\u{2800}",
            "\u{3164}",
            "\u{301}\u{302}",
            "\u{e0041}\u{e0042}",
            "\u{200e}\u{200f}",
            "\u{e000}",
            "\u{ffff}",
        ] {
            assert_eq!(NAME.check(name), Err(TextError::Invisible), "{name:?}");
        }
    }

    #[test]
    fn invisible_characters_in_a_text_are_limited() {
        let joined = format!("Toko{}", "\u{200d}".repeat(90));
        assert_eq!(NAME.check(&joined), Err(TextError::MostlyInvisible));
        let marked = format!("Toko{}", "\u{301}".repeat(5));
        assert_eq!(NAME.check(&marked), Err(TextError::MostlyInvisible));
        for turned in ["Toko\u{202e}okoT", "\u{2066}Toko\u{2069}"] {
            assert_eq!(NAME.check(turned), Err(TextError::Direction));
        }
        for control in [
            "To\0ko",
            "Toko\n",
            "Toko\u{85}",
            "Toko\u{2028}",
            "\u{7f}Toko",
        ] {
            assert_eq!(NAME.check(control), Err(TextError::Control), "{control:?}");
        }
    }

    #[test]
    fn both_lengths_are_limits() {
        assert_eq!(NAME.check(&"a".repeat(101)), Err(TextError::Chars(100)));
        assert_eq!(NAME.check(&"食".repeat(85)), Ok(()));
        assert_eq!(NAME.check(&"食".repeat(86)), Err(TextError::Bytes(256)));
        assert_eq!(TextLimit::chars(10).check(&"🍜".repeat(10)), Ok(()));
    }
}
