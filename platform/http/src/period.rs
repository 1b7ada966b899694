//! `?from=` and `?to=` of lists: moments, or days in Jakarta.
//!
//! A moment is an RFC 3339 time; a list has what was made at `from` or later, and before `to`. A plain date is a day in
//! WIB, from its first moment to its last, so `from=2026-11-26&to=2026-11-26` is that one day.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use domain::validation::FieldError;
use domain::wib;
use serde::Deserialize;
use service::Error;
use store::Period;
use utoipa::openapi::Required;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::error::{ApiError, ErrorCode};
use super::operation::{Describe, Operation};
use super::query::Query;

/// The period that a client asks for.
#[derive(Debug, Clone, Copy)]
pub struct PeriodQuery(pub Period);

#[derive(Deserialize)]
struct Raw {
    from: Option<String>,
    to: Option<String>,
}

/// Which end of the period a text names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    From,
    To,
}

impl PeriodQuery {
    fn read(raw: &Raw) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut moment = |name: &str, text: Option<&str>, end: End| {
            let text = text?;
            let read = moment(text, end);
            if read.is_none() {
                errors.push(FieldError::new(
                    name,
                    "expected a time like 2026-11-26T08:00:00+07:00 or a date like 2026-11-26",
                ));
            }
            read
        };
        let from = moment("from", raw.from.as_deref(), End::From);
        let to = moment("to", raw.to.as_deref(), End::To);
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            errors.push(FieldError::new("from", "must be before to"));
        }
        if errors.is_empty() {
            Ok(Self(Period { from, to }))
        } else {
            Err(errors)
        }
    }
}

fn moment(text: &str, end: End) -> Option<DateTime<Utc>> {
    // Years of four digits: what is beyond them is a slip, and some of it no column can hold.
    if text.len() == "2026-11-26".len() {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        let begins_on = match end {
            End::From => day,
            End::To => day.succ_opt()?,
        };
        return wib::moment(begins_on, NaiveTime::MIN);
    }
    // A `+` that was not escaped arrives as a space.
    let time = DateTime::parse_from_rfc3339(&text.trim().replace(' ', "+")).ok()?;
    Some(time.with_timezone(&Utc))
}

impl<S: Send + Sync> FromRequestParts<S> for PeriodQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Query(raw) = Query::<Raw>::read(&parts.uri)?;
        Self::read(&raw).map_err(|errors| Error::Validation(errors).into())
    }
}

impl Describe for PeriodQuery {
    fn describe(operation: &mut Operation) {
        for (name, description) in [
            (
                "from",
                "At this RFC 3339 time or later; a plain date is the beginning of that day in WIB",
            ),
            (
                "to",
                "Before this RFC 3339 time; a plain date is the end of that day in WIB, the day included",
            ),
        ] {
            operation.takes(
                ParameterBuilder::new()
                    .name(name)
                    .parameter_in(ParameterIn::Query)
                    .required(Required::False)
                    .description(Some(description))
                    .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                    .build(),
            );
        }
        operation.fails(&[ErrorCode::ValidationFailed]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(from: Option<&str>, to: Option<&str>) -> Result<(String, String), Vec<String>> {
        let raw = Raw {
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        let text = |end: Option<DateTime<Utc>>| end.map(wire::time::format).unwrap_or_default();
        PeriodQuery::read(&raw)
            .map(|PeriodQuery(period)| (text(period.from), text(period.to)))
            .map_err(|errors| errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn a_date_is_a_day_in_jakarta_with_its_end() {
        let day = read(Some("2026-11-26"), Some("2026-11-26")).unwrap();
        assert_eq!(day.0, "2026-11-25T17:00:00.000Z");
        assert_eq!(day.1, "2026-11-26T17:00:00.000Z");
        assert_eq!(read(None, None).unwrap(), (String::new(), String::new()));
        let open = read(Some("2024-02-29"), None).unwrap();
        assert_eq!(open, ("2024-02-28T17:00:00.000Z".to_owned(), String::new()));
    }

    #[test]
    fn a_time_may_have_any_offset_also_with_a_plus_that_was_not_escaped() {
        for text in [
            "2026-11-26T01:00:00Z",
            "2026-11-26T08:00:00+07:00",
            "2026-11-26T08:00:00 07:00",
            "2026-11-26T01:00:00.000-00:00",
        ] {
            let read = read(Some(text), None).unwrap();
            assert_eq!(read.0, "2026-11-26T01:00:00.000Z", "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_by_its_name() {
        for wrong in [
            "",
            "x",
            "yesterday",
            "2026-02-30",
            "2026-13-01",
            "26-11-2026",
            "2026/11/26",
            "1732579200",
            "2026-11-26T08:00:00",
            "+262000-01-01",
        ] {
            assert_eq!(read(Some(wrong), None), Err(vec!["from".into()]), "{wrong}");
            assert_eq!(read(None, Some(wrong)), Err(vec!["to".into()]), "{wrong}");
        }
        let backwards = read(Some("2026-11-27"), Some("2026-11-26"));
        assert_eq!(backwards, Err(vec!["from".into()]));
        let empty = read(Some("2026-11-27T00:00:00Z"), Some("2026-11-27T00:00:00Z"));
        assert_eq!(empty, Err(vec!["from".into()]));
    }
}
