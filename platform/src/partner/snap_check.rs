//! Tries a SNAP partner without moving money: a token, its clock, and a question about an order that does not exist, by
//! whose refusal the partner shows whether it takes our signature.

use chrono::TimeDelta;
use domain::dialect::request::PayeeNames;
use service::payment::qr_partner::{Named, PartnerError, QrPartner};
use wire::ids::TransactionId;

use super::finding::Finding;
use super::snap::{Failure, SnapClient};

impl SnapClient {
    /// Tries the partner. Its clock may differ from ours by `skew_max`.
    pub async fn check(&self, skew_max: TimeDelta) -> Vec<Finding> {
        let mut findings = Vec::new();
        let token = self.token().await;
        let has_token = token.is_ok();
        findings.push(self.of_token(token));
        findings.extend(self.of_clock(skew_max));
        if has_token {
            findings.push(self.of_question().await);
        }
        findings
    }

    fn of_token(&self, token: Result<String, Failure>) -> Finding {
        let url = self.url(&self.settings.outbound.token_path);
        match token {
            Ok(_) => Finding::good(format!("{url} gives us a token")),
            Err(Failure::Away(problem)) => Finding::wrong(format!(
                "{url} does not answer: {problem}. Are api.url and the dialect's base right, and may this machine call it?"
            )),
            Err(Failure::Token) => Finding::wrong(self.refused_token("401", "")),
            Err(Failure::Refused(PartnerError::Refused { code, message })) => {
                Finding::wrong(self.refused_token(&code, &message))
            }
            Err(Failure::Refused(error)) => Finding::wrong(format!(
                "{url}: {error}. Are outbound.token_path and outbound.answer.token of the dialect right?"
            )),
        }
    }

    fn refused_token(&self, code: &str, message: &str) -> String {
        format!(
            "it refuses to give us a token ({} {}). Does it know api.client_id {:?}, and does it have the public half of \
             api.private_key_file?",
            code,
            message.trim(),
            self.settings.own.client_id
        )
    }

    fn of_clock(&self, skew_max: TimeDelta) -> Option<Finding> {
        let ahead = self.clock_ahead()?.num_seconds();
        let words = match ahead {
            0.. => format!("its clock is {ahead} s ahead of ours"),
            _ => format!("its clock is {} s behind ours", -ahead),
        };
        Some(if ahead.abs() > skew_max.num_seconds() {
            Finding::wrong(format!(
                "{words}: more than callbacks.timestamp_tolerance_s, so that signatures are refused as too old. One of the \
                 two clocks is wrong"
            ))
        } else {
            Finding::good(words)
        })
    }

    async fn of_question(&self) -> Finding {
        let id = TransactionId::from_uuid(self.clock.uuid());
        let named = Named {
            name: self.settings.outbound.reference.write(id),
            reference_no: None,
            external_id: None,
            payee: PayeeNames::default(),
        };
        match self.query(&named).await {
            Ok(_) => Finding::good("it takes our signature, and answers a question about an order"),
            Err(PartnerError::Unsupported) => Finding::doubtful(
                "it cannot be asked about orders, so that our signature was not tried; a lost callback stays lost",
            ),
            Err(PartnerError::Refused { code, message }) if code.starts_with("401") => {
                Finding::wrong(format!(
                    "it refuses our signature ({code} {message}). Are api.secret_files and api.partner_id right, and encoding, \
                     body_hash and signs_token of the dialect's outbound?"
                ))
            }
            Err(PartnerError::Refused { code, message }) if code.starts_with("404") => {
                Finding::good(format!(
                    "it takes our signature, and knows no order that was made up ({code} {message})"
                ))
            }
            Err(PartnerError::Refused { code, message }) => Finding::doubtful(format!(
                "it takes our signature, and refuses a question about a made-up order with {code} {message}"
            )),
            Err(PartnerError::Away(problem)) => {
                Finding::wrong(format!("it does not answer a question: {problem}"))
            }
            Err(PartnerError::Unreadable(problem)) => Finding::wrong(format!(
                "its answer to a question cannot be read: {problem}. Is outbound.query.path of the dialect right?"
            )),
        }
    }
}
