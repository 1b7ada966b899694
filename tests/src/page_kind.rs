//! Which pages there are: those that links lead to, one of each kind.

use std::collections::{BTreeMap, VecDeque};

/// The path of a page with its ids left out.
pub fn kind(path: &str) -> String {
    let is_id = |part: &str| part.chars().filter(char::is_ascii_hexdigit).count() >= 28;
    let parts = path.split('/');
    let parts = parts.map(|part| if is_id(part) { "{id}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Pages that are still to be looked at.
#[derive(Debug)]
pub struct Walk {
    start: &'static str,
    seen: BTreeMap<String, String>,
    next: VecDeque<String>,
}

impl Walk {
    /// Begins at the page `start`, and stays below it.
    pub fn from(start: &'static str) -> Self {
        Self {
            start,
            seen: BTreeMap::from([(kind(start), start.to_owned())]),
            next: VecDeque::from([start.to_owned()]),
        }
    }

    /// The next page.
    pub fn take_path(&mut self) -> Option<String> {
        self.next.pop_front()
    }

    /// Notes where a page leads to; files are no pages.
    pub fn add<'a>(&mut self, links: impl IntoIterator<Item = &'a str>) {
        for link in links {
            let path = link.split(['?', '#']).next().unwrap_or_default();
            let is_page = path.starts_with(self.start)
                && !path.rsplit('/').next().unwrap_or_default().contains('.');
            if is_page && !self.seen.contains_key(&kind(path)) {
                self.seen.insert(kind(path), path.to_owned());
                self.next.push_back(path.to_owned());
            }
        }
    }

    /// The kinds that were found.
    pub fn kinds(self) -> Vec<String> {
        self.seen.into_keys().collect()
    }
}

/// Where the links of a page lead to.
pub fn links(html: &str) -> impl Iterator<Item = &str> {
    html.split(" href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
}
