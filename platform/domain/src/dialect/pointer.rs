//! Where a field of a message is: RFC 6901 pointers through objects, made ready for reading once, so that a message is
//! taken apart object by object and nothing is searched for by text.

use serde_json::value::RawValue;

use crate::partner_message::{Object, is_present};

/// The deepest pointer: nothing that acquirers send is deeper.
const DEPTH_MAX: usize = 6;

/// One place in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    object: usize,
    key: String,
    /// With points, as answers name it: `amount.value`.
    pub(crate) name: String,
}

impl Place {
    /// Whether both are fields of one object inside the message.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.object == other.object && self.object != ROOT
    }
}

const ROOT: usize = 0;

/// The objects of a message in which fields are looked for. The first is the message itself; a parent comes before its
/// children.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    objects: Vec<ObjectAt>,
}

#[derive(Debug, Clone)]
struct ObjectAt {
    parent: usize,
    key: String,
    name: String,
    /// Its fields that decide, or that lead to such a field: none may be there twice.
    deciding: Vec<String>,
}

impl Layout {
    /// Adds a place.
    ///
    /// # Errors
    /// Why the pointer names nothing.
    pub(crate) fn place(&mut self, pointer: &str, decides: bool) -> Result<Place, String> {
        if self.objects.is_empty() {
            self.objects.push(ObjectAt {
                parent: ROOT,
                key: String::new(),
                name: String::new(),
                deciding: Vec::new(),
            });
        }
        let keys = keys(pointer)?;
        let Some((last, above)) = keys.split_last() else {
            return Err("a pointer names a field of the message".to_owned());
        };
        let mut object = ROOT;
        for key in above {
            self.mark(object, key, decides);
            object = self.object(object, key);
        }
        self.mark(object, last, decides);
        Ok(Place {
            object,
            key: last.clone(),
            name: keys.join("."),
        })
    }

    fn mark(&mut self, object: usize, key: &str, decides: bool) {
        let deciding = &mut self.objects[object].deciding;
        if decides && !deciding.iter().any(|known| known == key) {
            deciding.push(key.to_owned());
        }
    }

    fn object(&mut self, parent: usize, key: &str) -> usize {
        let known = self
            .objects
            .iter()
            .skip(1)
            .position(|object| object.parent == parent && object.key == key);
        if let Some(at) = known {
            return at + 1;
        }
        let above = &self.objects[parent].name;
        let name = if above.is_empty() {
            key.to_owned()
        } else {
            format!("{above}.{key}")
        };
        self.objects.push(ObjectAt {
            parent,
            key: key.to_owned(),
            name,
            deciding: Vec::new(),
        });
        self.objects.len() - 1
    }

    /// Takes a message apart.
    ///
    /// # Errors
    /// The field that decides and is there twice.
    pub(crate) fn open<'a>(&'a self, root: Object<'a>) -> Result<Document<'a>, &'a str> {
        let mut held: Vec<Held<'a>> = Vec::with_capacity(self.objects.len());
        let mut root = Some(root);
        for object in &self.objects {
            let opened = match root.take() {
                Some(root) => Held::Object(root),
                None => match &held[object.parent] {
                    Held::Object(parent) => Held::of(parent.get(&object.key)),
                    Held::Absent | Held::Broken => Held::Absent,
                },
            };
            if let Held::Object(opened) = &opened
                && let Some(twice) = opened.repeated(&object.deciding)
            {
                return Err(twice);
            }
            held.push(opened);
        }
        Ok(Document { layout: self, held })
    }
}

/// The keys of a pointer.
fn keys(pointer: &str) -> Result<Vec<String>, String> {
    let Some(rest) = pointer.strip_prefix('/') else {
        return Err(format!(
            "{pointer:?} is no JSON pointer: it begins with /, as in /amount/value"
        ));
    };
    let keys: Vec<String> = rest
        .split('/')
        .map(|key| key.replace("~1", "/").replace("~0", "~"))
        .collect();
    if keys.iter().any(String::is_empty) {
        return Err(format!("{pointer:?} names nothing between two slashes"));
    }
    if keys.len() > DEPTH_MAX {
        return Err(format!("{pointer:?} is deeper than {DEPTH_MAX} objects"));
    }
    Ok(keys)
}

enum Held<'a> {
    Absent,
    /// Something else than an object stands there.
    Broken,
    Object(Object<'a>),
}

impl<'a> Held<'a> {
    /// PHP writes an empty object as an empty array.
    fn of(raw: Option<&'a RawValue>) -> Self {
        let Some(raw) = raw.filter(|raw| is_present(raw)) else {
            return Self::Absent;
        };
        match serde_json::from_str(raw.get()) {
            Ok(object) => Self::Object(object),
            Err(_) => Self::Broken,
        }
    }
}

/// A message that was taken apart.
pub(crate) struct Document<'a> {
    layout: &'a Layout,
    held: Vec<Held<'a>>,
}

/// What is at the first of some places that has something.
pub(crate) enum Found<'a> {
    Value(&'a RawValue),
    /// Nothing; the name of what is missing first.
    Absent(&'a str),
    /// The name of what should be an object and is not.
    Broken(&'a str),
}

impl<'a> Document<'a> {
    /// The values at these places that are there, in order.
    pub(crate) fn all<'b>(
        &'b self,
        places: &'b [Place],
    ) -> impl Iterator<Item = &'a RawValue> + 'b {
        places
            .iter()
            .filter_map(|place| self.at(place))
            .filter(|raw| is_present(raw))
    }

    /// The first of these places with a value.
    pub(crate) fn first(&self, places: &[Place]) -> Option<&'a RawValue> {
        self.all(places).next()
    }

    /// The first of these places with a value, or what is in its way. An empty text counts when nothing else is there.
    pub(crate) fn find<'b>(&'b self, places: &'b [Place]) -> Found<'b>
    where
        'a: 'b,
    {
        if let Some(raw) = self.first(places) {
            return Found::Value(raw);
        }
        let written = places.iter().filter_map(|place| self.at(place));
        if let Some(raw) = written.into_iter().find(|raw| raw.get() != "null") {
            return Found::Value(raw);
        }
        for place in places {
            if let Held::Broken = self.held[place.object] {
                return Found::Broken(&self.layout.objects[place.object].name);
            }
        }
        match places.first() {
            Some(place) if matches!(self.held[place.object], Held::Absent) => {
                Found::Absent(&self.layout.objects[place.object].name)
            }
            Some(place) => Found::Absent(&place.name),
            None => Found::Absent(""),
        }
    }

    /// Whether the object in which a field is looked for is there.
    pub(crate) fn has_object_of(&self, place: &Place) -> bool {
        matches!(self.held[place.object], Held::Object(_))
    }

    /// How many objects are something else, and are read as absent.
    pub(crate) fn broken(&self) -> usize {
        let broken = |held: &&Held<'_>| matches!(held, Held::Broken);
        self.held.iter().filter(broken).count()
    }

    fn at(&self, place: &Place) -> Option<&'a RawValue> {
        match &self.held[place.object] {
            Held::Object(object) => object.get(&place.key),
            Held::Absent | Held::Broken => None,
        }
    }
}
