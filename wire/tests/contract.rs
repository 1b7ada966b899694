//! What is accepted, what is refused, and that nothing a stranger sends can do more than be refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::codec::MESSAGE_LEN_MAX;
use wire::message::{
    AckStatus, ConfigPush, DynamicQrRequest, Extras, Heartbeat, OnlineState, PaymentAck, Status,
    Time,
};
use wire::{
    Channel, DecodeError, DeviceId, DownlinkMessage, Encoding, EventId, OpenError, Rupiah, Signer,
    UplinkMessage, VerifyingKeys,
};

const DEVICE: &str = "sbx_0190f3a1c0de7abc8def0123456789ab";

fn device() -> DeviceId {
    DEVICE.parse().unwrap()
}

fn beat() -> Value {
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

fn decode_beat(message: &Value) -> Result<Heartbeat, DecodeError> {
    decode(Channel::Heartbeat, message).map(|message| match message {
        UplinkMessage::Heartbeat(beat) => beat,
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_wrong_box_clock_never_costs_a_beat() {
    let stated = [
        (json!("1970-01-01T00:00:00Z"), Some("1970-01-01T00:00:00Z")),
        (json!("yesterday"), Some("yesterday")),
        (json!(1_747_994_400), Some("1747994400")),
        (json!(null), None),
        (json!(""), None),
        (json!("x".repeat(500)), None),
        (json!("a\u{0}b"), None),
        (json!({ "seconds": 1 }), None),
        (json!([1, [2]]), None),
    ];
    for (value, kept) in stated {
        let beat = decode_beat(&with(beat(), "timestamp", value.clone())).unwrap();
        assert_eq!(beat.timestamp.as_deref(), kept, "{value}");
    }
    assert_eq!(
        decode_beat(&without(beat(), "timestamp"))
            .unwrap()
            .timestamp,
        None
    );
}

#[test]
fn unknown_fields_are_no_reason_to_refuse() {
    let mut message = beat();
    message["uptime_s"] = json!(5);
    message["ok"] = json!(true);
    message["nested"] = json!({ "a": [1, 2, { "b": null }] });
    message["nothing"] = json!(null);
    message["nul"] = json!("a\u{0}");
    let read = decode_beat(&message).unwrap();
    assert_eq!(read.extras.to_value(), json!({ "uptime_s": 5, "ok": true }));

    let many = (0..200).fold(beat(), |message, i| {
        with(message, &format!("extra_{i}"), json!(i))
    });
    assert_eq!(
        decode_beat(&many)
            .unwrap()
            .extras
            .to_value()
            .as_object()
            .unwrap()
            .len(),
        32
    );

    let ack = json!({
        "message_type": "payment_ack", "event_id": "evt_0190f3a1c0de7abc8def0123456789ad", "status": "received",
        "device_id": DEVICE, "firmware": { "new": 1 },
    });
    assert!(decode(Channel::PaymentAck, &ack).is_ok());
}

#[test]
fn binary_extras_of_a_messagepack_beat_are_passed_over() {
    // {"message_type": "heartbeat", …, "blob": bin}: the map header is raised by one and the pair appended.
    let mut bytes = rmp_serde::to_vec_named(&beat()).unwrap();
    bytes[0] += 1;
    bytes.extend_from_slice(b"\xa4blob\xc4\x03\x00\x01\x02");
    let (message, encoding) = UplinkMessage::decode(Channel::Heartbeat, &bytes).unwrap();
    assert_eq!(encoding, Encoding::Msgpack);
    assert!(matches!(message, UplinkMessage::Heartbeat(beat) if beat.extras.is_empty()));
}

#[test]
fn a_field_beyond_its_limit_is_named() {
    let cases = [
        ("network_strength", json!(101)),
        ("battery_level", json!(200)),
        ("firmware_version", json!("")),
        ("firmware_version", json!("v".repeat(65))),
        ("state", json!("idle\n")),
    ];
    for (field, value) in cases {
        match decode_beat(&with(beat(), field, value)) {
            Err(DecodeError::Field(error)) => assert_eq!(error.field, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    for (field, value) in [
        ("network_strength", json!(-1)),
        ("network_strength", json!(300)),
        ("device_id", json!("x")),
    ] {
        assert!(decode_beat(&with(beat(), field, value)).is_err(), "{field}");
    }
    for field in ["device_id", "firmware_version", "state"] {
        assert!(decode_beat(&without(beat(), field)).is_err(), "{field}");
    }
}

#[test]
fn a_message_must_be_what_its_topic_carries() {
    assert!(matches!(
        decode_beat(&without(beat(), "message_type")),
        Err(DecodeError::NoMessageType)
    ));
    for channel in Channel::ALL
        .into_iter()
        .filter(|channel| *channel != Channel::Heartbeat)
    {
        let result = decode(channel, &beat());
        if Channel::UPLINKS.contains(&channel) {
            assert!(
                matches!(result, Err(DecodeError::WrongMessageType { .. })),
                "{channel:?}"
            );
        } else {
            assert!(
                matches!(result, Err(DecodeError::NotAnUplink)),
                "{channel:?}"
            );
        }
    }
}

#[test]
fn a_request_with_no_amount_can_still_be_answered() {
    let request = json!({
        "message_type": "dynamic_qr_request", "request_id": "req_123", "device_id": DEVICE, "currency": "IDR",
    });
    let amount = |value: Value| match decode(
        Channel::DynamicQrRequest,
        &with(request.clone(), "amount", value),
    ) {
        Ok(UplinkMessage::DynamicQrRequest(DynamicQrRequest { amount, .. })) => amount,
        other => panic!("{other:?}"),
    };
    for value in [
        json!(50_000),
        json!("50000"),
        json!("50000.00"),
        json!(50_000.0),
    ] {
        assert_eq!(amount(value), Some(Rupiah::from_i64(50_000)));
    }
    for value in [
        json!(0.5),
        json!("lots"),
        json!(null),
        json!([]),
        json!({}),
        json!(true),
        json!(u64::MAX),
    ] {
        assert_eq!(amount(value), None);
    }
    assert!(
        decode(
            Channel::DynamicQrRequest,
            &with(request.clone(), "request_id", json!(""))
        )
        .is_err()
    );
    assert!(
        decode(
            Channel::DynamicQrRequest,
            &with(request, "request_id", json!("r".repeat(65)))
        )
        .is_err()
    );
}

#[test]
fn what_is_no_message_is_refused_before_it_is_read() {
    for bytes in [
        &b""[..],
        b"[]",
        b" {}",
        b"null",
        b"\"x\"",
        b"\x93\x01\x02\x03",
        b"\xc0",
        b"\xef\xbb\xbf{}",
    ] {
        assert!(
            matches!(Encoding::detect(bytes), Err(DecodeError::NotAMessage)),
            "{bytes:?}"
        );
    }
    let long = with(beat(), "x", json!("y".repeat(MESSAGE_LEN_MAX)));
    assert!(matches!(decode_beat(&long), Err(DecodeError::TooLong)));
    let mut trailing = rmp_serde::to_vec_named(&beat()).unwrap();
    trailing.push(0);
    assert!(matches!(
        UplinkMessage::decode(Channel::Heartbeat, &trailing),
        Err(DecodeError::TrailingBytes)
    ));
    assert!(UplinkMessage::decode(Channel::Heartbeat, format!("{} x", beat()).as_bytes()).is_err());
    assert!(UplinkMessage::decode(Channel::Heartbeat, &b"\x81\xa1a".repeat(20_000)).is_err());
    assert!(UplinkMessage::decode(Channel::Heartbeat, &b"{\"a\":".repeat(12_000)).is_err());
}

#[test]
fn a_result_that_no_database_could_hold_is_refused() {
    let ack = |payload: Value| {
        decode(
            Channel::CommandAck,
            &json!({
                "message_type": "command_ack", "device_id": DEVICE, "status": "delivered", "result_payload": payload,
                "command_id": "cmd_0190f3a1c0de7abc8def0123456789ae",
            }),
        )
    };
    assert!(ack(json!({ "lines": ["a", "b\n"] })).is_ok());
    assert!(ack(json!({ "text": "a\u{0}" })).is_err());
    assert!(ack(json!({ "a\u{0}": 1 })).is_err());
    assert!(ack((0..17).fold(json!(1), |inner, _| json!([inner]))).is_err());
    assert!(ack(json!("x".repeat(17_000))).is_err());
}

#[test]
fn the_rank_of_an_ack_only_rises() {
    let [received, failed, stale, played] = [
        AckStatus::Received,
        AckStatus::Failed,
        AckStatus::Stale,
        AckStatus::Played,
    ]
    .map(AckStatus::rank);
    assert!(received < failed && failed == stale && stale < played);
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

#[test]
fn an_envelope_is_for_one_box_one_topic_and_one_key() {
    for encoding in [Encoding::Json, Encoding::Msgpack] {
        let sealed = signer().seal(&time_message(), device(), encoding).unwrap();
        let keys = signer().verifying_keys();
        assert_eq!(
            keys.open(device(), Channel::Time, &sealed).unwrap(),
            time_message()
        );

        let other = DeviceId::from_uuid(Uuid::from_u128(1));
        assert!(matches!(
            keys.open(other, Channel::Time, &sealed),
            Err(OpenError::OtherDevice)
        ));
        assert!(matches!(
            keys.open(device(), Channel::Command, &sealed),
            Err(OpenError::WrongMessageType {
                expected: "command"
            })
        ));
        assert!(matches!(
            keys.open(device(), Channel::Status, &sealed),
            Err(OpenError::NotADownlink)
        ));

        let stranger = Signer::from_seed("k2", &[7; 32]).unwrap().verifying_keys();
        assert!(matches!(
            stranger.open(device(), Channel::Time, &sealed),
            Err(OpenError::UnknownKey)
        ));
        let namesake = Signer::from_seed("k1", &[8; 32]).unwrap().verifying_keys();
        assert!(matches!(
            namesake.open(device(), Channel::Time, &sealed),
            Err(OpenError::WrongSignature)
        ));
        assert!(matches!(
            VerifyingKeys::default().open(device(), Channel::Time, &sealed),
            Err(OpenError::UnknownKey)
        ));
    }
}

#[test]
fn an_envelope_moved_to_another_box_or_topic_does_not_verify() {
    let sealed = signer()
        .seal(&time_message(), device(), Encoding::Json)
        .unwrap();
    let keys = signer().verifying_keys();
    let other = DeviceId::from_uuid(Uuid::from_u128(1));
    let envelope: Value = serde_json::from_slice(&sealed).unwrap();
    let moved = with(envelope.clone(), "device_id", json!(other.to_string())).to_string();
    assert!(matches!(
        keys.open(other, Channel::Time, moved.as_bytes()),
        Err(OpenError::WrongSignature)
    ));
    let moved = with(envelope, "message_type", json!("command")).to_string();
    assert!(matches!(
        keys.open(device(), Channel::Command, moved.as_bytes()),
        Err(OpenError::WrongSignature)
    ));
}

#[test]
fn an_unsigned_message_is_not_an_envelope() {
    for encoding in [Encoding::Json, Encoding::Msgpack] {
        let body = time_message().encode_body(encoding).unwrap();
        let opened = signer()
            .verifying_keys()
            .open(device(), Channel::Time, &body);
        assert!(matches!(opened, Err(OpenError::Malformed(_))), "{opened:?}");
    }
}

#[test]
fn keys_are_read_and_written_by_name() {
    let keys = signer().verifying_keys();
    let text = serde_json::to_string(&keys).unwrap();
    assert_eq!(serde_json::from_str::<VerifyingKeys>(&text).unwrap(), keys);
    for text in [
        r#"{"k":"AAAA"}"#,
        r#"{"k":"!"}"#,
        r#"{"":"A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="}"#,
        "[]",
    ] {
        assert!(
            serde_json::from_str::<VerifyingKeys>(text).is_err(),
            "{text}"
        );
    }
}

fn text(len_max: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(
        proptest::char::any().prop_filter("printable", |c| !c.is_control()),
        1..=len_max / 4,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

fn event_id() -> impl Strategy<Value = EventId> {
    any::<u128>().prop_map(|bits| EventId::from_uuid(Uuid::from_u128(bits)))
}

fn uplink() -> impl Strategy<Value = UplinkMessage> {
    let percent = proptest::option::of(0u8..=100);
    let beat = (
        text(64),
        text(32),
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
    prop_oneof![beat, status, ack, request]
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

    /// Base64 has spare bits and JSON has spare spellings only where the signature is not: what opens after a change
    /// is still the very message that was sealed.
    #[test]
    fn a_changed_envelope_never_says_something_else(encoding in encoding(), index: prop::sample::Index, bit in 0u8..8) {
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
