//! EMVCo data objects: a two-digit tag, a two-digit length in characters, and that many characters.

use std::fmt;

use super::ParseError;

/// Two decimal digits that name a data object, within its own template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u8);

impl Tag {
    /// A tag known while writing the program.
    pub(super) const fn of(number: u8) -> Self {
        assert!(number < 100, "a tag has two decimal digits");
        Self(number)
    }

    /// The tag as a number, 0 to 99.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}

/// One data object of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataObject {
    /// What the value means, within its template.
    pub tag: Tag,
    /// 1 to 99 characters.
    pub value: String,
}

/// Splits `text` into data objects, keeping their order. A tag may appear once.
pub(super) fn parse(text: &str) -> Result<Vec<DataObject>, ParseError> {
    let mut objects: Vec<DataObject> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let tag = Tag(two_digits(rest).ok_or(ParseError::Header)?);
        let length = two_digits(&rest[2..])
            .filter(|length| *length > 0)
            .ok_or(ParseError::Length { tag })?;
        rest = &rest[4..];
        let end = match rest.char_indices().nth(usize::from(length)) {
            Some((end, _)) => end,
            None if rest.chars().count() == usize::from(length) => rest.len(),
            None => return Err(ParseError::Truncated { tag }),
        };
        let (value, after) = rest.split_at(end);
        if objects.iter().any(|object| object.tag == tag) {
            return Err(ParseError::Duplicate { tag });
        }
        objects.push(DataObject {
            tag,
            value: value.to_owned(),
        });
        rest = after;
    }
    Ok(objects)
}

/// Writes data objects one after another.
pub(super) fn encode(objects: &[DataObject]) -> String {
    let mut text = String::new();
    for object in objects {
        let length = object.value.chars().count();
        debug_assert!(
            (1..=99).contains(&length),
            "tag {} has {length} characters",
            object.tag
        );
        text.push_str(&format!("{}{length:02}{}", object.tag, object.value));
    }
    text
}

/// The number that the first two characters write, if both are ASCII digits.
fn two_digits(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', ..] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(tag: u8, value: &str) -> DataObject {
        DataObject {
            tag: Tag::of(tag),
            value: value.to_owned(),
        }
    }

    #[test]
    fn objects_keep_their_order() {
        let objects = parse("0102AB5902CD0001x").expect("well formed");
        assert_eq!(objects, [object(1, "AB"), object(59, "CD"), object(0, "x")]);
        assert_eq!(encode(&objects), "0102AB5902CD0001x");
    }

    #[test]
    fn lengths_count_characters_not_bytes() {
        assert_eq!(parse("0102é€").expect("well formed"), [object(1, "é€")]);
    }

    #[test]
    fn broken_objects_are_named() {
        assert_eq!(parse("0"), Err(ParseError::Header));
        assert_eq!(parse("é1"), Err(ParseError::Header));
        assert_eq!(parse("59"), Err(ParseError::Length { tag: Tag::of(59) }));
        assert_eq!(parse("5900"), Err(ParseError::Length { tag: Tag::of(59) }));
        assert_eq!(parse("59-1A"), Err(ParseError::Length { tag: Tag::of(59) }));
        assert_eq!(
            parse("5903AB"),
            Err(ParseError::Truncated { tag: Tag::of(59) })
        );
        assert_eq!(
            parse("0101A0101B"),
            Err(ParseError::Duplicate { tag: Tag::of(1) })
        );
    }
}
