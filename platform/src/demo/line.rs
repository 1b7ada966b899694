//! The lines of the simulator that matter here.

use serde::Deserialize;
use wire::{DeviceId, EventId, Rupiah, TransactionId};

/// A box has begun to say a payment aloud.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Spoken {
    pub(super) device_id: DeviceId,
    pub(super) event_id: EventId,
    pub(super) transaction_id: TransactionId,
    pub(super) amount: Rupiah,
    pub(super) text: String,
}

/// One line of the simulator.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Line {
    /// A sentence.
    Spoken(Spoken),
    /// One box is connected and may speak.
    ClockSet,
    /// All boxes of a fleet are.
    FleetConnected,
    /// The platform took a payment of the acquirer's.
    Paid {
        transaction_id: TransactionId,
        callback_ms: u64,
    },
    /// The platform could not be reached, and the acquirer goes on.
    Retrying { problem: String },
    /// The platform refused a payment for good.
    Rejected {
        partner_reference: String,
        problem: String,
    },
    /// A box got no QR.
    NoQr { problem: String },
    /// Anything else.
    #[serde(other)]
    Other,
}

impl Line {
    /// Reads a line; what does not read is [`Line::Other`].
    pub(super) fn parse(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or(Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulators_lines_read() {
        let id = "0197a1b2c3d47e8f9a0b1c2d3e4f5061";
        let spoken = format!(
            r#"{{"device_id":"sbx_{id}","at":"2026-11-24T03:00:00.000Z","event":"spoken","event_id":"evt_{id}","transaction_id":"tx_{id}","amount":50000,"text":"Pembayaran","delayed":false}}"#
        );
        let Line::Spoken(spoken) = Line::parse(spoken.as_bytes()) else {
            panic!("not read");
        };
        assert_eq!(spoken.amount, Rupiah::from_i64(50_000));
        let paid = format!(
            r#"{{"event":"paid","transaction_id":"tx_{id}","partner_reference":"SIM1","amount":50000,"accepted_at":"2026-11-24T03:00:00.000Z","callback_ms":7,"attempts":1}}"#
        );
        assert_eq!(
            Line::parse(paid.as_bytes()),
            Line::Paid {
                transaction_id: format!("tx_{id}").parse().unwrap(),
                callback_ms: 7
            }
        );
        assert_eq!(
            Line::parse(br#"{"device_id":"x","event":"clock_set"}"#),
            Line::ClockSet
        );
        assert_eq!(Line::parse(br#"{"event":"heartbeat"}"#), Line::Other);
        assert_eq!(Line::parse(b"half a li"), Line::Other);
    }
}
