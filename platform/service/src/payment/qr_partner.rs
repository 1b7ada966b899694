//! Who issues codes for our merchants: built here (`local`), or asked for over HTTP (`snap`).

use chrono::{DateTime, Utc};
use domain::dialect::reference::ReferenceForm;
use domain::dialect::request::PayeeNames;
use domain::qris::TerminalLabel;
use domain::registration::Registration;
use domain::transaction::TransactionStatus;
use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;
use wire::Rupiah;
use wire::ids::TransactionId;

use crate::Error;

/// A code that is wanted.
#[derive(Debug, Clone)]
pub struct Order {
    /// Our transaction.
    pub id: TransactionId,
    /// How the order is named to the partner: the same each time, so that asking again is not asking twice.
    pub name: String,
    /// How much.
    pub amount: Rupiah,
    /// Whose code.
    pub registration: Registration,
    /// At which till.
    pub terminal_label: TerminalLabel,
    /// What the partner calls merchant, outlet and terminal.
    pub payee: PayeeNames,
    /// Until when it can be paid.
    pub expires_at: DateTime<Utc>,
}

/// A code that was issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The code.
    pub qr_payload: String,
    /// Tag 62.05, when we know it.
    pub qr_reference: Option<String>,
    /// The partner's name for the order.
    pub reference_no: Option<String>,
    /// The X-EXTERNAL-ID of the request.
    pub external_id: Option<String>,
}

/// An order that was placed.
#[derive(Debug, Clone)]
pub struct Named {
    /// How it was named to the partner.
    pub name: String,
    /// The partner's name for it.
    pub reference_no: Option<String>,
    /// The X-EXTERNAL-ID of the request for its code.
    pub external_id: Option<String>,
    /// Whose code it is, and at which till.
    pub payee: PayeeNames,
}

/// A payment that is to be taken back, or a part of it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the words of a transaction")]
pub struct Refund {
    /// How the order was named to the partner.
    pub name: String,
    /// The X-EXTERNAL-ID of the request for its code.
    pub external_id: Option<String>,
    pub partner_reference: String,
    /// How the refund is named to the partner: the same each time, so that asking again is not paying back twice.
    pub refund_name: String,
    pub amount: Rupiah,
    pub payee: PayeeNames,
    pub reason: String,
}

/// A payment, or a part of it, that was taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refunded {
    /// The partner's number of the refund, if it gave one.
    pub refund_no: Option<String>,
}

/// Why a partner did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartnerError {
    /// It did not answer in time, or answered that it is broken. What it did is not known.
    #[error("the partner is away: {0}")]
    Away(String),
    /// It said no.
    #[error("the partner refused: {code} {message}")]
    Refused {
        /// Its code.
        code: String,
        /// Its words.
        message: String,
    },
    /// It said something that we cannot read.
    #[error("the partner cannot be understood: {0}")]
    Unreadable(String),
    /// It is not a partner that does this.
    #[error("the partner does not do this")]
    Unsupported,
}

impl PartnerError {
    /// Whether it is certain that the partner did nothing: it said that the request is refused, or it was never asked. An
    /// answer without a code of its own, or one that cannot be read, leaves open what it did.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.starts_with('4'),
            Self::Unsupported => true,
            Self::Away(_) | Self::Unreadable(_) => false,
        }
    }

    /// The same for who asked us, about a transaction that stands at `current`.
    pub(super) fn told(self, current: TransactionStatus) -> Error {
        match self {
            Self::Away(_) => Error::PartnerTimeout,
            refused => Error::InvalidState {
                current: current.to_string(),
                message: refused.to_string(),
            },
        }
    }
}

/// Whether a partner is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Circuit {
    /// It is.
    Closed,
    /// It failed too often: it is left alone for a while.
    Open,
}

impl Circuit {
    /// Its word, as in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

/// A partner that issues codes.
pub trait QrPartner: Send + Sync {
    /// Whether its answers are made here, without waiting for a partner.
    fn is_local(&self) -> bool;

    /// Whether it is called now; none when it never is.
    fn circuit(&self) -> Option<Circuit> {
        None
    }

    /// How our orders are named to it.
    fn reference(&self) -> ReferenceForm {
        ReferenceForm::Full
    }

    /// Issues a code.
    fn generate<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Issued, PartnerError>>;

    /// What became of an order: the raw answer, a notification in its form.
    fn query<'a>(&'a self, named: &'a Named) -> BoxFuture<'a, Result<Vec<u8>, PartnerError>>;

    /// Whether it takes back parts of payments.
    fn refunds_parts(&self) -> bool {
        false
    }

    /// Takes a payment back, or a part of it. Asked again under the same name, it does nothing more, and answers the same.
    fn refund<'a>(&'a self, refund: &'a Refund) -> BoxFuture<'a, Result<Refunded, PartnerError>>;

    /// Withdraws a code that is not paid.
    fn cancel<'a>(
        &'a self,
        named: &'a Named,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<(), PartnerError>>;
}
