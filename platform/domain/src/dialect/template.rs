//! A text with names in braces: `{order}`. A name that nothing gives is refused when the dialect is read.

/// A template whose names are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name(&'static str),
}

impl Template {
    /// Reads a template that may use these names.
    ///
    /// # Errors
    /// A name that is none of them, or a brace without its pair.
    pub fn parse(text: &str, names: &[&'static str]) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| format!("{text:?} has a {{ without its }}"))?;
            let known = names.iter().find(|known| **known == name).ok_or_else(|| {
                format!("{{{name}}} names nothing here; known: {}", names.join(", "))
            })?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Name(known));
            rest = after;
        }
        if rest.contains('}') {
            return Err(format!("{text:?} has a }} without its {{"));
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The text, with each name replaced by what `value` gives for it; none when it gives nothing for one.
    pub fn fill<'a>(&self, value: impl Fn(&'static str) -> Option<&'a str>) -> Option<String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(written) => text.push_str(written),
                Piece::Name(name) => text.push_str(value(name)?),
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_unknown_ones_refused() {
        let names = ["order", "amount"];
        let template = Template::parse("P{order}-{amount}.", &names).unwrap();
        let value = |name| (name == "order").then_some("7");
        assert_eq!(
            template.fill(|name| value(name).or(Some("5"))).unwrap(),
            "P7-5."
        );
        assert_eq!(template.fill(value), None);
        for wrong in ["{merchant}", "{order", "order}", "{}"] {
            assert!(Template::parse(wrong, &names).is_err(), "{wrong}");
        }
    }
}
