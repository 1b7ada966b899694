//! The acquirer's callbacks: from verified bytes to money and announcements, in one commit.
//!
//! `receiver` verifies a message, archives it and answers after the commit. What it means is judged by
//! [`domain::transaction::decide`], and its consequences (transition, ledger lines, outbox rows) are written in the same
//! transaction as the message itself.
//!
//! How a message is verified, read and answered is its partner's dialect ([`domain::dialect`]); [`dialect`] does it for all of
//! them. What a partner answers when it is asked comes to the same judgement ([`query`]).

pub mod archive;
mod attribution;
pub mod batch;
pub(super) mod consequence;
pub mod dialect;
mod handler;
mod judgement;
pub mod query;
mod read;
pub(crate) mod receiver;
mod record;
mod rejected;
pub mod rejected_budget;
pub mod replay;
mod reply;
mod sender;
mod taken_back;
mod undecided;
pub(crate) mod verified;

use std::net::IpAddr;

use bytes::Bytes;
use domain::dialect::signature::Headers;
use domain::partner_message::Adjustment;
use domain::transaction::TransactionStatus;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use wire::ids::TransactionId;

use self::receiver::Unreadable;

pub use reply::Reply;
pub(super) use sender::of_token;

/// The metric that counts what became of messages about payments.
const COUNTER: &str = "callbacks_total";
/// What becomes of one that cannot be read.
const UNREADABLE: Unreadable = Unreadable {
    incident: "unreadable_message",
    verdict: "rejected",
    is_raised: true,
};

/// Who a message says that it comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NamedBy {
    /// `X-Partner-Id`, on the route of all partners.
    #[default]
    Header,
    /// The path: `/integrations/qris/callback/{partner_id}`.
    Path,
    /// The header of the dialects that name this path.
    Dialect,
}

/// A callback as it came.
#[derive(Debug, Default)]
pub struct Incoming {
    /// The path it came on, with its query, as a SNAP partner signs it.
    pub path: String,
    /// The partner that it claims to be from; once it is known, the partner's id.
    pub partner_id: Option<String>,
    /// Where that claim stands.
    pub named_by: NamedBy,
    /// All headers.
    pub headers: Headers,
    /// The headers worth keeping, without credentials.
    pub kept_headers: Value,
    /// The raw body; of a dialect that writes its fields into the query, the query.
    pub body: Bytes,
    /// The HTTP request's id.
    pub request_id: Option<String>,
    /// The network that it came from; none behind a proxy.
    pub address: Option<IpAddr>,
}

impl Incoming {
    /// What the archive calls the path: without the query.
    pub(crate) fn route(&self) -> &str {
        self.path_alone()
            .trim_start_matches("/integrations/")
            .trim_start_matches('/')
    }

    /// The path without its query.
    fn path_alone(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

/// What became of a callback that was taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallbackReceipt)]
pub struct Receipt {
    /// accepted, duplicate, unmatched, held or ignored.
    pub verdict: &'static str,
    /// The transaction it is about.
    pub transaction_id: Option<TransactionId>,
    /// Where that stands now.
    pub status: Option<TransactionStatus>,
}

/// Counts the fields of a verified message that were cut or dropped.
pub(crate) fn count_adjustments(adjustments: &[Adjustment]) {
    for adjustment in adjustments {
        metrics::counter!(
            "callback_fields_adjusted_total",
            "field" => adjustment.field, "change" => adjustment.change.as_str()
        )
        .increment(1);
    }
}
