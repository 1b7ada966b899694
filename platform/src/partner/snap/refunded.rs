//! What an answer to a request for a refund means, by the standard.

use domain::dialect::outbound::AnswerFields;
use domain::dialect::request::first_of;
use service::payment::qr_partner::{PartnerError, Refunded};
use wire::lenient;

use super::{Done, WORDS_LEN_MAX};

/// How long a response code of the standard is: HTTP status, service, case.
const CODE_LEN: usize = 7;
/// The request is still worked on.
const IN_PROGRESS: &str = "202";
/// With [`DONE_BEFORE`]: it was done before, under the same name.
const CONFLICT: &str = "409";
const DONE_BEFORE: &str = "01";

/// A refund under a name of which the partner says that it was done before
/// is ours, because no two have the same name; one that is still worked on is asked for again.
pub(super) fn refunded(
    answer: Result<Done, PartnerError>,
    fields: &AnswerFields,
) -> Result<Refunded, PartnerError> {
    let text = |done: &Done, pointers| first_of(&done.fields, pointers).and_then(lenient::text);
    match answer {
        Ok(done) => {
            let code = text(&done, &fields.response_code).unwrap_or_default();
            if code.starts_with(IN_PROGRESS) {
                return Err(PartnerError::Away("it is still at work".into()));
            }
            let refund_no = text(&done, &fields.refund_no);
            Ok(Refunded {
                refund_no: refund_no.map(|text| lenient::cut(&text, WORDS_LEN_MAX)),
            })
        }
        Err(PartnerError::Refused { code, .. })
            if code.len() == CODE_LEN
                && code.starts_with(CONFLICT)
                && code.ends_with(DONE_BEFORE) =>
        {
            Ok(Refunded::default())
        }
        Err(error) => Err(error),
    }
}
