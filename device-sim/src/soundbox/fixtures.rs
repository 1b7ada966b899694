//! Payments for tests.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;
use wire::message::{Currency, PaymentSuccess};
use wire::{BindingId, DeviceId, EventId, Rupiah, TransactionId};

pub(crate) fn device_id() -> DeviceId {
    DeviceId::from_uuid(Uuid::from_u128(1))
}

pub(crate) fn event_id(number: u128) -> EventId {
    EventId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn binding_id(number: u128) -> BindingId {
    BindingId::from_uuid(Uuid::from_u128(number))
}

/// The payment time of every payment here.
pub(crate) fn noon() -> DateTime<Utc> {
    "2026-05-24T12:00:00Z".parse().unwrap()
}

/// A payment for binding 1: on time for one minute, announced for five.
pub(crate) fn payment(number: u128) -> PaymentSuccess {
    let amount = Rupiah::from_i64(50_000);
    PaymentSuccess {
        event_id: event_id(number),
        sequence: i64::try_from(number).unwrap(),
        binding_id: binding_id(1),
        transaction_id: TransactionId::from_uuid(Uuid::from_u128(number)),
        merchant_name: "Kopi Senja".to_owned(),
        amount,
        currency: Currency::Idr,
        paid_at: noon(),
        sent_at: noon(),
        delayed_after: noon() + TimeDelta::seconds(60),
        announce_until: noon() + TimeDelta::seconds(300),
        replay: false,
        speech: wire::speech::payment(wire::Language::Id, amount, None).unwrap(),
    }
}
