//! What is shown once: first passwords, one-time codes, tokens.

use axum::response::{IntoResponse as _, Redirect, Response};
use maud::html;

use crate::icon;
use crate::layout::{self, Page};
use crate::session::Viewer;
use crate::words::user::UserWords;

/// A secret that only this answer has.
pub(super) struct Secret<'a> {
    /// Whose it is.
    pub(super) of: &'a str,
    /// What it is.
    pub(super) what: &'a str,
    /// Itself.
    pub(super) text: &'a str,
    /// What to do with it.
    pub(super) hint: Option<&'a str>,
    /// Where to go on.
    pub(super) on: &'a str,
}

impl Secret<'_> {
    /// The page that shows it.
    pub(super) fn page(&self, viewer: &Viewer) -> Page {
        let words = viewer.words();
        let content = html! {
            h1 { (self.of) }
            p.done role="status" { (icon::check()) (words.secret_once) }
            div.card.message {
                div.head {
                    h2 { (self.what) }
                    button.copy data-copy="#secret" hidden { (icon::copy()) (words.copy) }
                }
                pre #secret { (self.text) }
                @if let Some(hint) = self.hint { p { (hint) } }
            }
            p { a.button href=(self.on) { (words.go_on) } }
        };
        layout::page(viewer, UserWords::of(viewer.language).secret, &content)
    }
}

/// The proposer's half of a code for this email, and the way to the proposal; without one, the proposal.
pub(super) fn half(viewer: &Viewer, of: &str, code: Option<&str>, on: &str) -> Response {
    let own = UserWords::of(viewer.language);
    match code {
        Some(text) => {
            let half = Secret {
                of,
                what: own.setup_code,
                text,
                hint: Some(own.half),
                on,
            };
            half.page(viewer).into_response()
        }
        None => Redirect::to(on).into_response(),
    }
}
