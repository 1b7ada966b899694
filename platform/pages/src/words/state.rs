//! The words for states and kinds.

use domain::alert::AlertKind;
use domain::command::CommandStatus;
use domain::device::DeviceStatus;
use domain::merchant::MerchantStatus;
use domain::settlement::SettlementStatus;
use domain::transaction::TransactionStatus;
use maud::{Markup, html};
use service::payment::live::Progress;

use super::Words;

/// How a state looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// On its way.
    Waiting,
    /// A person should look.
    Bad,
    /// Over, or of no concern.
    Quiet,
}

impl Tone {
    /// The class that has its colour.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Waiting => "waiting",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
        }
    }
}

/// What a person reads, and how it looks.
pub(crate) type Told = (&'static str, Tone);

/// A state with its colour.
pub(crate) fn badge((text, tone): Told) -> Markup {
    html! { span class={ "state " (tone.class()) } { (text) } }
}

impl Words {
    pub(crate) const fn transaction(&self, status: TransactionStatus) -> Told {
        match status {
            TransactionStatus::Initiated => (self.transaction_initiated, Tone::Waiting),
            TransactionStatus::AwaitingPayment => {
                (self.transaction_awaiting_payment, Tone::Waiting)
            }
            TransactionStatus::Paid => (self.transaction_paid, Tone::Good),
            TransactionStatus::Failed => (self.transaction_failed, Tone::Bad),
            TransactionStatus::Expired => (self.transaction_expired, Tone::Quiet),
            TransactionStatus::Reversed => (self.transaction_reversed, Tone::Quiet),
        }
    }

    pub(crate) const fn progress(&self, progress: Progress) -> Told {
        match progress {
            Progress::Waiting => (self.waiting, Tone::Waiting),
            Progress::Heard => (self.heard, Tone::Good),
            Progress::Delivered => (self.delivered, Tone::Good),
            Progress::Unheard => (self.unheard, Tone::Bad),
            Progress::NoBox => (self.no_box, Tone::Quiet),
            Progress::Reversed => (self.reversed, Tone::Quiet),
        }
    }

    pub(crate) const fn device(&self, status: DeviceStatus) -> Told {
        match status {
            DeviceStatus::Registered => (self.device_registered, Tone::Waiting),
            DeviceStatus::Active => (self.device_active, Tone::Good),
            DeviceStatus::Suspended => (self.device_suspended, Tone::Bad),
            DeviceStatus::Retired => (self.device_retired, Tone::Quiet),
        }
    }

    pub(crate) const fn command(&self, status: CommandStatus) -> Told {
        match status {
            CommandStatus::Queued => (self.queued, Tone::Waiting),
            CommandStatus::Sent => (self.sent, Tone::Waiting),
            CommandStatus::Delivered => (self.command_delivered, Tone::Good),
            CommandStatus::Failed => (self.failed, Tone::Bad),
            CommandStatus::Timeout => (self.timed_out, Tone::Bad),
            CommandStatus::Cancelled => (self.cancelled, Tone::Quiet),
        }
    }

    pub(crate) const fn merchant(&self, status: MerchantStatus) -> Told {
        match status {
            MerchantStatus::PendingReview => (self.merchant_pending_review, Tone::Waiting),
            MerchantStatus::Approved => (self.merchant_approved, Tone::Good),
            MerchantStatus::Suspended => (self.merchant_suspended, Tone::Bad),
            MerchantStatus::Rejected => (self.merchant_rejected, Tone::Quiet),
        }
    }

    pub(crate) const fn settlement(&self, status: SettlementStatus) -> Told {
        match status {
            SettlementStatus::Pending => (self.settlement_pending, Tone::Waiting),
            SettlementStatus::Processing => (self.settlement_processing, Tone::Waiting),
            SettlementStatus::Paid => (self.settlement_paid, Tone::Good),
            SettlementStatus::Failed => (self.settlement_failed, Tone::Bad),
            SettlementStatus::Returned => (self.settlement_returned, Tone::Bad),
        }
    }

    pub(crate) const fn alert(&self, kind: AlertKind) -> &'static str {
        match kind {
            AlertKind::Offline => self.alert_offline,
            AlertKind::UnheardPayment => self.alert_unheard_payment,
            AlertKind::CertificateExpiring => self.alert_certificate_expiring,
            AlertKind::BatteryLow => self.alert_battery_low,
            AlertKind::Flapping => self.alert_flapping,
            AlertKind::UnannouncedPayment => self.alert_unannounced_payment,
            AlertKind::UnmatchedPayment => self.alert_unmatched_payment,
            AlertKind::Incident => self.alert_incident,
            AlertKind::UndeliverableMessage => self.alert_undeliverable_message,
            AlertKind::FailedItem => self.alert_failed_item,
            AlertKind::PayoutHeld => self.alert_payout_held,
            AlertKind::ServerCertificateExpiring => self.alert_server_certificate_expiring,
            AlertKind::RejectedCallback => self.alert_rejected_callback,
            AlertKind::PlainMqtt => self.alert_plain_mqtt,
            AlertKind::WebhookDisabled => self.alert_webhook_disabled,
        }
    }
}
