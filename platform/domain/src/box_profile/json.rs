//! JSON messages as typed structures: a value is written as a JSON value of its own, or escaped inside a string, so
//! that none can end its string and add members.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::error::RenderError;
use super::fill::{Fields, Value};
use super::scope;
use super::template::{Part, Placeholder, Template};

/// A structure as it is written in a profile.
pub(super) enum Shape {
    Object(Vec<(String, Spanned<Shape>)>),
    List(Vec<Spanned<Shape>>),
    Text(String),
    Number(i64),
    Bool(bool),
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShapeVisitor;

        impl<'de> Visitor<'de> for ShapeVisitor {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table, a list, a text, a whole number or true or false")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Shape, E> {
                Ok(Shape::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Shape, E> {
                Ok(Shape::Number(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Shape, E> {
                Ok(Shape::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Shape::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Shape::Object(members))
            }
        }

        deserializer.deserialize_any(ShapeVisitor)
    }
}

/// A structure whose texts are understood. Members are in the order of the profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Object(Vec<(String, Node)>),
    List(Vec<Item>),
    Text(Template),
    Number(i64),
    Bool(bool),
}

/// An item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    node: Node,
    /// Whether it is written once for each clip.
    repeated: bool,
}

/// A text inside a structure that is no template, with where it stands.
pub(super) struct Misplaced {
    pub(super) offset: usize,
    /// The keys on the way to it.
    pub(super) path: String,
    pub(super) problem: String,
}

impl Node {
    /// Understands a structure. `check` judges each of its texts.
    ///
    /// # Errors
    /// The first text that is no template, that `check` refuses, or that names a clip outside of a list.
    pub(super) fn compile(
        shape: Spanned<Shape>,
        check: &dyn Fn(&Template) -> Result<(), String>,
    ) -> Result<Self, Misplaced> {
        let offset = shape.span().start;
        let (node, clip) = Self::inner(shape, String::new(), check)?;
        if clip {
            return Err(Misplaced {
                offset,
                path: String::new(),
                problem: "{clip} must stand in an item of a list".to_owned(),
            });
        }
        Ok(node)
    }

    /// The node, and whether it names the clip of a list around it.
    fn inner(
        shape: Spanned<Shape>,
        path: String,
        check: &dyn Fn(&Template) -> Result<(), String>,
    ) -> Result<(Self, bool), Misplaced> {
        let offset = shape.span().start;
        match shape.into_inner() {
            Shape::Number(number) => Ok((Self::Number(number), false)),
            Shape::Bool(value) => Ok((Self::Bool(value), false)),
            Shape::Text(text) => {
                let template = Template::parse(&text)
                    .and_then(|template| check(&template).map(|()| template))
                    .map_err(|problem| Misplaced {
                        offset,
                        path,
                        problem,
                    })?;
                let clip = template.names(Placeholder::Clip);
                Ok((Self::Text(template), clip))
            }
            Shape::Object(members) => {
                let mut named = false;
                let mut nodes = Vec::with_capacity(members.len());
                for (key, member) in members {
                    let (node, clip) = Self::inner(member, format!("{path}.{key}"), check)?;
                    named |= clip;
                    nodes.push((key, node));
                }
                Ok((Self::Object(nodes), named))
            }
            Shape::List(items) => {
                let mut nodes = Vec::with_capacity(items.len());
                for (index, item) in items.into_iter().enumerate() {
                    let (node, repeated) = Self::inner(item, format!("{path}.{index}"), check)?;
                    nodes.push(Item { node, repeated });
                }
                Ok((Self::List(nodes), false))
            }
        }
    }

    /// Whether it names this placeholder.
    pub(super) fn names(&self, wanted: Placeholder) -> bool {
        match self {
            Self::Object(members) => members.iter().any(|(_, node)| node.names(wanted)),
            Self::List(items) => items.iter().any(|item| item.node.names(wanted)),
            Self::Text(template) => template.names(wanted),
            Self::Number(_) | Self::Bool(_) => false,
        }
    }

    /// Whether it stands for nothing but a value that this message lacks and may lack.
    fn is_absent(&self, fields: &Fields<'_>) -> bool {
        let Self::Text(template) = self else {
            return false;
        };
        matches!(template.parts.as_slice(), [Part::Value { placeholder, .. }]
            if scope::MAY_LACK.contains(placeholder) && !fields.has(*placeholder))
    }

    /// Writes the JSON text. A member for a value that the message may lack is left out when it does.
    ///
    /// # Errors
    /// The first value that is not there.
    pub(super) fn write(&self, fields: &Fields<'_>, out: &mut String) -> Result<(), RenderError> {
        match self {
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Text(template) => match template.parts.as_slice() {
                [
                    Part::Value {
                        placeholder,
                        as_text: false,
                    },
                ] => {
                    write_value(&fields.get(*placeholder)?, out);
                }
                _ => write_text(&fields.text(template)?, out),
            },
            Self::Object(members) => {
                out.push('{');
                let present = members.iter().filter(|(_, node)| !node.is_absent(fields));
                for (index, (key, node)) in present.enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_text(key, out);
                    out.push(':');
                    node.write(fields, out)?;
                }
                out.push('}');
            }
            Self::List(items) => {
                out.push('[');
                let mut first = true;
                for Item { node, repeated } in items {
                    let clips = if *repeated {
                        fields.each_clip()?
                    } else {
                        vec![fields.clone()]
                    };
                    for fields in &clips {
                        if !std::mem::take(&mut first) {
                            out.push(',');
                        }
                        node.write(fields, out)?;
                    }
                }
                out.push(']');
            }
        }
        Ok(())
    }
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Text(text) => write_text(text, out),
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(item, out);
            }
            out.push(']');
        }
    }
}

/// A JSON string: quotes, backslashes and control characters are escaped.
fn write_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}
