//! Properties of both directions, for generated messages, values and bytes.

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::message::{
    AckStatus, ConfigPush, DynamicQrRequest, Extras, Heartbeat, OnlineState, PaymentAck,
    ReplayRequest, Status, Time, TotalRequest,
};
use wire::{Channel, DeviceId, DownlinkMessage, Encoding, EventId, Rupiah, UplinkMessage};

use crate::{DEVICE, device, signer, time_message};

fn text(len_max: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(
        proptest::char::any().prop_filter("visible", |c| !c.is_control() && !c.is_whitespace()),
        1..=len_max / 4,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

fn event_id() -> impl Strategy<Value = EventId> {
    any::<u128>().prop_map(|bits| EventId::from_uuid(Uuid::from_u128(bits)))
}

fn uplink() -> impl Strategy<Value = UplinkMessage> {
    let percent = proptest::option::of(0u8..=100);
    let heartbeat = (
        proptest::option::of(text(64)),
        proptest::option::of(text(32)),
        percent.clone(),
        percent,
        proptest::option::of(text(64)),
        any::<i64>(),
    )
        .prop_map(
            |(firmware_version, state, network_strength, battery_level, timestamp, extra)| {
                let mut extras = Extras::default();
                extras.insert("extra", json!(extra));
                UplinkMessage::Heartbeat(Heartbeat {
                    device_id: device(),
                    timestamp,
                    firmware_version,
                    state,
                    network_strength,
                    battery_level,
                    extras,
                })
            },
        );
    let status = (
        any::<bool>(),
        proptest::option::of(text(256)),
        proptest::option::of(text(64)),
    )
        .prop_map(|(online, reason, nonce)| {
            let state = if online {
                OnlineState::Online
            } else {
                OnlineState::Offline
            };
            UplinkMessage::Status(Status {
                state,
                firmware_version: None,
                reason,
                nonce,
            })
        });
    let statuses = prop::sample::select(vec![
        AckStatus::Received,
        AckStatus::Failed,
        AckStatus::Stale,
        AckStatus::Played,
    ]);
    let ack = (event_id(), statuses, proptest::option::of(text(256))).prop_map(
        |(event_id, status, reason)| {
            UplinkMessage::PaymentAck(PaymentAck {
                event_id,
                status,
                played_at: None,
                reason,
            })
        },
    );
    let request =
        (text(64), proptest::option::of(any::<i64>())).prop_map(|(request_id, amount)| {
            UplinkMessage::DynamicQrRequest(DynamicQrRequest {
                request_id,
                device_id: device(),
                terminal_id: None,
                amount: amount.map(Rupiah::from_i64),
                currency: "IDR".to_owned(),
                created_at: None,
            })
        });
    let button = (text(64), any::<bool>()).prop_map(|(request_id, is_replay)| {
        if is_replay {
            UplinkMessage::ReplayRequest(ReplayRequest {
                request_id,
                device_id: device(),
                created_at: None,
            })
        } else {
            UplinkMessage::TotalRequest(TotalRequest {
                request_id,
                device_id: device(),
                created_at: None,
            })
        }
    });
    prop_oneof![heartbeat, status, ack, request, button]
}

/// Any value of a field.
fn odd() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0u8..=120).prop_map(|number| json!(number.to_string())),
        proptest::collection::vec(any::<char>(), 0..40)
            .prop_map(|letters| Value::from(letters.into_iter().collect::<String>())),
        "[ a-z\\x00-\\x1f]{0,600}".prop_map(Value::from),
    ];
    leaf.prop_recursive(24, 64, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("\\PC{0,4}", inner, 0..3)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// A message of each kind with valid deciding fields, and the names of its descriptive fields.
fn messages() -> Vec<(Channel, Value, &'static [&'static str])> {
    let command = "cmd_0190f3a1c0de7abc8def0123456789ae";
    let event = "evt_0190f3a1c0de7abc8def0123456789ad";
    vec![
        (
            Channel::Heartbeat,
            json!({ "message_type": "heartbeat", "device_id": DEVICE }),
            &[
                "timestamp",
                "firmware_version",
                "state",
                "network_strength",
                "battery_level",
                "more",
            ],
        ),
        (
            Channel::Status,
            json!({ "message_type": "status", "state": "online", "nonce": "n" }),
            &["firmware_version", "reason", "more"],
        ),
        (
            Channel::PaymentAck,
            json!({ "message_type": "payment_ack", "event_id": event, "status": "played" }),
            &["played_at", "reason", "more"],
        ),
        (
            Channel::CommandAck,
            json!({ "message_type": "command_ack", "device_id": DEVICE, "command_id": command, "status": "failed" }),
            &["reason", "result_payload", "more"],
        ),
        (
            Channel::ConfigAck,
            json!({ "message_type": "config_ack", "version": 3, "status": "applied" }),
            &["reason", "more"],
        ),
        (
            Channel::DynamicQrRequest,
            json!({ "message_type": "dynamic_qr_request", "device_id": DEVICE, "request_id": "r" }),
            &["amount", "currency", "created_at", "more"],
        ),
    ]
}

fn downlink() -> impl Strategy<Value = DownlinkMessage> {
    let time = (text(64), 0i64..4_102_444_800_000).prop_map(|(nonce, at)| {
        let server_time = DateTime::<Utc>::from_timestamp_millis(at).unwrap();
        DownlinkMessage::Time(Time { nonce, server_time })
    });
    let config = (any::<i64>(), any::<i64>(), text(64)).prop_map(|(version, number, text)| {
        DownlinkMessage::ConfigPush(ConfigPush {
            version,
            binding_id: None,
            config: json!({ "number": number, "text": text, "list": [1, 2] }),
        })
    });
    prop_oneof![time, config]
}

fn encoding() -> impl Strategy<Value = Encoding> {
    prop::sample::select(vec![Encoding::Json, Encoding::Msgpack])
}

proptest! {
    #[test]
    fn descriptive_fields_never_invalidate_a_message(values in proptest::collection::vec(odd(), 6), fields in any::<u8>()) {
        for (channel, mut message, names) in messages() {
            for (bit, (name, value)) in names.iter().zip(&values).enumerate() {
                if fields & (1 << bit) != 0 {
                    message[*name] = value.clone();
                }
            }
            for bytes in [serde_json::to_vec(&message).unwrap(), rmp_serde::to_vec_named(&message).unwrap()] {
                let read = UplinkMessage::decode(channel, &bytes);
                prop_assert!(read.is_ok(), "{message}: {:?}", read.err());
                let (read, encoding) = read.unwrap();
                // What is kept is within the limits, and decodes to the same message.
                let again = UplinkMessage::decode(channel, &read.encode(encoding).unwrap()).unwrap();
                prop_assert_eq!(&again.0, &read, "{}", message);
            }
        }
    }

    #[test]
    fn an_uplink_arrives_as_it_was_sent(message in uplink(), encoding in encoding()) {
        let bytes = message.encode(encoding).unwrap();
        let (read, found) = UplinkMessage::decode(message.channel(), &bytes).unwrap();
        prop_assert_eq!(read, message);
        prop_assert_eq!(found, encoding);
    }

    #[test]
    fn a_downlink_arrives_as_it_was_sealed(message in downlink(), encoding in encoding(), bits: u128) {
        let to = DeviceId::from_uuid(Uuid::from_u128(bits));
        let bytes = signer().seal(&message, to, encoding).unwrap();
        prop_assert_eq!(signer().verifying_keys().open(to, message.channel(), &bytes).unwrap(), message);
    }

    /// A few changes of a base64 or JSON spelling do not change the content. A changed envelope that opens must be the
    /// same message.
    #[test]
    fn a_changed_envelope_never_opens_as_another_message(encoding in encoding(), index: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = signer().seal(&time_message(), device(), encoding).unwrap();
        let at = index.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(opened) = signer().verifying_keys().open(device(), Channel::Time, &bytes) {
            prop_assert_eq!(opened, time_message());
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), first in any::<bool>()) {
        let mut bytes = bytes;
        if first {
            bytes.insert(0, if bytes.len() % 2 == 0 { b'{' } else { 0x85 });
        }
        for channel in Channel::UPLINKS {
            prop_assert!(UplinkMessage::decode(channel, &bytes).is_err());
        }
        for channel in Channel::DOWNLINKS {
            prop_assert!(signer().verifying_keys().open(device(), channel, &bytes).is_err());
        }
    }
}
