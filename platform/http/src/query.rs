//! The query string: the parameters of a route, each read as its type. All others are refused by name, also on routes
//! without parameters: with a misspelt filter that is ignored, the answer would be that to another question.
//!
//! A route's parameters are those that its extractors describe ([`Operation`]), so the OpenAPI document, the extractors
//! and this check cannot differ. Routes of devices and partners ignore unknown parameters, because devices in the field
//! cannot be changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::Uri;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use domain::validation::FieldError;
use serde::de::DeserializeOwned;
use service::Error;
use utoipa::IntoParams;
use utoipa::openapi::path::ParameterIn;

use super::error::{ApiError, ErrorCode};
use super::operation::{Describe, Operation};

/// How many unknown parameters one answer names.
const NAMED_MAX: usize = 8;
/// How much of an unknown name is repeated, in characters.
const NAME_CHARS_MAX: usize = 64;

/// The query string as a `T`.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> Query<T> {
    /// Reads the query string of `uri`.
    ///
    /// # Errors
    /// VALIDATION_FAILED with the name of a parameter whose value is no value of its type.
    pub(super) fn read(uri: &Uri) -> Result<Self, ApiError> {
        let axum::extract::Query(value) =
            axum::extract::Query::<T>::try_from_uri(uri).map_err(|rejection| {
                let text = rejection.body_text();
                // axum names the field and the reason as `Failed to …: field: reason`.
                let mut parts = text.splitn(3, ": ").skip(1);
                match (parts.next(), parts.next()) {
                    (Some(field), Some(reason)) => ApiError::field(field, reason),
                    _ => ApiError::field("", text),
                }
            })?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::read(&parts.uri)
    }
}

impl<T: IntoParams> Describe for Query<T> {
    fn describe(operation: &mut Operation) {
        for parameter in T::into_params(|| Some(ParameterIn::Query)) {
            operation.takes(parameter);
        }
        operation.fails(&[ErrorCode::ValidationFailed]);
    }
}

/// The parameters of a route; in the extensions of requests to routes that refuse all others.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownParameters(Arc<BTreeSet<String>>);

impl KnownParameters {
    /// Those that an operation describes.
    pub(super) fn of(operation: &Operation) -> Self {
        let names = operation
            .parameters
            .iter()
            .filter(|parameter| parameter.parameter_in == ParameterIn::Query)
            .map(|parameter| parameter.name.clone());
        Self(Arc::new(names.collect()))
    }

    /// Refuses a query string with another parameter.
    fn check(&self, uri: &Uri) -> Result<(), ApiError> {
        if uri.query().is_none_or(str::is_empty) {
            return Ok(());
        }
        let Query(pairs) = Query::<Vec<(String, String)>>::read(uri)?;
        let unknown: BTreeSet<String> = pairs
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| !self.0.contains(name))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let message = if self.0.is_empty() {
            "unknown parameter; there are none here".to_owned()
        } else {
            let known: Vec<&str> = self.0.iter().map(String::as_str).collect();
            format!("unknown parameter; known here: {}", known.join(", "))
        };
        let fields = unknown
            .iter()
            .take(NAMED_MAX)
            .map(|name| {
                let name: String = name.chars().take(NAME_CHARS_MAX).collect();
                FieldError::new(&name, message.clone())
            })
            .collect();
        Err(Error::Validation(fields).into())
    }
}

/// Refuses unknown parameters on routes with [`KnownParameters`]; called once the caller is authenticated.
///
/// # Errors
/// VALIDATION_FAILED with the names of the unknown ones.
pub(super) fn refuse_unknown(parts: &Parts) -> Result<(), ApiError> {
    match parts.extensions.get::<KnownParameters>() {
        Some(known) => known.check(&parts.uri),
        None => Ok(()),
    }
}

/// Middleware for public routes: refuses unknown parameters.
pub(super) async fn only_known(
    State(known): State<KnownParameters>,
    request: Request,
    next: Next,
) -> Response {
    match known.check(request.uri()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(known: &[&str], query: &str) -> Option<String> {
        let known = KnownParameters(Arc::new(
            known.iter().map(|name| (*name).to_owned()).collect(),
        ));
        let uri: Uri = format!("/list{query}").parse().unwrap();
        known.check(&uri).err().map(|error| format!("{error:?}"))
    }

    #[test]
    fn what_a_route_does_not_know_is_named() {
        for taken in ["", "?", "?from=x", "?from=x&limit=1&from=y"] {
            assert_eq!(refused(&["from", "limit"], taken), None, "{taken}");
        }
        for (query, name) in [
            ("?foo=1", "foo"),
            ("?from=x&foo", "foo"),
            ("?From=x", "From"),
            ("?fro%6d=x&%66oo=1", "foo"),
            ("?=1", "String(\"\")"),
            ("?foo%00=1", "foo"),
        ] {
            let refusal = refused(&["from", "limit"], query);
            assert!(
                refusal.as_ref().is_some_and(|text| text.contains(name)),
                "{query}: {refusal:?}"
            );
        }
        assert!(refused(&[], "?from=x").unwrap().contains("none here"));
    }

    #[test]
    fn an_answer_stays_short_whatever_is_asked() {
        let many: Vec<String> = (0..500)
            .map(|n| format!("{}{n}=", "x".repeat(20)))
            .collect();
        let refusal = refused(&["from"], &format!("?{}", many.join("&"))).unwrap();
        assert!(refusal.len() < 4096, "{}", refusal.len());
    }
}
