//! Tags: words by which operators group boxes.

use crate::validation::FieldError;

/// The most tags of one box.
pub const TAGS_MAX: usize = 20;
/// The longest tag, bytes.
pub const TAG_LEN_MAX: usize = 40;

/// Puts a box's tags in order, each once.
///
/// # Errors
/// Too many, or one that is no word of lower-case letters, digits and `_ . : -`.
pub fn check(given: &[String]) -> Result<Vec<String>, FieldError> {
    let word = |tag: &String| {
        (1..=TAG_LEN_MAX).contains(&tag.len())
            && tag.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.:-".contains(&byte)
            })
    };
    if given.len() > TAGS_MAX || !given.iter().all(word) {
        return Err(FieldError::new(
            "tags",
            format!(
                "at most {TAGS_MAX} tags of 1 to {TAG_LEN_MAX} lower-case letters, digits, and _ . : -"
            ),
        ));
    }
    let mut tags = given.to_vec();
    tags.sort_unstable();
    tags.dedup();
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_words_in_order_each_once() {
        let check =
            |tags: &[&str]| check(&tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            check(&["pilot", "area:jakarta", "pilot"]).unwrap(),
            ["area:jakarta", "pilot"]
        );
        assert_eq!(check(&[]).unwrap(), [""; 0]);
        for wrong in ["", "Pilot", "two words", "é", &"x".repeat(41)] {
            assert!(check(&[wrong]).is_err(), "{wrong:?}");
        }
        let many: Vec<String> = (0..21).map(|number| format!("t{number}")).collect();
        assert!(super::check(&many).is_err());
        assert!(super::check(&many[..20]).is_ok());
    }
}
