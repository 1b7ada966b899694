//! Forms: urlencoded, with the secret of their session.

use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, Request};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::de::DeserializeOwned;
use service::{Context, Error, Noun};

use crate::session::{self, Absent, Viewer};

/// The field with the secret of the session.
pub(crate) const CSRF: &str = "csrf";

/// A form that a page of this viewer's sent.
pub(crate) struct Sent<T> {
    /// Who sent it.
    pub(crate) viewer: Viewer,
    /// Its fields.
    pub(crate) fields: T,
}

/// The hidden field of every form.
pub(crate) fn secret(viewer: &Viewer) -> Markup {
    html! { input type="hidden" name=(CSRF) value=(viewer.csrf) {} }
}

/// The fields of a body, and what it has for [`CSRF`].
pub(crate) fn read(body: &[u8]) -> (Vec<(String, String)>, Option<String>) {
    let (mut fields, mut csrf) = (Vec::new(), None);
    for (name, value) in form_urlencoded::parse(body) {
        if name == CSRF {
            csrf = Some(value.into_owned());
        } else {
            fields.push((name.into_owned(), value.into_owned()));
        }
    }
    (fields, csrf)
}

/// The fields as a type, all of them texts; one that is sent twice counts once, as last said.
pub(crate) fn typed<T: DeserializeOwned>(fields: Vec<(String, String)>) -> Result<T, Error> {
    let object = fields
        .into_iter()
        .map(|(name, value)| (name, serde_json::Value::String(value)))
        .collect();
    serde_json::from_value(serde_json::Value::Object(object))
        .map_err(|error| Error::Malformed(error.to_string()))
}

impl<S, T> FromRequest<S> for Sent<T>
where
    Context: FromRef<S>,
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let viewer =
            <Viewer as axum::extract::FromRequestParts<S>>::from_request_parts(&mut parts, state)
                .await
                .map_err(Absent::into_response)?;
        let body = Bytes::from_request(Request::from_parts(parts, body), state)
            .await
            .map_err(IntoResponse::into_response)?;
        let (fields, csrf) = read(&body);
        if !csrf.is_some_and(|sent| session::is_csrf(&viewer.csrf, &sent)) {
            let error = Error::Forbidden("the form is not one of this session");
            return Err(viewer.fault(error).into_response());
        }
        let fields = typed(fields).map_err(|error| viewer.fault(error).into_response())?;
        Ok(Self { viewer, fields })
    }
}

/// A form with a button alone.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Nothing {}

/// An id of a path; one that cannot be read names nothing.
///
/// # Errors
/// The noun is not found.
pub(crate) fn named<T: std::str::FromStr>(id: &str, noun: Noun) -> Result<T, Error> {
    id.parse().map_err(|_| Error::NotFound(noun))
}
