//! The words of the pages: one file for each language with what many pages say, one for each page with what it alone says in
//! both, and a field for each text, so that none can be missing.

pub(crate) mod acquirer;
pub(crate) mod audit;
pub(crate) mod comparison;
pub(crate) mod device;
mod en;
mod id;
pub(crate) mod incident;
pub(crate) mod ledger;
pub(crate) mod page;
pub(crate) mod payout;
pub(crate) mod portal;
pub(crate) mod proposal;
pub(crate) mod reconciliation;
pub(crate) mod refusal;
pub(crate) mod rollout;
pub(crate) mod state;
pub(crate) mod user;

use serde::Deserialize;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    /// English.
    En,
    /// Indonesian.
    Id,
}

impl Language {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::En, Self::Id];

    /// Its code, in pages and in the cookie.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Id => "id",
        }
    }

    /// The one with this code.
    pub(crate) fn of(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.code() == code)
    }

    /// The other one.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::En => Self::Id,
            Self::Id => Self::En,
        }
    }

    /// The same for files.
    pub(crate) const fn of_file(self) -> http_api::language::Language {
        match self {
            Self::En => http_api::language::Language::En,
            Self::Id => http_api::language::Language::Id,
        }
    }

    /// Its words.
    pub(crate) const fn words(self) -> &'static Words {
        match self {
            Self::En => &en::WORDS,
            Self::Id => &id::WORDS,
        }
    }
}

/// All texts in one language.
#[derive(Debug)]
pub(crate) struct Words {
    /// Whose words these are; for the words of single pages.
    pub(crate) language: Language,
    pub(crate) product: &'static str,
    pub(crate) log_in: &'static str,
    pub(crate) log_out: &'static str,
    pub(crate) email: &'static str,
    pub(crate) password: &'static str,
    pub(crate) wrong_login: &'static str,
    pub(crate) too_many_logins: &'static str,
    pub(crate) form_expired: &'static str,
    pub(crate) api_documentation: &'static str,
    pub(crate) other_language: &'static str,
    pub(crate) now: &'static str,
    pub(crate) payments: &'static str,
    pub(crate) devices: &'static str,
    pub(crate) merchants: &'static str,
    pub(crate) alerts: &'static str,
    pub(crate) needs_a_person: &'static str,
    pub(crate) nothing_needs_a_person: &'static str,
    pub(crate) taken_today: &'static str,
    pub(crate) yesterday_by_now: &'static str,
    pub(crate) payments_unit: &'static str,
    pub(crate) heard_today: &'static str,
    pub(crate) not_heard_today: &'static str,
    pub(crate) boxes_online: &'static str,
    pub(crate) of_boxes: &'static str,
    pub(crate) time_to_heard: &'static str,
    pub(crate) median: &'static str,
    pub(crate) ninety_nine: &'static str,
    pub(crate) unmatched_money: &'static str,
    pub(crate) waiting_approvals: &'static str,
    pub(crate) failed_payouts: &'static str,
    pub(crate) live: &'static str,
    pub(crate) connecting: &'static str,
    pub(crate) reconnecting: &'static str,
    pub(crate) not_live: &'static str,
    pub(crate) latest_payments: &'static str,
    pub(crate) no_payments: &'static str,
    pub(crate) paid: &'static str,
    pub(crate) sent: &'static str,
    pub(crate) heard: &'static str,
    pub(crate) delivered: &'static str,
    pub(crate) waiting: &'static str,
    pub(crate) unheard: &'static str,
    pub(crate) no_box: &'static str,
    pub(crate) reversed: &'static str,
    pub(crate) just_now: &'static str,
    pub(crate) minutes_ago: &'static str,
    pub(crate) hours_ago: &'static str,
    pub(crate) days_ago: &'static str,
    pub(crate) never: &'static str,
    pub(crate) status: &'static str,
    pub(crate) any: &'static str,
    pub(crate) from_day: &'static str,
    pub(crate) to_day: &'static str,
    pub(crate) reference: &'static str,
    pub(crate) apply: &'static str,
    pub(crate) clear: &'static str,
    pub(crate) csv: &'static str,
    pub(crate) next_page: &'static str,
    pub(crate) first_page: &'static str,
    pub(crate) nothing_found: &'static str,
    pub(crate) amount: &'static str,
    pub(crate) fee: &'static str,
    pub(crate) net: &'static str,
    pub(crate) time: &'static str,
    pub(crate) merchant: &'static str,
    pub(crate) outlet: &'static str,
    pub(crate) terminal: &'static str,
    pub(crate) issuer: &'static str,
    pub(crate) partner: &'static str,
    pub(crate) life: &'static str,
    pub(crate) raw_callback: &'static str,
    pub(crate) ledger_lines: &'static str,
    pub(crate) account: &'static str,
    pub(crate) debit: &'static str,
    pub(crate) credit: &'static str,
    pub(crate) announce_again: &'static str,
    pub(crate) copy: &'static str,
    pub(crate) copied: &'static str,
    pub(crate) body_gone: &'static str,
    pub(crate) online: &'static str,
    pub(crate) offline: &'static str,
    pub(crate) all_boxes: &'static str,
    pub(crate) serial_number: &'static str,
    pub(crate) serial_or_id: &'static str,
    pub(crate) model: &'static str,
    pub(crate) profile: &'static str,
    pub(crate) firmware: &'static str,
    pub(crate) battery: &'static str,
    pub(crate) signal: &'static str,
    pub(crate) last_seen: &'static str,
    pub(crate) capabilities: &'static str,
    pub(crate) stands_at: &'static str,
    pub(crate) not_bound: &'static str,
    pub(crate) certificate_until: &'static str,
    pub(crate) presence: &'static str,
    pub(crate) test_sound: &'static str,
    pub(crate) test_sound_hint: &'static str,
    pub(crate) volume: &'static str,
    pub(crate) set: &'static str,
    pub(crate) commands: &'static str,
    pub(crate) no_commands: &'static str,
    pub(crate) queued: &'static str,
    pub(crate) failed: &'static str,
    pub(crate) command_delivered: &'static str,
    pub(crate) timed_out: &'static str,
    pub(crate) cancelled: &'static str,
    pub(crate) no_devices: &'static str,
    pub(crate) no_merchants: &'static str,
    pub(crate) no_alerts: &'static str,
    pub(crate) approve: &'static str,
    pub(crate) reject: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) proposed: &'static str,
    pub(crate) approvals: &'static str,
    pub(crate) no_approvals: &'static str,
    pub(crate) asked_by: &'static str,
    pub(crate) decided_by: &'static str,
    pub(crate) approval_pending: &'static str,
    pub(crate) approval_approved: &'static str,
    pub(crate) approval_rejected: &'static str,
    pub(crate) secret_once: &'static str,
    pub(crate) unmatched: &'static str,
    pub(crate) no_unmatched: &'static str,
    pub(crate) unmatched_open: &'static str,
    pub(crate) unmatched_assigned: &'static str,
    pub(crate) unmatched_reversed: &'static str,
    pub(crate) assign_to: &'static str,
    pub(crate) remember: &'static str,
    pub(crate) assign: &'static str,
    pub(crate) settlements: &'static str,
    pub(crate) no_settlements: &'static str,
    pub(crate) settlement_pending: &'static str,
    pub(crate) settlement_processing: &'static str,
    pub(crate) settlement_paid: &'static str,
    pub(crate) settlement_failed: &'static str,
    pub(crate) settlement_returned: &'static str,
    pub(crate) gross: &'static str,
    pub(crate) refunds: &'static str,
    pub(crate) refunded: &'static str,
    pub(crate) refund_requested: &'static str,
    pub(crate) refund_refused: &'static str,
    pub(crate) payouts: &'static str,
    pub(crate) cutoff: &'static str,
    pub(crate) destination: &'static str,
    pub(crate) bank_reference: &'static str,
    pub(crate) retry_payout: &'static str,
    pub(crate) mark_paid: &'static str,
    pub(crate) held: &'static str,
    pub(crate) attempt: &'static str,
    pub(crate) outlets: &'static str,
    pub(crate) no_outlets: &'static str,
    pub(crate) no_terminals: &'static str,
    pub(crate) city: &'static str,
    pub(crate) opened: &'static str,
    pub(crate) acknowledge: &'static str,
    pub(crate) acknowledged: &'static str,
    pub(crate) state_open: &'static str,
    pub(crate) state_closed: &'static str,
    pub(crate) today: &'static str,
    pub(crate) history: &'static str,
    pub(crate) boxes: &'static str,
    pub(crate) code: &'static str,
    pub(crate) me: &'static str,
    pub(crate) taken_today_portal: &'static str,
    pub(crate) yesterday: &'static str,
    pub(crate) last_seven_days: &'static str,
    pub(crate) this_phone_is_the_box: &'static str,
    pub(crate) this_phone_hint: &'static str,
    pub(crate) no_speech: &'static str,
    pub(crate) portal_no_payments: &'static str,
    pub(crate) show: &'static str,
    pub(crate) no_payments_then: &'static str,
    pub(crate) portal_no_devices: &'static str,
    pub(crate) sent_to_box: &'static str,
    pub(crate) print: &'static str,
    pub(crate) no_codes: &'static str,
    pub(crate) scan_to_pay: &'static str,
    pub(crate) one_code_for_all: &'static str,
    pub(crate) change_password: &'static str,
    pub(crate) current_password: &'static str,
    pub(crate) new_password: &'static str,
    pub(crate) password_changed: &'static str,
    pub(crate) not_found: &'static str,
    pub(crate) not_found_hint: &'static str,
    pub(crate) denied: &'static str,
    pub(crate) denied_hint: &'static str,
    pub(crate) went_wrong: &'static str,
    pub(crate) try_again: &'static str,
    pub(crate) refused: &'static str,
    pub(crate) go_back: &'static str,
    pub(crate) request: &'static str,
    pub(crate) signed_in_as: &'static str,
    pub(crate) poster: &'static str,
    pub(crate) alert_offline: &'static str,
    pub(crate) alert_unheard_payment: &'static str,
    pub(crate) alert_certificate_expiring: &'static str,
    pub(crate) alert_battery_low: &'static str,
    pub(crate) alert_flapping: &'static str,
    pub(crate) alert_unannounced_payment: &'static str,
    pub(crate) alert_unmatched_payment: &'static str,
    pub(crate) alert_incident: &'static str,
    pub(crate) alert_undeliverable_message: &'static str,
    pub(crate) alert_failed_item: &'static str,
    pub(crate) alert_payout_held: &'static str,
    pub(crate) alert_server_certificate_expiring: &'static str,
    pub(crate) alert_rejected_callback: &'static str,
    pub(crate) alert_plain_mqtt: &'static str,
    pub(crate) alert_webhook_disabled: &'static str,
    pub(crate) transaction_initiated: &'static str,
    pub(crate) transaction_awaiting_payment: &'static str,
    pub(crate) transaction_paid: &'static str,
    pub(crate) transaction_failed: &'static str,
    pub(crate) transaction_expired: &'static str,
    pub(crate) transaction_reversed: &'static str,
    pub(crate) merchant_pending_review: &'static str,
    pub(crate) merchant_approved: &'static str,
    pub(crate) merchant_suspended: &'static str,
    pub(crate) merchant_rejected: &'static str,
    pub(crate) device_registered: &'static str,
    pub(crate) device_active: &'static str,
    pub(crate) device_suspended: &'static str,
    pub(crate) device_retired: &'static str,
    pub(crate) skip: &'static str,
    pub(crate) menu: &'static str,
    pub(crate) callback_accepted: &'static str,
    pub(crate) code_made: &'static str,
    pub(crate) handed_over: &'static str,
    pub(crate) box_has_it: &'static str,
    pub(crate) box_said_it: &'static str,
    pub(crate) box_did_not: &'static str,
    pub(crate) go_on: &'static str,
}
