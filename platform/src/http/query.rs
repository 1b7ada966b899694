//! Filters in the query string. Names that a list does not know are left alone; values that a
//! filter cannot take are refused.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use utoipa::openapi::path::ParameterIn;

use super::error::{ApiError, ErrorCode};
use super::operation::{Describe, Operation};

/// The query string as a `T`.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let axum::extract::Query(value) = axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map_err(|rejection| {
                let text = rejection.body_text();
                // axum tells the field and the reason as `Failed to …: field: reason`.
                let mut parts = text.splitn(3, ": ").skip(1);
                match (parts.next(), parts.next()) {
                    (Some(field), Some(reason)) => ApiError::field(field, reason),
                    _ => ApiError::field("", text),
                }
            })?;
        Ok(Self(value))
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
