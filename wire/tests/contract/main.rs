//! What the contract accepts and refuses, and that arbitrary input is at most refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod envelopes;
mod properties;
mod uplinks;

use serde_json::{Value, json};
use wire::message::{Heartbeat, Time};
use wire::{Channel, DecodeError, DeviceId, DownlinkMessage, Signer, UplinkMessage};

const DEVICE: &str = "sbx_0190f3a1c0de7abc8def0123456789ab";

fn device() -> DeviceId {
    DEVICE.parse().unwrap()
}

fn heartbeat() -> Value {
    json!({
        "message_type": "heartbeat", "device_id": DEVICE, "timestamp": "2026-05-23T10:00:00Z",
        "firmware_version": "1.0.3", "network_strength": 78, "battery_level": 92, "state": "idle",
    })
}

fn with(mut message: Value, field: &str, value: Value) -> Value {
    message[field] = value;
    message
}

fn without(mut message: Value, field: &str) -> Value {
    message.as_object_mut().unwrap().remove(field);
    message
}

fn decode(channel: Channel, message: &Value) -> Result<UplinkMessage, DecodeError> {
    let json = UplinkMessage::decode(channel, &serde_json::to_vec(message).unwrap());
    let packed = UplinkMessage::decode(channel, &rmp_serde::to_vec_named(message).unwrap());
    assert_eq!(
        json.is_ok(),
        packed.is_ok(),
        "the encodings disagree on {message}"
    );
    json.map(|(message, _)| message)
}

fn decode_heartbeat(message: &Value) -> Result<Heartbeat, DecodeError> {
    decode(Channel::Heartbeat, message).map(|message| match message {
        UplinkMessage::Heartbeat(heartbeat) => heartbeat,
        other => panic!("{other:?}"),
    })
}

fn signer() -> Signer {
    Signer::from_seed("k1", &[7; 32]).unwrap()
}

fn time_message() -> DownlinkMessage {
    DownlinkMessage::Time(Time {
        nonce: "n1".to_owned(),
        server_time: "2026-05-24T10:00:00.500Z".parse().unwrap(),
    })
}
