//! A box that nobody makes, by a file alone: what the built-in profiles do not use.

use serde_json::json;
use wire::message::ConfigPush;

use super::*;

const MADE_UP: &str = r#"
title = "Made up"
speaks = "own_protocol"
sources = ["nobody"]
confirmation = "played"
deduplicates = true

[transport]
bootstrap = "typed_in"
client_id = "{device_id}"
username = "u-{serial}"
password = { rule = "random", chars = 22 }
keep_alive_s = 30
clean_session = true

[topics.subscribe]
in = "box/{client_id}/in"

[topics.publish]
out = "box/{username}/out"

[ids]
form = "base32"

[messages]
bytes_max = 400

[messages.payment]
topic = "in"
json = { n = "{id}", rp = "{amount:text}", sen = "{amount_hundredths}", play = ["start", { file = "{clip}", box = "{serial}" }, "end"], all = "{clips}", shop = "at {merchant_name}", paid = "{paid_at_wib}", fixed = [1, true, "{{}}"] }

[messages.configuration]
topic = "in"
text = "CFG {version} {volume_percent}%"

[messages.command.announce_text]
topic = "in"
json = { say = "{text}" }

[[uplinks]]
topic = "out"
text = "OK {id}"
means = "played"

[[uplinks]]
topic = "out"
text = "NO {id}: {reason}"
means = "failed"

[[uplinks]]
topic = "out"
when = { "/kind" = "want" }
means = "qr_request"
amount = { at = "/rp", form = "rupiah" }

[[uplinks]]
topic = "out"
when = { "/kind" = ["beat", "hello"] }
means = "heartbeat"
battery = "/b"
network = { at = "/n", scale = "percent" }
firmware_version = "/fw"
state = "/s"

[[uplinks]]
topic = "out"
when = { "/kind" = "*" }
means = "nothing"
"#;

fn made_up() -> Profile {
    Profile::parse("made-up", MADE_UP).unwrap_or_else(|error| panic!("{error}"))
}

const ID: &str = "01J3ST3G6YFAY8VVR14D2PF2DB";

#[test]
fn a_payment_with_each_kind_of_value() {
    let payment = PaymentSuccess {
        merchant_name: r#"Toko "Sari" \ Jaya"#.to_owned(),
        ..payment()
    };
    let rendered = render(&made_up(), &DownlinkMessage::PaymentSuccess(payment)).unwrap();
    let device = values().device_id;
    assert_eq!(rendered.topic, format!("box/{device}/in"));
    let read: Value = serde_json::from_slice(&rendered.payload).unwrap();
    let id = read["n"].as_str().unwrap();
    assert_eq!(id, ID);
    let expected = json!({
        "n": id, "rp": "50000", "sen": 5_000_000,
        "play": [
            "start",
            { "file": "pembayaran", "box": "SN0001" }, { "file": "50", "box": "SN0001" },
            { "file": "ribu", "box": "SN0001" }, { "file": "rupiah", "box": "SN0001" },
            "end"
        ],
        "all": ["pembayaran", "50", "ribu", "rupiah"],
        "shop": r#"at Toko "Sari" \ Jaya"#,
        "paid": "20260524170300",
        "fixed": [1, true, "{}"]
    });
    assert_eq!(read, expected);
}

#[test]
fn no_value_breaks_out_of_its_string() {
    let evil = r#"","rp":"1","x":"{id}"#;
    let announce = command(CommandType::AnnounceText, json!({ "text": evil }));
    let rendered = render(&made_up(), &announce).unwrap();
    let read: Value = serde_json::from_slice(&rendered.payload).unwrap();
    assert_eq!(read, json!({ "say": evil }));
}

#[test]
fn a_message_is_never_longer_than_the_box_takes() {
    let announce = command(
        CommandType::AnnounceText,
        json!({ "text": "a".repeat(390) }),
    );
    assert_eq!(render(&made_up(), &announce).unwrap().payload.len(), 400);
    let announce = command(
        CommandType::AnnounceText,
        json!({ "text": "a".repeat(391) }),
    );
    let too_long = RenderError::TooLong {
        bytes: 401,
        bytes_max: 400,
    };
    assert_eq!(render(&made_up(), &announce), Err(too_long));
}

#[test]
fn a_configuration_is_sent_when_it_has_what_the_box_needs() {
    let push = |config| {
        DownlinkMessage::ConfigPush(ConfigPush {
            version: 3,
            binding_id: None,
            config,
        })
    };
    let rendered = render(&made_up(), &push(json!({ "volume": 7, "language": "id" }))).unwrap();
    assert_eq!(text(&rendered), "CFG 3 70%");
    let refused = render(&made_up(), &push(json!({ "language": "id" })));
    let missing = RenderError::Value {
        placeholder: Placeholder::VolumePercent,
        problem: "this message has none",
    };
    assert_eq!(refused, Err(missing));
}

#[test]
fn its_answers_mean_what_the_file_says() {
    let read = |text: &str| made_up().read("box/u-SN0001/out", text.as_bytes(), &values());
    let event_id = payment().event_id;
    assert_eq!(read(&format!("OK {ID}")), VendorUplink::Played { event_id });
    let failed = VendorUplink::Failed {
        event_id,
        reason: Some("no battery: 2%".to_owned()),
    };
    assert_eq!(read(&format!("NO {ID}: no battery: 2%")), failed);
    let amount = Rupiah::from_i64(12_000);
    for rp in ["12000", "\"12000\"", "12000.0", "\"12000.00\""] {
        let wanted = read(&format!(r#"{{"kind":"want","rp":{rp}}}"#));
        assert_eq!(wanted, VendorUplink::QrRequest { amount }, "{rp}");
    }
    let heartbeat = VendorUplink::Heartbeat(VendorHeartbeat {
        firmware_version: Some("1.2".to_owned()),
        state: None,
        network_strength: None,
        battery_level: Some(100),
    });
    let beat = r#"{"kind":"beat","b":"100","n":101,"fw":"1.2","s":{}}"#;
    assert_eq!(read(beat), heartbeat);
    assert_eq!(read(r#"{"kind":"bye"}"#), VendorUplink::Nothing);
    for bad in [
        "OK",
        "OK evt_x",
        "{}",
        "[",
        r#"{"kind":"want","rp":12000.5}"#,
    ] {
        assert!(
            matches!(read(bad), VendorUplink::Unreadable { .. }),
            "{bad}"
        );
    }
    let elsewhere = made_up().read("box/u-SN0002/out", b"OK", &values());
    assert!(matches!(elsewhere, VendorUplink::Unreadable { .. }));
}
