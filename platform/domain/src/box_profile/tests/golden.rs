//! The messages of each box, byte for byte, as they were written by hand from what is published about the box.

use serde_json::json;

use super::*;

/// A vector of tests/golden/boxes, without its line end.
fn golden(name: &str) -> String {
    let path = format!(
        "{}/../../tests/golden/boxes/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    text.trim_end_matches('\n').to_owned()
}

#[track_caller]
fn check(profile: &str, message: &DownlinkMessage, topic: &str, name: &str) {
    let rendered = render(super::profile(profile), message).unwrap();
    assert_eq!(text(&rendered), golden(name));
    assert_eq!(rendered.topic, topic);
    let topics = super::profile(profile).topics(&values()).unwrap().unwrap();
    let mut downlinks = Channel::DOWNLINKS.iter().zip(&topics.downlinks);
    let its = downlinks.find(|(channel, _)| **channel == message.channel());
    assert_eq!(its.map(|(_, topic)| topic.as_str()), Some(topic));
    assert!(topics.subscribe.iter().any(|own| own == topic));
}

#[track_caller]
fn reads(profile: &str, topic: &str, name: &str, expected: &VendorUplink) {
    let payload = golden(name);
    let read = super::profile(profile).read(topic, payload.as_bytes(), &values());
    assert_eq!(read, *expected);
}

fn paid() -> DownlinkMessage {
    DownlinkMessage::PaymentSuccess(payment())
}

fn received() -> VendorUplink {
    VendorUplink::Received {
        event_id: payment().event_id,
        amount: None,
    }
}

#[test]
fn every_vector_is_named_after_a_profile() {
    let folder = format!("{}/../../tests/golden/boxes", env!("CARGO_MANIFEST_DIR"));
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let (profile, _) = name.split_once('.').unwrap();
        assert!(Profile::built_in(profile).is_some(), "{name}");
    }
}

#[test]
fn qf100() {
    let down = "soundbox/SN0001/down";
    check("qf100", &paid(), down, "qf100.payment.json");
    check("qf100", &qr(), down, "qf100.qr.json");
    let reboot = command(CommandType::Reboot, json!({}));
    check("qf100", &reboot, down, "qf100.reboot.json");
    let login = profile("qf100").login(&values()).unwrap().unwrap();
    let expected = Login {
        client_id: "soundbox-SN0001".to_owned(),
        username: "SN0001".to_owned(),
        keep_alive_s: 60,
        clean_session: false,
    };
    assert_eq!(login, expected);
    let topics = profile("qf100").topics(&values()).unwrap().unwrap();
    let heartbeat = PublishTopic {
        topic: "devices/SN0001/heartbeat".to_owned(),
        channel: Channel::Heartbeat,
    };
    assert_eq!(topics.publish, [heartbeat]);
    let beat = profile("qf100").read("devices/SN0001/heartbeat", b"{\"any\":1}", &values());
    assert_eq!(beat, VendorUplink::Heartbeat(VendorHeartbeat::default()));
}

#[test]
fn morefun_et389() {
    let update = "/ota/pk12345/SN0001/update";
    check(
        "morefun-et389",
        &paid(),
        update,
        "morefun-et389.payment.json",
    );
    check("morefun-et389", &qr(), update, "morefun-et389.qr.json");
    let received = VendorUplink::Received {
        event_id: payment().event_id,
        amount: Some(Rupiah::from_i64(50_000)),
    };
    let log = "/ota/pk12345/SN0001/user/log";
    reads(
        "morefun-et389",
        log,
        "morefun-et389.received.json",
        &received,
    );
    let read =
        |topic: &str, text: &str| profile("morefun-et389").read(topic, text.as_bytes(), &values());
    let state = "/ota/device/connection/SN0001/state";
    assert_eq!(read(state, "1"), VendorUplink::Online);
    assert_eq!(read(state, "0"), VendorUplink::Offline);
    assert_eq!(read(&format!("{state} "), "0"), VendorUplink::Offline);
    // Computed with openssl: HMAC-SHA256 keyed with sixteen zeros over
    // clientId{SN0001}.{SN0001}SN0001pk123452524608000000
    let password = profile("morefun-et389").password(&values(), &[0; 32]);
    let password = password.unwrap().unwrap();
    assert_eq!(password.product_secret.as_deref(), Some("0000000000000000"));
    assert_eq!(
        password.password,
        "82B9A1EBEB53542CE3A090300887AF9BA45229A8785539FF6D7CECBD66636123"
    );
}

#[test]
fn quecpython() {
    let task = "pk12345/SN0001/user/task";
    check("quecpython", &paid(), task, "quecpython.payment.json");
    let unsupported = Err(RenderError::Unsupported);
    assert_eq!(render(profile("quecpython"), &qr()), unsupported);
    // As above, keyed with 32 zeros.
    let password = profile("quecpython").password(&values(), &[0; 32]);
    assert_eq!(
        password.unwrap().unwrap().password,
        "912100B2CF2DA24FF73B6A02545B0FB4C70FBC3105FF13A0224C7E00C02AC4EC"
    );
}

#[test]
fn eg800ak() {
    let payments = "kiotel/client1/sb/862000000000011";
    check("eg800ak", &paid(), payments, "eg800ak.payment.json");
    // The checksum was computed with gzip.
    let volume = command(CommandType::SetVolume, json!({ "volume": 7 }));
    let commands = format!("{payments}/cmd");
    check("eg800ak", &volume, &commands, "eg800ak.set-volume.json");
    let health = format!("{payments}/health");
    reads("eg800ak", &health, "eg800ak.received.json", &received());
    reads(
        "eg800ak",
        &health,
        "eg800ak.received-again.json",
        &received(),
    );
    let command_id = "cmd_0190f3a1c0de7abc8def0123456789ef".parse().unwrap();
    let done = VendorUplink::CommandDone { command_id };
    reads("eg800ak", &health, "eg800ak.command-done.json", &done);
    let failed = VendorUplink::CommandFailed {
        command_id,
        reason: Some("rejected".to_owned()),
    };
    reads("eg800ak", &health, "eg800ak.command-failed.json", &failed);
    let heartbeat = VendorUplink::Heartbeat(VendorHeartbeat {
        network_strength: Some(64),
        battery_level: Some(87),
        ..VendorHeartbeat::default()
    });
    reads("eg800ak", &health, "eg800ak.heartbeat.json", &heartbeat);
    let topics = profile("eg800ak").topics(&values()).unwrap().unwrap();
    assert_eq!(topics.publish[0].channel, Channel::CommandAck);
}

#[test]
fn q161() {
    let down = "topic_SN0001";
    check("q161", &paid(), down, "q161.payment.txt");
    check("q161", &qr(), down, "q161.qr.txt");
    let refused = qr_refused("Nominal tidak diterima");
    check("q161", &refused, down, "q161.qr-refused.txt");
    let announce = command(CommandType::AnnounceText, json!({ "text": "Selamat pagi" }));
    check("q161", &announce, down, "q161.announce-text.txt");
    let speech = json!({ "language": "id", "text": "Ini suara percobaan" });
    let test = command(CommandType::PlayTest, json!({ "speech": speech }));
    check("q161", &test, down, "q161.play-test.txt");
    let request = VendorUplink::QrRequest {
        amount: Rupiah::from_i64(50_000),
    };
    reads("q161", "qris/request", "q161.qr-request.txt", &request);
}

#[test]
fn what_a_q161_says_counts_only_for_itself_and_only_in_whole_rupiah() {
    let read = |text: &str| profile("q161").read("qris/request", text.as_bytes(), &values());
    for bad in [
        "SN0002|5000000",
        "SN0001|5000050",
        "SN0001|0",
        "SN0001|-100",
        "SN0001|+100",
        "SN0001|",
        "SN0001",
        "SN0001|5000000|x",
        "SN00015000000",
        "",
    ] {
        assert!(
            matches!(read(bad), VendorUplink::Unreadable { .. }),
            "{bad}"
        );
    }
}

#[test]
fn a_text_that_a_q161_would_take_for_a_code_or_for_clips_is_refused() {
    for bad in ["QR:0002", "dua QR:0002", "50.mp3+ribu.mp3", "a\nb"] {
        let announce = command(CommandType::AnnounceText, json!({ "text": bad }));
        let refused = render(profile("q161"), &announce);
        assert!(
            matches!(refused, Err(RenderError::Value { .. })),
            "{bad}: {refused:?}"
        );
    }
    // A sentence that is of no grammar has no clips, whatever is in it.
    for bad in ["", "a+b", "../a", "Pembayaran QRIS diterima, seribu rupiah"] {
        let mut payment = payment();
        payment.speech.text = bad.to_owned();
        let refused = render(profile("q161"), &DownlinkMessage::PaymentSuccess(payment));
        assert!(
            matches!(refused, Err(RenderError::Value { .. })),
            "{bad}: {refused:?}"
        );
    }
}

#[test]
fn a_payment_is_delayed_and_then_over_by_the_time_of_sending() {
    let at = |time| profile("qf100").render(&paid(), &values(), time);
    let fresh = at(time("2026-05-24T10:03:59Z")).unwrap();
    assert!(text(&fresh).contains("Pembayaran QRIS diterima"));
    let delayed = at(time("2026-05-24T10:04:00Z")).unwrap();
    assert!(text(&delayed).contains("Pembayaran tertunda diterima"));
    assert_eq!(at(time("2026-05-24T10:08:00Z")), Err(RenderError::TooLate));
    let replay = DownlinkMessage::PaymentSuccess(PaymentSuccess {
        replay: true,
        ..payment()
    });
    let replay = render(profile("qf100"), &replay).unwrap();
    assert!(text(&replay).contains("Pembayaran tertunda diterima"));
}

#[test]
fn a_code_without_an_amount_has_no_member_for_it() {
    let shown = command(CommandType::DisplayQr, json!({ "qr_payload": "000201" }));
    let message = profile("qf100").render(&shown, &values(), now()).unwrap();
    let message: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(message["data"]["qr-url"], "000201");
    assert_eq!(message["data"].get("amount"), None);
}

#[test]
fn codes_and_commands_are_not_sent_when_their_time_is_over() {
    let over = time("2026-05-24T11:00:00Z");
    for message in [qr(), command(CommandType::Reboot, json!({}))] {
        let rendered = profile("qf100").render(&message, &values(), over);
        assert_eq!(rendered, Err(RenderError::TooLate));
    }
}

#[test]
fn each_box_has_the_commands_of_its_templates_and_no_others() {
    let supported = |name: &str| {
        let all = CommandType::ALL.iter().copied();
        all.filter(|kind| profile(name).supports(*kind))
            .collect::<Vec<_>>()
    };
    use CommandType::{AnnounceText, DisplayQr, PlayTest, Reboot, SetVolume};
    assert_eq!(supported("native"), CommandType::ALL);
    assert_eq!(supported("qf100"), [DisplayQr, Reboot]);
    assert_eq!(supported("morefun-et389"), [DisplayQr]);
    assert_eq!(supported("quecpython"), []);
    assert_eq!(supported("eg800ak"), [PlayTest, SetVolume]);
    assert_eq!(supported("q161"), [PlayTest, AnnounceText, DisplayQr]);
    let volume = command(SetVolume, json!({ "volume": 7 }));
    let refused = render(profile("qf100"), &volume);
    assert_eq!(refused, Err(RenderError::Unsupported));
}

#[test]
fn what_each_box_promises() {
    let promises = |name: &str| {
        let profile = profile(name);
        (
            profile.confirmation().as_str(),
            profile.deduplicates(),
            profile.acknowledges_commands(),
            profile.speech_source().as_str(),
        )
    };
    assert_eq!(promises("native"), ("played", true, true, "text"));
    assert_eq!(promises("qf100"), ("puback", false, false, "text"));
    assert_eq!(promises("morefun-et389"), ("received", true, false, "own"));
    assert_eq!(promises("quecpython"), ("puback", false, false, "own"));
    assert_eq!(promises("eg800ak"), ("received", true, true, "own"));
    assert_eq!(promises("q161"), ("puback", false, false, "clips"));
}

#[test]
fn a_box_that_speaks_the_contract_has_nothing_to_render() {
    let native = profile(NATIVE);
    assert!(native.speaks_contract());
    assert_eq!(native.topics(&values()), None);
    assert_eq!(native.login(&values()), None);
    assert_eq!(native.password(&values(), &[0; 32]), None);
    assert_eq!(native.capabilities(), None);
    assert_eq!(render(native, &paid()), Err(RenderError::Unsupported));
}
