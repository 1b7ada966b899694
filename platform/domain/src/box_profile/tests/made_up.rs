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
bytes_max = 600

[messages.clips.names.id]
pembayaran = "P_001"

[messages.payment]
topic = "in"
json = { n = "{id}", rp = "{amount:text}", sen = "{amount_hundredths}", play = ["start", { file = "{clip}", box = "{serial}" }, "end"], all = "{clips}", shop = "at {merchant_name}", paid = "{paid_at_wib}", fixed = [1, true, "{{}}"] }

[messages.configuration]
topic = "in"
text = "CFG {version} {volume_percent}%"

[messages.command.announce_text]
topic = "in"
json = { say = "{text}" }

[messages.command.announce_total]
topic = "in"
json = { total = "{amount}", play = "{clips}" }

[messages.command.play_test]
topic = "in"
json = { play = "{clips}" }

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
when = { "/kind" = "again" }
means = "replay_request"
id = "/press"

[[uplinks]]
topic = "out"
text = "SUM"
means = "total_request"

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
            { "file": "P_001", "box": "SN0001" }, { "file": "qris", "box": "SN0001" },
            { "file": "diterima", "box": "SN0001" }, { "file": "50", "box": "SN0001" },
            { "file": "ribu", "box": "SN0001" }, { "file": "rupiah", "box": "SN0001" },
            "end"
        ],
        "all": ["P_001", "qris", "diterima", "50", "ribu", "rupiah"],
        "shop": r#"at Toko "Sari" \ Jaya"#,
        "paid": "20260524170300",
        "fixed": [1, true, "{}"]
    });
    assert_eq!(read, expected);
}

#[test]
fn a_command_plays_the_clips_of_its_sentence_in_the_language_of_the_box() {
    let play = |kind, payload| {
        let rendered = render(&made_up(), &command(kind, payload)).unwrap();
        let read: Value = serde_json::from_slice(&rendered.payload).unwrap();
        read
    };
    let javanese = |text: &str| json!({ "language": "jv", "text": text });
    let test = play(
        CommandType::PlayTest,
        json!({ "speech": javanese("Iki swara percobaan") }),
    );
    assert_eq!(test, json!({ "play": ["iki", "swara", "percobaan"] }));
    let speech = javanese("Gunggung dina iki, loro ewu rupiah");
    let wrong = command(
        CommandType::AnnounceTotal,
        json!({ "amount": 2_000, "speech": speech }),
    );
    let refused = render(&made_up(), &wrong);
    assert!(
        matches!(refused, Err(RenderError::Value { .. })),
        "{refused:?}"
    );
    let speech = javanese("Gunggung dina iki, rong ewu rupiah");
    let total = play(
        CommandType::AnnounceTotal,
        json!({ "amount": 2_000, "speech": speech }),
    );
    let clips = ["gunggung", "dina", "iki", "2ng", "ewu", "rupiah"];
    assert_eq!(total, json!({ "total": 2_000, "play": clips }));
    // The sentence that nothing was paid says no amount; the total beside it may be of other boxes at the terminal.
    let speech = json!({ "language": "id", "text": "Belum ada pembayaran untuk diulang" });
    let nothing = play(
        CommandType::AnnounceTotal,
        json!({ "amount": 2_000, "speech": speech }),
    );
    let clips = ["belum", "ada", "P_001", "untuk", "diulang"];
    assert_eq!(nothing, json!({ "total": 2_000, "play": clips }));
}

#[test]
fn what_the_maker_names_must_be_a_clip_of_the_language() {
    let with = |from: &str, to: &str| {
        assert!(MADE_UP.contains(from), "{from}");
        Profile::parse("x", &MADE_UP.replacen(from, to, 1)).unwrap_err()
    };
    let clip = "pembayaran = \"P_001\"";
    for (from, to, key) in [
        ("names.id", "names.fr", "messages.clips.names.fr.pembayaran"),
        (clip, "bayar = \"P\"", "messages.clips.names.id.bayar"),
        (
            clip,
            "pembayaran = \"a.mp3\"",
            "messages.clips.names.id.pembayaran",
        ),
        (
            clip,
            "pembayaran = \"../a\"",
            "messages.clips.names.id.pembayaran",
        ),
        (
            clip,
            "pembayaran = \"a+b\"",
            "messages.clips.names.id.pembayaran",
        ),
        (
            clip,
            "pembayaran = \"\"",
            "messages.clips.names.id.pembayaran",
        ),
        (
            "\"{clips}\", shop",
            "\"x {clips}\", shop",
            "messages.payment.json.all",
        ),
    ] {
        let error = with(from, to);
        assert_eq!(error.key, key, "{to}: {error}");
        let line = MADE_UP[..MADE_UP.find(from).unwrap()].matches('\n').count() + 1;
        assert!(error.line.abs_diff(line) <= 1, "{error}, not line {line}");
    }
}

#[test]
fn a_button_without_an_answer_that_is_heard_is_refused() {
    let total = "[messages.command.announce_total]\ntopic = \"in\"\njson = { total = \"{amount}\", play = \"{clips}\" }\n";
    assert!(MADE_UP.contains(total));
    let without = MADE_UP.replacen(total, "", 1);
    let error = Profile::parse("x", &without).unwrap_err();
    assert!(
        error.key.starts_with("uplinks.") && error.key.ends_with(".means"),
        "{error}"
    );
    let silent = MADE_UP.replacen(
        ", play = \"{clips}\" }\n\n[messages.command.play_test]",
        " }\n\n[messages.command.play_test]",
        1,
    );
    let error = Profile::parse("x", &silent).unwrap_err();
    assert!(error.problem.contains("nothing was paid"), "{error}");
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
        json!({ "text": "a".repeat(590) }),
    );
    assert_eq!(render(&made_up(), &announce).unwrap().payload.len(), 600);
    let announce = command(
        CommandType::AnnounceText,
        json!({ "text": "a".repeat(591) }),
    );
    let too_long = RenderError::TooLong {
        bytes: 601,
        bytes_max: 600,
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
    let again = |request_id: Option<&str>| VendorUplink::ReplayRequest {
        request_id: request_id.map(str::to_owned),
    };
    assert_eq!(read(r#"{"kind":"again"}"#), again(None));
    assert_eq!(read(r#"{"kind":"again","press":17}"#), again(Some("17")));
    let total = VendorUplink::TotalRequest { request_id: None };
    assert_eq!(read("SUM"), total);
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
