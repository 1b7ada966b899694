//! Alerts: conditions that need a person's attention. The platform opens and closes them; people acknowledge them.
//!
//! There is at most one open alert of each kind for each subject. Some kinds are found by looking at the fleet every
//! few seconds; the others are raised in the transaction of what they report.

use std::fmt;

use serde_json::Value;
use uuid::Uuid;
use wire::ids::{
    DeviceId, MerchantId, OutletId, SettlementId, TerminalId, TransactionId, WebhookEndpointId,
};

use crate::text_enum::text_enum;

text_enum! {
    /// What is wrong.
    pub enum AlertKind as "alert kind" {
        /// A box is away while its shop is open.
        Offline = "offline",
        /// A customer paid and the box did not announce it in time.
        UnheardPayment = "unheard_payment",
        /// A box's certificate ends soon, and it has no newer one.
        CertificateExpiring = "certificate_expiring",
        /// A box's battery is nearly empty.
        BatteryLow = "battery_low",
        /// A box connects and disconnects too often.
        Flapping = "flapping",
        /// A customer paid and there was no box that could announce it.
        UnannouncedPayment = "unannounced_payment",
        /// Money came that could not be attributed.
        UnmatchedPayment = "unmatched_payment",
        /// A partner's verified message contradicts what is known.
        Incident = "incident",
        /// A message for a box can never be sent to it.
        UndeliverableMessage = "undeliverable_message",
        /// One item of a batch was put aside, so that the others could go on.
        FailedItem = "failed_item",
        /// A merchant's payouts are held back.
        PayoutHeld = "payout_held",
        /// The server's own certificate ends soon.
        ServerCertificateExpiring = "server_certificate_expiring",
        /// A partner's verified message was refused.
        RejectedCallback = "rejected_callback",
        /// Boxes of other makers may connect without TLS.
        PlainMqtt = "plain_mqtt",
        /// A webhook endpoint was switched off, because it took no messages.
        WebhookDisabled = "webhook_disabled",
    }
}

impl AlertKind {
    /// Whether a job finds it by looking at the fleet; the others are raised where they happen.
    pub const fn is_searched_for(self) -> bool {
        matches!(
            self,
            Self::Offline
                | Self::UnheardPayment
                | Self::CertificateExpiring
                | Self::BatteryLow
                | Self::Flapping
        )
    }
}

text_enum! {
    /// Whether what an alert reports is still so.
    pub enum AlertState as "alert state" {
        /// It is.
        Open = "open",
        /// It is over.
        Closed = "closed",
    }
}

/// What an alert is about. Its text is an id with its prefix, `partner:NAME` or `platform`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the noun of its name")]
pub enum AlertSubject {
    Device(DeviceId),
    Merchant(MerchantId),
    Outlet(OutletId),
    Terminal(TerminalId),
    Transaction(TransactionId),
    Settlement(SettlementId),
    WebhookEndpoint(WebhookEndpointId),
    /// By its name in the configuration.
    Partner(String),
    /// This installation.
    Platform,
}

impl AlertSubject {
    /// Its UUID, when it has one.
    pub fn uuid(&self) -> Option<Uuid> {
        match self {
            Self::Device(id) => Some(id.as_uuid()),
            Self::Merchant(id) => Some(id.as_uuid()),
            Self::Outlet(id) => Some(id.as_uuid()),
            Self::Terminal(id) => Some(id.as_uuid()),
            Self::Transaction(id) => Some(id.as_uuid()),
            Self::Settlement(id) => Some(id.as_uuid()),
            Self::WebhookEndpoint(id) => Some(id.as_uuid()),
            Self::Partner(_) | Self::Platform => None,
        }
    }
}

impl fmt::Display for AlertSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(id) => id.fmt(f),
            Self::Merchant(id) => id.fmt(f),
            Self::Outlet(id) => id.fmt(f),
            Self::Terminal(id) => id.fmt(f),
            Self::Transaction(id) => id.fmt(f),
            Self::Settlement(id) => id.fmt(f),
            Self::WebhookEndpoint(id) => id.fmt(f),
            Self::Partner(name) => write!(f, "partner:{name}"),
            Self::Platform => f.write_str("platform"),
        }
    }
}

/// An alert that is raised where its reason happens.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAlert {
    /// What is wrong.
    pub kind: AlertKind,
    /// With what.
    pub subject: AlertSubject,
    /// Whose it is, when it is a merchant's; a box's merchant is known by its binding.
    pub merchant_id: Option<MerchantId>,
    /// What is known of it: an object.
    pub details: Value,
}

impl NewAlert {
    /// An alert without a merchant, unless the subject is one.
    pub fn new(kind: AlertKind, subject: AlertSubject, details: Value) -> Self {
        let merchant_id = match &subject {
            AlertSubject::Merchant(id) => Some(*id),
            _ => None,
        };
        Self {
            kind,
            subject,
            merchant_id,
            details,
        }
    }

    /// The same, of this merchant.
    #[must_use]
    pub fn of_merchant(mut self, merchant_id: MerchantId) -> Self {
        self.merchant_id = Some(merchant_id);
        self
    }
}
