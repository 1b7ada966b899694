//! The choice of a role.

use domain::role::Role;
use maud::{Markup, html};

use crate::words::Words;
use crate::words::user::UserWords;

/// All roles with their words.
pub(super) fn all(words: &Words) -> Vec<(&'static str, &'static str)> {
    Role::ALL
        .iter()
        .map(|role| (role.as_str(), UserWords::of(words.language).role(*role)))
        .collect()
}

/// The choice of a role; of those who read alone, unless another was chosen.
pub(super) fn choice(chosen: &str, words: &Words) -> Markup {
    let chosen = chosen.parse().unwrap_or(Role::Support);
    html! {
        select name="role" {
            @for (value, text) in all(words) { option value=(value) selected[value == chosen.as_str()] { (text) } }
        }
    }
}
