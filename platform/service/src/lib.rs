//! Use cases. Each owns its database transaction, through a [`UnitOfWork`].
//!
//! The caller (an HTTP handler, the MQTT bridge, a job) begins a unit, passes it to one or more use
//! cases and commits it; dropping it rolls everything back. What must happen after the commit (waking
//! the outbox, ending a session) is collected in the unit and signalled then.
//!
//! Every use case may fail with the database's error; an `# Errors` section names what else can go wrong.

pub mod alert;
pub mod alert_channel;
pub mod alert_record;
pub mod availability;
pub mod batch;
pub mod clock;
pub mod code;
pub mod context;
pub mod database_origin;
pub mod error;
mod failed_item;
pub mod fleet;
pub mod housekeeping;
mod known_days;
pub mod lists;
pub mod merge;
pub mod money;
pub mod node;
mod noun;
pub mod outbox;
pub mod partition;
pub mod partner;
pub mod payment;
pub mod people;
pub mod rate_limit;
pub mod readiness;
pub mod retry;
pub mod secret;
pub mod seed;
pub mod settings;
pub mod shop;
pub mod signal;
pub mod span;
pub mod unit_of_work;
pub mod wakeup;
pub mod webhook;

pub use code::ErrorCode;
pub use context::{Context, Keys};
pub use error::{Error, Result};
pub use noun::Noun;
pub use partner::{Partner, PayoutChannel};
pub use settings::Settings;
pub use unit_of_work::{Actor, Begin, IdempotencyKey, Reply, UnitOfWork};

use domain::validation::FieldError;
use wire::text::TextLimit;

/// A word by which a list is filtered.
///
/// # Errors
/// A word that does not exist.
pub fn word<T>(field: &'static str, text: Option<&str>) -> Result<Option<T>>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.map(str::parse)
        .transpose()
        .map_err(|error: T::Err| Error::field(field, error.to_string()))
}

/// Collects the complaints about an input.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<FieldError>);

impl Checks {
    /// 1 to `len_max` characters that show something.
    pub(crate) fn text(&mut self, field: &str, value: &str, len_max: usize) {
        self.text_within(field, value, TextLimit::chars(len_max));
    }

    /// A name that is sent to devices: limited so that it fits into the message. Blanks around it are removed.
    pub(crate) fn name(&mut self, field: &str, value: &mut String) {
        if value.trim().len() != value.len() {
            *value = value.trim().to_owned();
        }
        self.text_within(field, value, wire::text::NAME);
    }

    fn text_within(&mut self, field: &str, value: &str, limit: TextLimit) {
        if value.trim().is_empty() {
            self.refuse(field, "is required");
        } else if let Err(error) = limit.check(value) {
            self.refuse(field, error.to_string());
        }
    }

    /// As [`Checks::text`], when there is a value.
    pub(crate) fn optional_text(&mut self, field: &str, value: Option<&str>, len_max: usize) {
        if let Some(value) = value {
            self.text(field, value, len_max);
        }
    }

    /// A value that must read as `T`.
    pub(crate) fn parse<T>(&mut self, field: &str, value: &str) -> Option<T>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        value
            .parse()
            .map_err(|error: T::Err| self.refuse(field, error.to_string()))
            .ok()
    }

    /// The complaints of a rule of the domain.
    pub(crate) fn extend(&mut self, outcome: std::result::Result<(), Vec<FieldError>>) {
        self.0.extend(outcome.err().unwrap_or_default());
    }

    pub(crate) fn refuse(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(FieldError::new(field, message));
    }

    pub(crate) fn finish(self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::Validation(self.0))
        }
    }
}
