//! An item of a batch that failed: it is put aside with an alert, and the others continue.

use domain::alert::{AlertKind, AlertSubject, NewAlert};
use serde_json::{Value, json};

use super::{Context, Error, Result, alert_record};

/// The reason as it is shown: the error code, because the text of an internal error is for the log.
pub(super) fn reason(error: &Error) -> &'static str {
    if error.is_out_of_range() {
        "a number is beyond 64 bits"
    } else {
        error.code().as_str()
    }
}

/// The alert for a failed item of `job`, with the reason as it is shown and more details.
pub(super) fn alert(
    job: &'static str,
    subject: AlertSubject,
    reason: &str,
    more: Value,
) -> NewAlert {
    let mut details = json!({ "job": job, "reason": reason });
    if let (Value::Object(details), Value::Object(more)) = (&mut details, more) {
        details.extend(more);
    }
    NewAlert::new(AlertKind::FailedItem, subject, details)
}

/// Counts a failed item and logs the reason.
pub(super) fn note(job: &'static str, subject: &AlertSubject, error: &Error) {
    metrics::counter!("failed_items_total", "job" => job).increment(1);
    tracing::error!(job, %subject, %error, "an item was put aside");
}

/// Puts an item aside: alert, log line and count. An error that the item did not cause is returned.
///
/// # Errors
/// [`Error::is_of_the_item`] does not hold; or the alert could not be written.
pub(super) async fn put_aside(
    context: &Context,
    job: &'static str,
    subject: AlertSubject,
    error: Error,
    details: Value,
) -> Result<()> {
    if !error.is_of_the_item() {
        return Err(error);
    }
    note(job, &subject, &error);
    alert_record::open_now(context, alert(job, subject, reason(&error), details)).await
}
