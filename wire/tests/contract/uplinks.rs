//! Uplinks: deciding fields must be valid, descriptive ones never invalidate a message.

use serde_json::{Value, json};
use wire::codec::MESSAGE_LEN_MAX;
use wire::lenient::CUT_MARK;
use wire::message::{AckStatus, CommandAck, DynamicQrRequest, Heartbeat};
use wire::{Channel, DecodeError, Encoding, Rupiah, UplinkMessage};

use crate::{DEVICE, decode, decode_heartbeat, heartbeat, with, without};

#[test]
fn a_wrong_box_clock_never_invalidates_a_heartbeat() {
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
        let heartbeat = decode_heartbeat(&with(heartbeat(), "timestamp", value.clone())).unwrap();
        assert_eq!(heartbeat.timestamp.as_deref(), kept, "{value}");
    }
    assert_eq!(
        decode_heartbeat(&without(heartbeat(), "timestamp"))
            .unwrap()
            .timestamp,
        None
    );
}

#[test]
fn unknown_fields_are_ignored() {
    let mut message = heartbeat();
    message["uptime_s"] = json!(5);
    message["ok"] = json!(true);
    message["nested"] = json!({ "a": [1, 2, { "b": null }] });
    message["nothing"] = json!(null);
    message["nul"] = json!("a\u{0}");
    let read = decode_heartbeat(&message).unwrap();
    assert_eq!(read.extras.to_value(), json!({ "uptime_s": 5, "ok": true }));

    let many = (0..200).fold(heartbeat(), |message, i| {
        with(message, &format!("extra_{i}"), json!(i))
    });
    assert_eq!(
        decode_heartbeat(&many)
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
fn binary_extras_of_a_messagepack_heartbeat_are_ignored() {
    // {"message_type": "heartbeat", …, "blob": bin}: the map header is raised by one and the pair appended.
    let mut bytes = rmp_serde::to_vec_named(&heartbeat()).unwrap();
    bytes[0] += 1;
    bytes.extend_from_slice(b"\xa4blob\xc4\x03\x00\x01\x02");
    let (message, encoding) = UplinkMessage::decode(Channel::Heartbeat, &bytes).unwrap();
    assert_eq!(encoding, Encoding::Msgpack);
    assert!(matches!(message, UplinkMessage::Heartbeat(heartbeat) if heartbeat.extras.is_empty()));
}

#[test]
fn no_odd_number_invalidates_a_heartbeat() {
    for field in Heartbeat::PERCENTAGES {
        let level = |heartbeat: &Heartbeat| match field {
            "battery_level" => heartbeat.battery_level,
            _ => heartbeat.network_strength,
        };
        for good in [
            json!(92),
            json!(92.0),
            json!("92"),
            json!(" 92 "),
            json!("92.0"),
        ] {
            let read = decode_heartbeat(&with(heartbeat(), field, good.clone())).unwrap();
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
            let read = decode_heartbeat(&with(heartbeat(), field, odd.clone())).unwrap();
            assert_eq!(level(&read), None, "{odd}");
            assert_eq!(read.extras.get(field), Some(&kept), "{odd}");
        }
        for absent in [
            with(heartbeat(), field, json!(null)),
            without(heartbeat(), field),
        ] {
            let read = decode_heartbeat(&absent).unwrap();
            assert_eq!((level(&read), read.extras.get(field)), (None, None));
        }
    }
}

#[test]
fn no_odd_text_invalidates_a_heartbeat() {
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
        let read = decode_heartbeat(&with(heartbeat(), "firmware_version", value.clone())).unwrap();
        assert_eq!(read.firmware_version, kept, "{value}");
    }
    let read = decode_heartbeat(&with(heartbeat(), "state", json!("idle\n"))).unwrap();
    assert_eq!(read.state.as_deref(), Some("idle"));
    for field in ["firmware_version", "state"] {
        assert!(
            decode_heartbeat(&without(heartbeat(), field)).is_ok(),
            "{field}"
        );
    }
    // Deciding fields must be valid.
    for wrong in [
        with(heartbeat(), "device_id", json!("x")),
        without(heartbeat(), "device_id"),
    ] {
        assert!(decode_heartbeat(&wrong).is_err());
    }
    let deep = heartbeat().to_string().replacen(
        '{',
        &format!("{{\"deep\":{}{},", "[".repeat(5_000), "]".repeat(5_000)),
        1,
    );
    assert!(UplinkMessage::decode(Channel::Heartbeat, deep.as_bytes()).is_ok());
}

/// A command's acknowledgement, decoded from both encodings.
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
fn no_reason_and_no_result_invalidates_an_acknowledgement() {
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
fn deciding_fields_are_never_guessed() {
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
fn json_is_recognised_after_white_space_and_a_byte_order_mark() {
    let message = heartbeat().to_string();
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
    // Latin-1 letters in a text are replaced.
    let latin = message.replace("\"idle\"", "\"caf\u{1}\"").into_bytes();
    let latin: Vec<u8> = latin
        .into_iter()
        .map(|byte| if byte == 1 { 0xe9 } else { byte })
        .collect();
    let (read, _) = UplinkMessage::decode(Channel::Heartbeat, &latin).unwrap();
    assert!(
        matches!(read, UplinkMessage::Heartbeat(heartbeat) if heartbeat.state.as_deref() == Some("caf\u{fffd}"))
    );
}

#[test]
fn a_message_must_have_the_type_of_its_topic() {
    assert!(matches!(
        decode_heartbeat(&without(heartbeat(), "message_type")),
        Err(DecodeError::NoMessageType)
    ));
    for channel in Channel::ALL
        .into_iter()
        .filter(|channel| *channel != Channel::Heartbeat)
    {
        let result = decode(channel, &heartbeat());
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
fn a_request_without_an_amount_can_still_be_answered() {
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
fn what_is_no_message_is_refused_before_it_is_parsed() {
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
    let long = with(heartbeat(), "x", json!("y".repeat(MESSAGE_LEN_MAX)));
    assert!(matches!(decode_heartbeat(&long), Err(DecodeError::TooLong)));
    let mut trailing = rmp_serde::to_vec_named(&heartbeat()).unwrap();
    trailing.push(0);
    assert!(matches!(
        UplinkMessage::decode(Channel::Heartbeat, &trailing),
        Err(DecodeError::TrailingBytes)
    ));
    assert!(
        UplinkMessage::decode(Channel::Heartbeat, format!("{} x", heartbeat()).as_bytes()).is_err()
    );
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
