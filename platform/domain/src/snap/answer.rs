//! SNAP's answers: `{"responseCode": "2005200", "responseMessage": "Successful"}`.
//!
//! A response code is the HTTP status, the service and a case: `401` `52` `00`.

use serde::{Deserialize, Serialize};

/// Which service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// `access-token/b2b`.
    AccessToken,
    /// `qr/qr-mpm-generate`.
    Generate,
    /// `qr/qr-mpm-query`.
    Query,
    /// `qr/qr-mpm-notify`.
    Notify,
    /// `qr/qr-mpm-cancel`.
    Cancel,
    /// `qr/qr-mpm-refund`.
    Refund,
}

impl Service {
    /// Its two digits in a response code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AccessToken => "73",
            Self::Generate => "47",
            Self::Query => "51",
            Self::Notify => "52",
            Self::Cancel => "77",
            Self::Refund => "78",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Case {
    /// 200 00.
    Successful,
    /// 400 01: a field is not of its form.
    InvalidFieldFormat(String),
    /// 400 02: a field is missing.
    InvalidMandatoryField(String),
    /// 401 00: the signature or the time is wrong.
    Unauthorized(&'static str),
    /// 401 01: the access token is unknown or over.
    InvalidToken,
    /// 404 01.
    TransactionNotFound,
    /// 409 00: the X-EXTERNAL-ID was used for another message today, or the message contradicts what is known.
    Conflict,
    /// 500 00: our fault; to be tried again.
    GeneralError,
    /// 503 00: not at the moment; to be tried again.
    Unavailable,
}

impl Case {
    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Successful => 200,
            Self::InvalidFieldFormat(_) | Self::InvalidMandatoryField(_) => 400,
            Self::Unauthorized(_) | Self::InvalidToken => 401,
            Self::TransactionNotFound => 404,
            Self::Conflict => 409,
            Self::GeneralError => 500,
            Self::Unavailable => 503,
        }
    }

    const fn number(&self) -> &'static str {
        match self {
            Self::InvalidFieldFormat(_) | Self::InvalidToken | Self::TransactionNotFound => "01",
            Self::InvalidMandatoryField(_) => "02",
            Self::Successful
            | Self::Unauthorized(_)
            | Self::Conflict
            | Self::GeneralError
            | Self::Unavailable => "00",
        }
    }

    /// The response code of a service with these two digits.
    pub fn code(&self, service: &str) -> String {
        format!("{}{service}{}", self.status(), self.number())
    }

    /// The words for it.
    pub fn message(&self) -> String {
        match self {
            Self::Successful => "Successful".to_owned(),
            Self::InvalidFieldFormat(field) => format!("Invalid Field Format {field}"),
            Self::InvalidMandatoryField(field) => format!("Invalid Mandatory Field {field}"),
            Self::Unauthorized(reason) => format!("Unauthorized. {reason}"),
            Self::InvalidToken => "Invalid Token (B2B)".to_owned(),
            Self::TransactionNotFound => "Transaction Not Found".to_owned(),
            Self::Conflict => "Conflict".to_owned(),
            Self::GeneralError => "General Error".to_owned(),
            Self::Unavailable => "Service Unavailable".to_owned(),
        }
    }

    /// The answer of this service.
    pub fn answer(&self, service: Service) -> Answer {
        Answer {
            response_code: self.code(service.code()),
            response_message: self.message(),
        }
    }
}

/// What every answer begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = SnapAnswer))]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Seven digits.
    pub response_code: String,
    /// For people.
    pub response_message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        let code = |case: Case, service| case.answer(service).response_code;
        for (case, expected) in [
            (Case::Successful, "2005200"),
            (Case::InvalidFieldFormat("amount.value".into()), "4005201"),
            (Case::InvalidMandatoryField("amount".into()), "4005202"),
            (Case::Unauthorized("Signature"), "4015200"),
            (Case::InvalidToken, "4015201"),
            (Case::TransactionNotFound, "4045201"),
            (Case::Conflict, "4095200"),
            (Case::GeneralError, "5005200"),
            (Case::Unavailable, "5035200"),
        ] {
            assert_eq!(code(case, Service::Notify), expected);
        }
        assert_eq!(code(Case::Successful, Service::AccessToken), "2007300");
        assert_eq!(code(Case::Successful, Service::Generate), "2004700");
    }
}
