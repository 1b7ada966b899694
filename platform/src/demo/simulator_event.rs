//! The simulator's output events that the monitor reads.

use serde::Deserialize;
use wire::{DeviceId, EventId, Rupiah, TransactionId};

/// A box has begun to speak a payment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Spoken {
    pub(super) device_id: DeviceId,
    pub(super) event_id: EventId,
    pub(super) transaction_id: TransactionId,
    pub(super) amount: Rupiah,
    pub(super) text: String,
}

/// An event of the simulator, one per line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum SimulatorEvent {
    /// A box has begun to speak a payment.
    Spoken(Spoken),
    /// A box has the time.
    ClockSet,
    /// All boxes of a fleet have the time.
    FleetConnected,
    /// The platform accepted a callback of the acquirer.
    Paid {
        transaction_id: TransactionId,
        callback_ms: u64,
    },
    /// The platform could not be reached; the acquirer tries again.
    Retrying { problem: String },
    /// The platform refused a callback for good.
    Rejected {
        partner_reference: String,
        problem: String,
    },
    /// A box got no QR.
    NoQr { problem: String },
    /// Any other event.
    #[serde(other)]
    Other,
}

impl SimulatorEvent {
    /// Parses a line; an invalid one is [`SimulatorEvent::Other`].
    pub(super) fn parse(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or(Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulators_events_are_parsed() {
        let id = "0197a1b2c3d47e8f9a0b1c2d3e4f5061";
        let spoken = format!(
            r#"{{"device_id":"sbx_{id}","at":"2026-11-24T03:00:00.000Z","event":"spoken","event_id":"evt_{id}","transaction_id":"tx_{id}","amount":50000,"text":"Pembayaran","delayed":false}}"#
        );
        let SimulatorEvent::Spoken(spoken) = SimulatorEvent::parse(spoken.as_bytes()) else {
            panic!("not read");
        };
        assert_eq!(spoken.amount, Rupiah::from_i64(50_000));
        let paid = format!(
            r#"{{"event":"paid","transaction_id":"tx_{id}","partner_reference":"SIM1","amount":50000,"accepted_at":"2026-11-24T03:00:00.000Z","callback_ms":7,"attempts":1}}"#
        );
        assert_eq!(
            SimulatorEvent::parse(paid.as_bytes()),
            SimulatorEvent::Paid {
                transaction_id: format!("tx_{id}").parse().unwrap(),
                callback_ms: 7
            }
        );
        assert_eq!(
            SimulatorEvent::parse(br#"{"device_id":"x","event":"clock_set"}"#),
            SimulatorEvent::ClockSet
        );
        assert_eq!(
            SimulatorEvent::parse(br#"{"event":"heartbeat"}"#),
            SimulatorEvent::Other
        );
        assert_eq!(SimulatorEvent::parse(b"half a li"), SimulatorEvent::Other);
    }
}
