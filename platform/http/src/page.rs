//! Lists, page by page: newest first, with an opaque cursor.
//!
//! The cursor is the creation time and id of the last row of the previous page, so a page costs the
//! same however far back it is, and rows that are added meanwhile neither repeat nor hide others.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use domain::validation::FieldError;
use serde::{Deserialize, Serialize};
use service::Error;
use store::Page;
use utoipa::openapi::Required;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use uuid::Uuid;

use super::envelope::{self, List};
use super::error::{ApiError, ErrorCode};
use super::operation::{Describe, Operation};
use super::query::Query;

/// Rows on a page by default.
const LIMIT_DEFAULT: i64 = 50;
/// The largest page.
const LIMIT_MAX: i64 = 200;

/// The page that a client requests: `?limit=` 1–200 and `?cursor=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageQuery {
    limit: i64,
    after: Option<Cursor>,
}

/// A position in a list: the last row of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// When the row was created, in whole microseconds.
    pub created_at: DateTime<Utc>,
    /// Its id.
    pub id: Uuid,
}

impl Cursor {
    /// The position of the row with this creation time and id.
    pub fn new(created_at: DateTime<Utc>, id: Uuid) -> Self {
        Self { created_at, id }
    }

    /// The position of a row whose id is a number: the cursor carries it as a UUID.
    pub fn numbered(created_at: DateTime<Utc>, number: i64) -> Self {
        Self::new(created_at, Uuid::from_u128(number.unsigned_abs().into()))
    }

    fn encode(self) -> String {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.created_at.timestamp_micros().to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes: [u8; 24] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (micros, id) = bytes.split_at(8);
        Some(Self {
            created_at: DateTime::from_timestamp_micros(i64::from_be_bytes(
                micros.try_into().ok()?,
            ))?,
            id: Uuid::from_slice(id).ok()?,
        })
    }
}

#[derive(Deserialize)]
struct Raw {
    limit: Option<String>,
    cursor: Option<String>,
}

impl PageQuery {
    /// The page for the store: one row more than the client's page, to detect whether there is another page.
    pub fn store_page(&self) -> Page {
        Page {
            limit: self.limit + 1,
            after: self.after.map(|cursor| (cursor.created_at, cursor.id)),
        }
    }

    /// The answer for the `rows` of [`PageQuery::store_page`]; `cursor` is a row's position in the list.
    ///
    /// # Errors
    /// When a row cannot be written as JSON, which is a bug.
    pub fn reply<T: Serialize>(
        &self,
        mut rows: Vec<T>,
        cursor: impl Fn(&T) -> Cursor,
    ) -> Result<List<T>, ApiError> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|row| cursor(row).encode());
        envelope::list(&rows, next_cursor)
    }

    fn read(raw: &Raw) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let limit = match raw.limit.as_deref().map(str::parse) {
            None => LIMIT_DEFAULT,
            Some(Ok(limit)) if (1..=LIMIT_MAX).contains(&limit) => limit,
            Some(_) => {
                errors.push(FieldError::new(
                    "limit",
                    format!("expected a number from 1 to {LIMIT_MAX}"),
                ));
                LIMIT_DEFAULT
            }
        };
        let after = match raw.cursor.as_deref() {
            None => None,
            Some(text) => {
                let cursor = Cursor::decode(text);
                if cursor.is_none() {
                    errors.push(FieldError::new(
                        "cursor",
                        "expected the next_cursor of the page before",
                    ));
                }
                cursor
            }
        };
        if errors.is_empty() {
            Ok(Self { limit, after })
        } else {
            Err(errors)
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Query(raw) = Query::<Raw>::read(&parts.uri)?;
        Self::read(&raw).map_err(|errors| Error::Validation(errors).into())
    }
}

impl Describe for PageQuery {
    fn describe(operation: &mut Operation) {
        let query = |name: &str, description: &str, schema: ObjectBuilder| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(description))
                .schema(Some(schema))
                .build()
        };
        operation.takes(query(
            "limit",
            "How many rows the page has at most",
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(1))
                .maximum(Some(LIMIT_MAX))
                .default(Some(LIMIT_DEFAULT.into())),
        ));
        operation.takes(query(
            "cursor",
            "The next_cursor of the page before",
            ObjectBuilder::new().schema_type(Type::String),
        ));
        operation.fails(&[ErrorCode::ValidationFailed]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(limit: Option<&str>, cursor: Option<&str>) -> Result<PageQuery, Vec<String>> {
        let raw = Raw {
            limit: limit.map(str::to_owned),
            cursor: cursor.map(str::to_owned),
        };
        PageQuery::read(&raw)
            .map_err(|errors| errors.into_iter().map(|error| error.field).collect())
    }

    fn cursor() -> Cursor {
        Cursor {
            created_at: DateTime::from_timestamp_micros(1_800_000_000_123_456).unwrap(),
            id: Uuid::from_u128(0x0190_f3a1_c0de_7abc_8def_0123_4567_89ab),
        }
    }

    #[test]
    fn limits_are_one_to_two_hundred() {
        assert_eq!(read(None, None).unwrap().limit, 50);
        assert_eq!(read(Some("1"), None).unwrap().limit, 1);
        assert_eq!(read(Some("200"), None).unwrap().limit, 200);
        for wrong in ["0", "201", "-1", "", "ten", "1.5", "99999999999999999999"] {
            assert_eq!(
                read(Some(wrong), None),
                Err(vec!["limit".to_owned()]),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_cursor_reads_back_and_anything_else_is_refused() {
        let text = cursor().encode();
        assert_eq!(read(None, Some(&text)).unwrap().after, Some(cursor()));
        for wrong in ["", "AAAA", "not base64!", &text[1..], &format!("{text}A")] {
            assert_eq!(
                read(None, Some(wrong)),
                Err(vec!["cursor".to_owned()]),
                "{wrong}"
            );
        }
        assert_eq!(
            read(Some("0"), Some("x")),
            Err(vec!["limit".to_owned(), "cursor".to_owned()])
        );
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let page = read(Some("2"), None).unwrap();
        assert_eq!(page.store_page().limit, 3);
        let next = |rows: Vec<u8>| {
            let reply = page.reply(rows, |_| cursor()).unwrap();
            let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            (
                body["data"].as_array().unwrap().len(),
                body["next_cursor"].clone(),
            )
        };
        assert_eq!(next(vec![]), (0, serde_json::Value::Null));
        assert_eq!(next(vec![1, 2]), (2, serde_json::Value::Null));
        assert_eq!(next(vec![1, 2, 3]), (2, cursor().encode().into()));
    }
}
