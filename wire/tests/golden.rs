//! The golden vectors: bytes from another implementation, which `wire` must read and write exactly.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::json;
use wire::lenient::CUT_MARK;
use wire::message::{
    AckStatus, Command, CommandAck, CommandAckStatus, ConfigAck, ConfigAckStatus, ConfigPush,
    Currency, DynamicQrRequest, DynamicQrResponse, ErrorBody, Extras, Heartbeat, OnlineState,
    PaymentAck, PaymentSuccess, QrOutcome, ReplayRequest, Speech, Status, Time, TotalRequest,
};
use wire::{Channel, DeviceId, DownlinkMessage, Encoding, Rupiah, Signer, UplinkMessage};

/// The id of the private key that signed the envelopes: 00 01 02 … 1f.
const KEY_ID: &str = "k1";

/// The public key of that seed, computed by Python's `cryptography`.
const PUBLIC_KEY: &str = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";

macro_rules! golden {
    ($name:literal) => {
        (
            include_str!(concat!("../../tests/golden/", $name, ".json")),
            include_str!(concat!("../../tests/golden/", $name, ".hex")),
        )
    };
}

/// Both encodings of one vector, from its two files.
fn vectors((json, hexes): (&str, &str)) -> [(Encoding, Vec<u8>); 2] {
    let packed: String = hexes.split_whitespace().collect();
    [
        (Encoding::Json, json.trim_end().as_bytes().to_vec()),
        (Encoding::Msgpack, hex::decode(packed).unwrap()),
    ]
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(prefix: &str, last: &str) -> T {
    format!("{prefix}_0190f3a1c0de7abc8def0123456789{last}")
        .parse()
        .unwrap()
}

fn device() -> DeviceId {
    id("sbx", "ab")
}

fn at(time: &str) -> DateTime<Utc> {
    format!("2026-05-24T{time}Z").parse().unwrap()
}

fn signer() -> Signer {
    Signer::from_seed(KEY_ID, &std::array::from_fn(|i| u8::try_from(i).unwrap())).unwrap()
}

fn check_uplink(files: (&str, &str), message: &UplinkMessage) {
    for (encoding, bytes) in vectors(files) {
        let (read, found) = UplinkMessage::decode(message.channel(), &bytes).unwrap();
        assert_eq!(found, encoding);
        assert_eq!(&read, message);
        let written = message.encode(encoding).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&written),
            String::from_utf8_lossy(&bytes)
        );
        assert_eq!(written, bytes);
    }
}

fn check_downlink(body: (&str, &str), envelope: (&str, &str), message: &DownlinkMessage) {
    for (encoding, bytes) in vectors(body) {
        assert_eq!(
            &DownlinkMessage::decode_body(message.channel(), encoding, &bytes).unwrap(),
            message
        );
        let written = message.encode_body(encoding).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&written),
            String::from_utf8_lossy(&bytes)
        );
        assert_eq!(written, bytes);
    }
    let signer = signer();
    for (encoding, bytes) in vectors(envelope) {
        assert_eq!(
            &signer
                .verifying_keys()
                .open(device(), message.channel(), &bytes)
                .unwrap(),
            message
        );
        assert_eq!(signer.seal(message, device(), encoding).unwrap(), bytes);
    }
}

#[test]
fn the_public_key_is_the_one_of_the_seed() {
    let keys = serde_json::to_value(signer().verifying_keys()).unwrap();
    assert_eq!(keys, json!({ KEY_ID: PUBLIC_KEY }));
}

#[test]
fn heartbeat() {
    let mut extras = Extras::default();
    extras.insert("uptime_s", json!(86_400));
    extras.insert("sim_operator", json!("Telkomsel"));
    check_uplink(
        golden!("uplink_heartbeat"),
        &UplinkMessage::Heartbeat(Heartbeat {
            device_id: device(),
            timestamp: Some("2026-05-23T10:00:00Z".to_owned()),
            firmware_version: Some("1.0.3".to_owned()),
            state: Some("idle".to_owned()),
            network_strength: Some(78),
            battery_level: Some(92),
            extras,
        }),
    );
}

#[test]
fn status() {
    check_uplink(
        golden!("uplink_status_online"),
        &UplinkMessage::Status(Status {
            state: OnlineState::Online,
            firmware_version: Some("1.0.3".to_owned()),
            reason: Some("connected".to_owned()),
            nonce: Some("b64f0c9d2a7e4d51".to_owned()),
        }),
    );
    check_uplink(
        golden!("uplink_status_offline"),
        &UplinkMessage::Status(Status {
            state: OnlineState::Offline,
            firmware_version: None,
            reason: Some("will".to_owned()),
            nonce: None,
        }),
    );
}

#[test]
fn dynamic_qr_request() {
    check_uplink(
        golden!("uplink_dynamic_qr_request"),
        &UplinkMessage::DynamicQrRequest(DynamicQrRequest {
            request_id: "req_123".to_owned(),
            device_id: device(),
            terminal_id: Some(id("term", "ac")),
            amount: Some(Rupiah::from_i64(50_000)),
            currency: "IDR".to_owned(),
            created_at: Some("2026-05-24T10:00:00.000Z".to_owned()),
        }),
    );
}

#[test]
fn replay_request() {
    check_uplink(
        golden!("uplink_replay_request"),
        &UplinkMessage::ReplayRequest(ReplayRequest {
            request_id: "press_7".to_owned(),
            device_id: device(),
            created_at: Some("2026-05-24T10:00:00.000Z".to_owned()),
        }),
    );
}

#[test]
fn total_request() {
    check_uplink(
        golden!("uplink_total_request"),
        &UplinkMessage::TotalRequest(TotalRequest {
            request_id: "press_8".to_owned(),
            device_id: device(),
            created_at: None,
        }),
    );
}

#[test]
fn payment_ack() {
    check_uplink(
        golden!("uplink_payment_ack"),
        &UplinkMessage::PaymentAck(PaymentAck {
            event_id: id("evt", "ad"),
            status: AckStatus::Played,
            played_at: Some("2026-05-24T10:00:01.250Z".to_owned()),
            reason: None,
        }),
    );
    check_uplink(
        golden!("uplink_payment_ack_failed"),
        &UplinkMessage::PaymentAck(PaymentAck {
            event_id: id("evt", "ad"),
            status: AckStatus::Failed,
            played_at: None,
            reason: Some("interrupted".to_owned()),
        }),
    );
}

#[test]
fn command_ack() {
    check_uplink(
        golden!("uplink_command_ack"),
        &UplinkMessage::CommandAck(CommandAck {
            device_id: device(),
            command_id: id("cmd", "ae"),
            status: CommandAckStatus::Delivered,
            reason: Some("ok".to_owned()),
            result_payload: Some(json!({ "payment_result": "ok" })),
        }),
    );
}

#[test]
fn config_ack() {
    check_uplink(
        golden!("uplink_config_ack"),
        &UplinkMessage::ConfigAck(ConfigAck {
            version: 7,
            status: ConfigAckStatus::Applied,
            reason: None,
        }),
    );
}

#[test]
fn payment_success() {
    check_downlink(
        golden!("body_payment_success"),
        golden!("envelope_payment_success"),
        &DownlinkMessage::PaymentSuccess(PaymentSuccess {
            event_id: id("evt", "ad"),
            sequence: 41,
            binding_id: id("bind", "af"),
            transaction_id: id("tx", "b0"),
            merchant_name: "Kopi Senja — Bandung".to_owned(),
            amount: Rupiah::from_i64(50_000),
            currency: Currency::Idr,
            paid_at: at("10:00:00"),
            sent_at: at("10:00:00.120"),
            delayed_after: at("10:01:00"),
            announce_until: at("10:05:00"),
            replay: false,
            speech: Speech {
                language: "id".to_owned(),
                text: "Pembayaran QRIS diterima, lima puluh ribu rupiah".to_owned(),
                delayed_text: "Pembayaran tertunda diterima, lima puluh ribu rupiah".to_owned(),
            },
        }),
    );
}

#[test]
fn dynamic_qr_response() {
    check_downlink(
        golden!("body_dynamic_qr_response"),
        golden!("envelope_dynamic_qr_response"),
        &DownlinkMessage::DynamicQrResponse(DynamicQrResponse {
            correlation_id: "req_123".to_owned(),
            outcome: QrOutcome::Ready {
                transaction_id: id("tx", "b0"),
                amount: Rupiah::from_i64(50_000),
                status: "awaiting_payment".to_owned(),
                qr_payload: "00020101021226610014ID.CO.EXAMPLE.WWW".to_owned(),
                expires_at: at("10:05:00"),
            },
        }),
    );
    check_downlink(
        golden!("body_dynamic_qr_response_error"),
        golden!("envelope_dynamic_qr_response_error"),
        &DownlinkMessage::DynamicQrResponse(DynamicQrResponse {
            correlation_id: "req_123".to_owned(),
            outcome: QrOutcome::Refused(ErrorBody {
                code: "INVALID_AMOUNT".to_owned(),
                message: "amount must be between 1 and 10000000".to_owned(),
            }),
        }),
    );
}

#[test]
fn command() {
    check_downlink(
        golden!("body_command"),
        golden!("envelope_command"),
        &DownlinkMessage::Command(Command {
            command_id: id("cmd", "ae"),
            kind: "set_volume".to_owned(),
            payload: json!({ "volume": 7 }),
            issued_at: at("10:00:00"),
            expires_at: at("10:10:00"),
        }),
    );
}

#[test]
fn config_push() {
    check_downlink(
        golden!("body_config_push"),
        golden!("envelope_config_push"),
        &DownlinkMessage::ConfigPush(ConfigPush {
            version: 7,
            binding_id: Some(id("bind", "af")),
            config: json!({ "volume": 8, "language": "id", "heartbeat_interval_s": 30 }),
        }),
    );
    check_downlink(
        golden!("body_config_push_unbound"),
        golden!("envelope_config_push_unbound"),
        &DownlinkMessage::ConfigPush(ConfigPush {
            version: 8,
            binding_id: None,
            config: json!({}),
        }),
    );
}

#[test]
fn time() {
    check_downlink(
        golden!("body_time"),
        golden!("envelope_time"),
        &DownlinkMessage::Time(Time {
            nonce: "b64f0c9d2a7e4d51".to_owned(),
            server_time: at("10:00:00.500"),
        }),
    );
}

#[test]
fn every_channel_has_a_vector() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden")).unwrap();
    let names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    for channel in Channel::ALL {
        let kind = if Channel::UPLINKS.contains(&channel) {
            "uplink"
        } else {
            "envelope"
        };
        let start = format!("{kind}_{}", channel.message_type());
        for end in [".json", ".hex"] {
            assert!(
                names
                    .iter()
                    .any(|name| name.starts_with(&start) && name.ends_with(end)),
                "{start}*{end}"
            );
        }
    }
}

/// The block of the device protocol's document that is fenced as `name`.
fn example(name: &str) -> &'static str {
    let document = include_str!("../../docs/device-protocol.md");
    let (_, block) = document.split_once(&format!("```{name}\n")).unwrap();
    block.split_once("\n```").unwrap().0
}

#[test]
fn the_worked_example_of_the_device_protocol_is_a_golden_vector() {
    let (body, _) = golden!("body_time");
    let (envelope, _) = golden!("envelope_time");
    assert_eq!(example("json envelope"), envelope.trim_end());
    assert_eq!(example("json body"), body.trim_end());
    assert_eq!(example("text public-key"), PUBLIC_KEY);
    // Step by step, as in the document, without `wire`.
    let read: serde_json::Value = serde_json::from_str(envelope).unwrap();
    let text = |field: &str| read[field].as_str().unwrap();
    let signed = format!(
        "soundbox/1\n{}\n{}\n{}",
        text("message_type"),
        text("device_id"),
        text("body")
    );
    assert_eq!(example("text signed"), signed);
    let document = include_str!("../../docs/device-protocol.md");
    assert!(document.contains(&format!("these {} bytes", signed.len())));
    let signature = hex::decode(example("text signature")).unwrap();
    let key = STANDARD.decode(PUBLIC_KEY).unwrap();
    UnparsedPublicKey::new(&ED25519, &key)
        .verify(signed.as_bytes(), &signature)
        .unwrap();
    assert_eq!(STANDARD.encode(signature), text("signature"));
}

#[test]
fn the_device_protocol_names_every_topic_and_message() {
    let document = include_str!("../../docs/device-protocol.md");
    for channel in Channel::ALL {
        let topic = format!("`devices/{{id}}/{}`", channel.path());
        assert!(document.contains(&topic), "{topic}");
        let message_type = format!("`{}`", channel.message_type());
        assert!(document.contains(&message_type), "{message_type}");
    }
    assert!(document.contains(CUT_MARK));
}
