//! A form with a file (`multipart/form-data`): its fields, and then the file as it comes in.

use axum::body::Body;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use multer::{Constraints, Multipart, SizeLimit};
use serde::de::DeserializeOwned;
use service::{Context, Error};

use crate::form;
use crate::session::{self, Absent, Viewer};

/// The field with the file; it comes last, so that the others are known when it begins.
const FILE: &str = "file";
/// Other fields of a form, and the bytes of each.
const FIELDS_MAX: usize = 20;
const FIELD_BYTES_MAX: u64 = 4096;
/// What a body has beside the file, bytes: its fields, names and boundaries.
const AROUND_BYTES_MAX: u64 = 256 * 1024;

/// A form that a page of this viewer's sent, with its file.
pub(crate) struct Upload<T> {
    /// Who sent it.
    pub(crate) viewer: Viewer,
    /// Its fields.
    pub(crate) fields: T,
    /// Its file; none when no file was chosen.
    pub(crate) file: Option<multer::Field<'static>>,
}

impl<T> Upload<T> {
    /// Reads what is left of the file, so that the browser, which sends before it listens, gets the answer.
    pub(crate) async fn drain(&mut self) {
        while let Some(Ok(_)) = match &mut self.file {
            Some(file) => file.next().await,
            None => None,
        } {}
    }
}

impl<S, T> FromRequest<S> for Upload<T>
where
    Context: FromRef<S>,
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let context = Context::from_ref(state);
        let (mut parts, body) = request.into_parts();
        let viewer = <Viewer as FromRequestParts<S>>::from_request_parts(&mut parts, state)
            .await
            .map_err(Absent::into_response)?;
        let request = Request::from_parts(parts, body);
        let read = read(request, &context).await;
        let (fields, csrf, file) = read.map_err(|error| viewer.fault(error).into_response())?;
        if !csrf.is_some_and(|sent| session::is_csrf(&viewer.csrf, &sent)) {
            let error = Error::Forbidden("the form is not one of this session");
            return Err(viewer.fault(error).into_response());
        }
        let fields = form::typed(fields).map_err(|error| viewer.fault(error).into_response())?;
        Ok(Self {
            viewer,
            fields,
            file,
        })
    }
}

type Read = (
    Vec<(String, String)>,
    Option<String>,
    Option<multer::Field<'static>>,
);

async fn read(request: Request, context: &Context) -> Result<Read, Error> {
    let wrong = |error: multer::Error| Error::Malformed(error.to_string());
    let boundary = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(multer::parse_boundary)
        .transpose()
        .map_err(wrong)?
        .ok_or_else(|| Error::Malformed("expected multipart/form-data".into()))?;
    // The use case counts the bytes of the file, and refuses one that is too large with the right words.
    let file_max = u64::try_from(context.settings().reconciliation_bytes_max).unwrap_or(u64::MAX);
    let all_max = file_max.saturating_add(AROUND_BYTES_MAX);
    let sizes = SizeLimit::new()
        .whole_stream(all_max)
        .per_field(FIELD_BYTES_MAX)
        .for_field(FILE, all_max);
    let body = Body::into_data_stream(request.into_body());
    let constraints = Constraints::new().size_limit(sizes);
    let mut form = Multipart::with_constraints(body, boundary, constraints);
    let (mut fields, mut csrf) = (Vec::new(), None);
    while let Some(field) = form.next_field().await.map_err(wrong)? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == FILE {
            let is_chosen = field.file_name().is_some_and(|name| !name.is_empty());
            return Ok((fields, csrf, is_chosen.then_some(field)));
        }
        if fields.len() == FIELDS_MAX {
            return Err(Error::Malformed("the form has too many fields".into()));
        }
        let value = field.text().await.map_err(wrong)?;
        if name == form::CSRF {
            csrf = Some(value);
        } else {
            fields.push((name, value));
        }
    }
    Ok((fields, csrf, None))
}
