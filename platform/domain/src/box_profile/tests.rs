//! Profiles against bytes that were written by hand, against bad profiles, and against bytes of any kind.

mod golden;
mod made_up;
mod property;
mod refused;

use serde_json::{Value, json};
use wire::message::{Command, DynamicQrResponse, ErrorBody, PaymentSuccess, QrOutcome};
use wire::rupiah::Rupiah;

use super::*;

fn profile(name: &str) -> &'static Profile {
    Profile::built_in(name).unwrap()
}

/// The box of the golden messages.
fn values() -> BoxValues {
    BoxValues {
        serial: "SN0001".to_owned(),
        imei: Some("862000000000011".to_owned()),
        product_key: Some("pk12345".to_owned()),
        device_id: "sbx_0190f3a1c0de7abc8def0123456789ab".parse().unwrap(),
    }
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// When the golden messages are sent.
fn now() -> DateTime<Utc> {
    time("2026-05-24T10:03:05Z")
}

fn payment() -> PaymentSuccess {
    serde_json::from_value(json!({
        "message_type": "payment_success",
        "event_id": "evt_0190f3a1c0de7abc8def0123456789ab",
        "sequence": 7,
        "binding_id": "bind_0190f3a1c0de7abc8def0123456789ab",
        "transaction_id": "tx_0190f3a1c0de7abc8def0123456789cd",
        "merchant_name": "Warung Sari",
        "amount": 50000,
        "currency": "IDR",
        "paid_at": "2026-05-24T10:03:00Z",
        "sent_at": "2026-05-24T10:03:05Z",
        "delayed_after": "2026-05-24T10:04:00Z",
        "announce_until": "2026-05-24T10:08:00Z",
        "replay": false,
        "speech": {
            "language": "id",
            "text": "Pembayaran QRIS diterima, lima puluh ribu rupiah",
            "delayed_text": "Pembayaran tertunda diterima, lima puluh ribu rupiah"
        }
    }))
    .unwrap()
}

fn qr() -> DownlinkMessage {
    DownlinkMessage::DynamicQrResponse(DynamicQrResponse {
        correlation_id: "r1".to_owned(),
        outcome: QrOutcome::Ready {
            transaction_id: "tx_0190f3a1c0de7abc8def0123456789cd".parse().unwrap(),
            amount: Rupiah::from_i64(50_000),
            status: "awaiting_payment".to_owned(),
            qr_payload: "00020101021226EXAMPLE6304ABCD".to_owned(),
            expires_at: time("2026-05-24T10:04:05Z"),
        },
    })
}

fn qr_refused(message: &str) -> DownlinkMessage {
    DownlinkMessage::DynamicQrResponse(DynamicQrResponse {
        correlation_id: "r1".to_owned(),
        outcome: QrOutcome::Refused(ErrorBody::new("INVALID_AMOUNT", message)),
    })
}

fn command(kind: CommandType, payload: Value) -> DownlinkMessage {
    DownlinkMessage::Command(Command {
        command_id: "cmd_0190f3a1c0de7abc8def0123456789ef".parse().unwrap(),
        kind: kind.to_string(),
        payload,
        issued_at: now(),
        expires_at: time("2026-05-24T10:13:05Z"),
    })
}

fn render(profile: &Profile, message: &DownlinkMessage) -> Result<VendorMessage, RenderError> {
    profile.render(message, &values(), now())
}

fn text(message: &VendorMessage) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}
