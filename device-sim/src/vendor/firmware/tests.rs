//! The boxes against the bytes that were written by hand for each of them.

use super::*;

fn settings() -> Settings {
    Settings {
        serial: "SN0001".to_owned(),
        imei: "862000000000011".to_owned(),
        product_key: "pk12345".to_owned(),
        product_secret: "0000000000000000".to_owned(),
        password: "p".to_owned(),
        told: None,
    }
}

fn golden(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/../tests/golden/boxes/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    text.trim_end_matches('\n').as_bytes().to_vec()
}

const ID: &str = "0190f3a1c0de7abc8def0123456789ab";

fn rupiah(amount: i64) -> Rupiah {
    Rupiah::from_i64(amount)
}

fn announce(id: Option<&str>, amount: Option<i64>, text: &str) -> Action {
    Action::Announce {
        id: id.map(str::to_owned),
        amount: amount.map(rupiah),
        text: text.to_owned(),
    }
}

fn show_qr(amount: Option<i64>) -> Action {
    Action::ShowQr {
        payload: "00020101021226EXAMPLE6304ABCD".to_owned(),
        amount: amount.map(rupiah),
    }
}

/// What a box does with a golden message on its first topic.
fn does(firmware: &mut Box<dyn Firmware>, name: &str) -> Vec<Action> {
    let topic = firmware.subscriptions()[0].clone();
    firmware.receive(&topic, &golden(name))
}

fn sends(topic: &str, name: &str) -> Action {
    Action::Send(Outgoing {
        topic: topic.to_owned(),
        payload: String::from_utf8(golden(name)).unwrap(),
        is_ack: true,
    })
}

/// JSON members in the order of their names, so that two boxes that write them in another order compare equal.
fn sorted(actions: Vec<Action>) -> Vec<Action> {
    let sort = |action| match action {
        Action::Send(sent) => {
            let read: Value = serde_json::from_str(&sent.payload).unwrap();
            Action::Send(Outgoing {
                payload: read.to_string(),
                ..sent
            })
        }
        other => other,
    };
    actions.into_iter().map(sort).collect()
}

#[test]
fn a_qf100_says_what_it_is_sent_as_often_as_it_is_sent() {
    let mut qf100 = Model::Qf100.start(&settings());
    let sentence = "Pembayaran QRIS diterima, lima puluh ribu rupiah";
    let said = announce(Some(&format!("evt_{ID}")), Some(50_000), sentence);
    for _ in 0..2 {
        let done = does(&mut qf100, "qf100.payment.json");
        assert_eq!(done, std::slice::from_ref(&said));
    }
    assert_eq!(does(&mut qf100, "qf100.qr.json"), [show_qr(Some(50_000))]);
    assert_eq!(does(&mut qf100, "qf100.reboot.json"), [Action::Reboot]);
}

#[test]
fn a_qf100_joins_as_it_was_told() {
    let told = Told {
        client_id: "c".to_owned(),
        username: "u".to_owned(),
        subscribe_topic: "s/down".to_owned(),
        keep_alive_s: 30,
    };
    let mut qf100 = Model::Qf100.start(&Settings {
        told: Some(told),
        ..settings()
    });
    let login = qf100.login();
    assert_eq!(
        (login.client_id.as_str(), login.username.as_str()),
        ("c", "u")
    );
    assert_eq!(qf100.subscriptions(), ["s/down"]);
    let heartbeats = qf100.heartbeat();
    let [Action::Send(heartbeat)] = heartbeats.as_slice() else {
        panic!("{heartbeats:?}");
    };
    assert_eq!(heartbeat.topic, "devices/u/heartbeat");
}

#[test]
fn a_morefun_recognises_the_last_twenty_messages() {
    let mut morefun = Model::MorefunEt389.start(&settings());
    let log = "/ota/pk12345/SN0001/user/log";
    let said = announce(Some(ID), Some(50_000), "received 50000");
    let expected = sorted(vec![sends(log, "morefun-et389.received.json"), said]);
    let done = does(&mut morefun, "morefun-et389.payment.json");
    assert_eq!(sorted(done), expected);
    let again = does(&mut morefun, "morefun-et389.payment.json");
    assert_eq!(again, [Action::Duplicate { id: ID.to_owned() }]);
    let shown = does(&mut morefun, "morefun-et389.qr.json");
    assert_eq!(shown[1], show_qr(Some(50_000)));
    for number in 0..20 {
        let other = format!(r#"{{"broadcast_type":1,"money":"1.00","request_id":"{number}"}}"#);
        assert_eq!(morefun.receive("t", other.as_bytes()).len(), 2);
    }
    // Twenty others later it has forgotten.
    assert_eq!(does(&mut morefun, "morefun-et389.payment.json").len(), 2);
}

#[test]
fn a_morefun_makes_its_password_itself() {
    // Computed with openssl.
    let expected = "82B9A1EBEB53542CE3A090300887AF9BA45229A8785539FF6D7CECBD66636123";
    let login = Model::MorefunEt389.start(&settings()).login();
    assert_eq!(login.password, expected);
    assert_eq!(login.username, "SN0001");
}

#[test]
fn a_quecpython_box_recognises_nothing() {
    let mut quecpython = Model::Quecpython.start(&settings());
    let said = announce(Some(ID), Some(50_000), "received 50000");
    for _ in 0..2 {
        let done = does(&mut quecpython, "quecpython.payment.json");
        assert_eq!(done, std::slice::from_ref(&said));
    }
}

#[test]
fn an_eg800ak_answers_everything() {
    let mut eg800ak = Model::Eg800ak.start(&settings());
    let health = "kiotel/client1/sb/862000000000011/health";
    let said = announce(Some(ID), Some(50_000), "received 50000");
    let first = sorted(vec![sends(health, "eg800ak.received.json"), said]);
    assert_eq!(sorted(does(&mut eg800ak, "eg800ak.payment.json")), first);
    let duplicate = Action::Duplicate { id: ID.to_owned() };
    let again = sorted(vec![
        sends(health, "eg800ak.received-again.json"),
        duplicate,
    ]);
    assert_eq!(sorted(does(&mut eg800ak, "eg800ak.payment.json")), again);
    let commands = eg800ak.subscriptions()[1].clone();
    let done = eg800ak.receive(&commands, &golden("eg800ak.set-volume.json"));
    let expected = vec![
        sends(health, "eg800ak.command-done.json"),
        Action::Volume(70),
    ];
    assert_eq!(sorted(done), sorted(expected));
    let unsigned = golden("eg800ak.set-volume.json");
    let unsigned = String::from_utf8(unsigned)
        .unwrap()
        .replace("\"signature\":\"", "\"signature\":\"0");
    let refused = eg800ak.receive(&commands, unsigned.as_bytes());
    let expected = vec![sends(health, "eg800ak.command-failed.json")];
    assert_eq!(sorted(refused), sorted(expected));
}

#[test]
fn a_q161_tells_codes_clips_and_speech_apart() {
    let mut q161 = Model::Q161.start(&settings());
    let said = announce(None, None, "pembayaran qris diterima 50 ribu rupiah");
    assert_eq!(does(&mut q161, "q161.payment.txt"), [said]);
    assert_eq!(does(&mut q161, "q161.qr.txt"), [show_qr(None)]);
    let tested = announce(None, None, "ini suara percobaan");
    assert_eq!(does(&mut q161, "q161.play-test.txt"), [tested]);
    let missing = q161.receive("topic_SN0001", b"pembayaran.mp3+whistle.mp3");
    assert!(
        matches!(missing[..], [Action::Ignore { .. }]),
        "{missing:?}"
    );
    let text = "Nominal tidak diterima".to_owned();
    assert_eq!(
        does(&mut q161, "q161.qr-refused.txt"),
        [Action::Say { text }]
    );
    let request = Outgoing {
        topic: "qris/request".to_owned(),
        payload: String::from_utf8(golden("q161.qr-request.txt")).unwrap(),
        is_ack: false,
    };
    assert_eq!(q161.request_qr(rupiah(50_000)), [Action::Send(request)]);
}

#[test]
fn what_a_box_cannot_read_it_ignores() {
    for model in [
        Model::Qf100,
        Model::MorefunEt389,
        Model::Quecpython,
        Model::Eg800ak,
    ] {
        let mut firmware = model.start(&settings());
        for bad in [
            "",
            "x",
            "[]",
            "{}",
            r#"{"money":"50000","request_id":"a","tx_id":"a"}"#,
        ] {
            for topic in firmware.subscriptions() {
                let done = firmware.receive(&topic, bad.as_bytes());
                assert!(
                    matches!(done[..], [Action::Ignore { .. }]),
                    "{model:?} {bad}: {done:?}"
                );
            }
        }
    }
}
