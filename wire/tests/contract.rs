//! What is accepted, what is refused, and that nothing a stranger sends can do more than be refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::codec::MESSAGE_LEN_MAX;
use wire::lenient::CUT_MARK;
use wire::message::{
    AckStatus, CommandAck, ConfigPush, DynamicQrRequest, Extras, Heartbeat, OnlineState,
    PaymentAck, Status, Time,
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
fn no_odd_number_costs_a_beat() {
    for field in Heartbeat::PERCENTAGES {
        let level = |beat: &Heartbeat| match field {
            "battery_level" => beat.battery_level,
            _ => beat.network_strength,
        };
        for good in [
            json!(92),
            json!(92.0),
            json!("92"),
            json!(" 92 "),
            json!("92.0"),
        ] {
            let read = decode_beat(&with(beat(), field, good.clone())).unwrap();
            assert_eq!(
                (level(&read), read.extras.get(field)),
                (Some(92), None),
                "{good}"
            );
        }
        for (odd, kept) in [
            (json!(255), json!(255)),
            (json!(101), json!(101)),
            (json!(-1), json!(-1)),
            (json!(300), json!(300)),
            (json!(92.5), json!(92.5)),
            (json!(1e300), json!(1e300)),
            (json!(u64::MAX), json!(u64::MAX)),
            (json!("92%"), json!("92%")),
            (json!("full"), json!("full")),
            (json!(true), json!(true)),
            (json!([92]), json!("unreadable")),
            (json!({ "v": 92 }), json!("unreadable")),
        ] {
            let read = decode_beat(&with(beat(), field, odd.clone())).unwrap();
            assert_eq!(level(&read), None, "{odd}");
            assert_eq!(read.extras.get(field), Some(&kept), "{odd}");
        }
        for absent in [with(beat(), field, json!(null)), without(beat(), field)] {
            let read = decode_beat(&absent).unwrap();
            assert_eq!((level(&read), read.extras.get(field)), (None, None));
        }
    }
}

#[test]
fn no_odd_text_costs_a_beat() {
    for (value, kept) in [
        (json!("1.0.3"), Some("1.0.3".to_owned())),
        (json!(" 1.0.3\r\n"), Some("1.0.3".to_owned())),
        (json!(3), Some("3".to_owned())),
        (
            json!("v".repeat(500)),
            Some(format!("{}…[cut]", "v".repeat(56))),
        ),
        (json!(""), None),
        (json!(null), None),
        (json!({ "major": 1 }), None),
    ] {
        let read = decode_beat(&with(beat(), "firmware_version", value.clone())).unwrap();
        assert_eq!(read.firmware_version, kept, "{value}");
    }
    let read = decode_beat(&with(beat(), "state", json!("idle\n"))).unwrap();
    assert_eq!(read.state.as_deref(), Some("idle"));
    for field in ["firmware_version", "state"] {
        assert!(decode_beat(&without(beat(), field)).is_ok(), "{field}");
    }
    // What decides must be right.
    for wrong in [
        with(beat(), "device_id", json!("x")),
        without(beat(), "device_id"),
    ] {
        assert!(decode_beat(&wrong).is_err());
    }
    let deep = beat().to_string().replacen(
        '{',
        &format!("{{\"deep\":{}{},", "[".repeat(5_000), "]".repeat(5_000)),
        1,
    );
    assert!(UplinkMessage::decode(Channel::Heartbeat, deep.as_bytes()).is_ok());
}

/// A command's acknowledgement as it is read, in both encodings.
fn acknowledged(more: &Value) -> CommandAck {
    let mut message = json!({
        "message_type": "command_ack", "device_id": DEVICE, "status": "delivered",
        "command_id": "cmd_0190f3a1c0de7abc8def0123456789ae",
    });
    let fields = more.as_object().unwrap().clone();
    message.as_object_mut().unwrap().extend(fields);
    match decode(Channel::CommandAck, &message) {
        Ok(UplinkMessage::CommandAck(ack)) => ack,
        other => panic!("{more}: {other:?}"),
    }
}

#[test]
fn no_reason_and_no_result_costs_an_acknowledgement() {
    let reason = |value: Value| acknowledged(&json!({ "reason": value })).reason;
    assert_eq!(reason(json!("ok")).as_deref(), Some("ok"));
    assert_eq!(reason(json!("two\nlines")).as_deref(), Some("two lines"));
    assert_eq!(reason(json!(7)).as_deref(), Some("7"));
    assert_eq!(
        reason(json!({ "code": 7 })).as_deref(),
        Some("{\"code\":7}")
    );
    for absent in [json!(null), json!(""), json!(" ")] {
        assert_eq!(reason(absent), None);
    }
    for length in [257, 300, 20_000] {
        let kept = reason(json!("x".repeat(length))).unwrap();
        assert!(kept.len() == 256 && kept.ends_with(CUT_MARK), "{kept}");
    }
    let kept = reason(json!("é".repeat(300))).unwrap();
    assert!(kept.len() <= 256 && kept.ends_with(CUT_MARK), "{kept}");

    let result = |value: Value| acknowledged(&json!({ "result_payload": value })).result_payload;
    assert_eq!(result(json!({ "free": 7 })), Some(json!({ "free": 7 })));
    assert_eq!(result(json!("all is well")), Some(json!("all is well")));
    let long = result(json!({ "log": "x".repeat(20 * 1024) })).unwrap();
    assert_eq!(long["cut"], true);
    assert!(
        long["start"]
            .as_str()
            .unwrap()
            .starts_with("{\"log\":\"xxx")
    );
    let deep = (0..60).fold(json!(1), |inner, _| json!([inner]));
    assert!(result(deep).unwrap().to_string().contains(CUT_MARK));
    assert_eq!(
        result(json!({ "a\u{0}": "\u{0}" })),
        Some(json!({ "a\u{fffd}": "\u{fffd}" }))
    );

    for (channel, message) in [
        (
            Channel::PaymentAck,
            json!({ "message_type": "payment_ack", "event_id": "evt_0190f3a1c0de7abc8def0123456789ad", "status": "failed" }),
        ),
        (
            Channel::ConfigAck,
            json!({ "message_type": "config_ack", "version": 3, "status": "rejected" }),
        ),
        (
            Channel::Status,
            json!({ "message_type": "status", "state": "online", "nonce": "n-1", "firmware_version": "v".repeat(900) }),
        ),
    ] {
        let message = with(message, "reason", json!("x".repeat(900)));
        let reason = match decode(channel, &message).unwrap() {
            UplinkMessage::PaymentAck(ack) => ack.reason,
            UplinkMessage::ConfigAck(ack) => ack.reason,
            UplinkMessage::Status(status) => {
                assert!(status.firmware_version.unwrap().ends_with(CUT_MARK));
                status.reason
            }
            other => panic!("{other:?}"),
        };
        assert!(reason.unwrap().ends_with(CUT_MARK), "{channel:?}");
    }
}

#[test]
fn what_decides_is_never_guessed() {
    let ack = json!({
        "message_type": "command_ack", "device_id": DEVICE, "status": "delivered",
        "command_id": "cmd_0190f3a1c0de7abc8def0123456789ae",
    });
    for (field, wrong) in [
        ("status", json!("done")),
        ("status", json!(null)),
        ("command_id", json!("cmd_1")),
        ("device_id", json!("")),
    ] {
        assert!(decode(Channel::CommandAck, &with(ack.clone(), field, wrong)).is_err());
        assert!(decode(Channel::CommandAck, &without(ack.clone(), field)).is_err());
    }
    let ack = json!({ "message_type": "config_ack", "version": 3, "status": "applied" });
    for three in [json!(3), json!(3.0), json!("3")] {
        let read = decode(Channel::ConfigAck, &with(ack.clone(), "version", three)).unwrap();
        assert!(matches!(read, UplinkMessage::ConfigAck(ack) if ack.version == 3));
    }
    for wrong in [json!(3.5), json!("three"), json!(null), json!([3])] {
        assert!(decode(Channel::ConfigAck, &with(ack.clone(), "version", wrong)).is_err());
    }
    let status = json!({ "message_type": "status", "state": "online", "nonce": "n".repeat(65) });
    assert!(decode(Channel::Status, &status).is_err());
}

#[test]
fn json_is_recognised_behind_what_senders_put_before_it() {
    let message = beat().to_string();
    for (before, after) in [
        (&b""[..], &b""[..]),
        (b" ", b" "),
        (b"\n", b"\n"),
        (b"\r\n\t ", b"\r\n"),
        (b"\xef\xbb\xbf", b""),
        (b"\xef\xbb\xbf\r\n", b"\0"),
        (b"", b"\0\0"),
    ] {
        let bytes = [before, message.as_bytes(), after].concat();
        let (_, encoding) = UplinkMessage::decode(Channel::Heartbeat, &bytes)
            .unwrap_or_else(|error| panic!("{before:?}: {error}"));
        assert_eq!(encoding, Encoding::Json);
    }
    // Latin-1 in a text costs its letters.
    let latin = message.replace("\"idle\"", "\"caf\u{1}\"").into_bytes();
    let latin: Vec<u8> = latin
        .into_iter()
        .map(|byte| if byte == 1 { 0xe9 } else { byte })
        .collect();
    let (read, _) = UplinkMessage::decode(Channel::Heartbeat, &latin).unwrap();
    assert!(
        matches!(read, UplinkMessage::Heartbeat(beat) if beat.state.as_deref() == Some("caf\u{fffd}"))
    );
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
        b" []",
        b"\x0b{}",
        b"\0{}",
        b"null",
        b"\"x\"",
        b"\x93\x01\x02\x03",
        b"\xc0",
        b"\xef\xbb{}",
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
    let beat = (
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
    prop_oneof![beat, status, ack, request]
}

/// Anything that a field can state.
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

/// A message of each kind, whose deciding fields are in order, and the names of those that only describe.
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
    fn what_only_describes_never_costs_a_message(values in proptest::collection::vec(odd(), 6), fields in any::<u8>()) {
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
                // What was kept is in the limits, and reads the same again.
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
