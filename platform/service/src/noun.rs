//! The nouns of `…_NOT_FOUND`.

/// A noun that was asked for and does not exist, or not for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the noun of its name")]
pub enum Noun {
    Merchant,
    Outlet,
    Terminal,
    Device,
    Binding,
    Transaction,
    Incident,
    UnmatchedPayment,
    Notification,
    Command,
    BulkCommand,
    Firmware,
    Alert,
    Settlement,
    FeeProfile,
    Approval,
    Reconciliation,
    User,
    Token,
    Credential,
    Callback,
    Partner,
    WebhookEndpoint,
    WebhookDelivery,
}

impl Noun {
    /// The word in `…_NOT_FOUND` and in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Merchant => "merchant",
            Self::Outlet => "outlet",
            Self::Terminal => "terminal",
            Self::Device => "device",
            Self::Binding => "binding",
            Self::Transaction => "transaction",
            Self::Incident => "incident",
            Self::UnmatchedPayment => "unmatched payment",
            Self::Notification => "notification",
            Self::Command => "command",
            Self::BulkCommand => "bulk command",
            Self::Firmware => "firmware",
            Self::Alert => "alert",
            Self::Settlement => "settlement",
            Self::FeeProfile => "fee profile",
            Self::Approval => "approval",
            Self::Reconciliation => "reconciliation",
            Self::User => "user",
            Self::Token => "token",
            Self::Credential => "credential",
            Self::Callback => "callback",
            Self::Partner => "partner",
            Self::WebhookEndpoint => "webhook endpoint",
            Self::WebhookDelivery => "webhook delivery",
        }
    }
}
