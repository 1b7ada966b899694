//! What holds for every message and for bytes of any kind.

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;
use wire::Language;
use wire::speech::Kind;

use super::*;

fn amount() -> impl Strategy<Value = i64> {
    1..=10_000_000i64
}

proptest! {
    #[test]
    fn reading_never_panics(payload in prop::collection::vec(any::<u8>(), 0..600)) {
        for profile in Profile::all_built_in() {
            for topic in topics_of(profile) {
                let _read = profile.read(&topic, &payload, &values());
            }
        }
    }

    #[test]
    fn reading_json_never_panics(members in prop::collection::btree_map("[a-z_]{1,12}", "\\PC{0,20}", 0..6)) {
        let payload = json!(members).to_string();
        for profile in Profile::all_built_in() {
            for topic in topics_of(profile) {
                let _read = profile.read(&topic, payload.as_bytes(), &values());
            }
        }
    }

    #[test]
    fn the_amount_that_a_box_reads_is_the_amount_that_was_paid(rupiah in amount()) {
        let payment = PaymentSuccess { amount: Rupiah::from_i64(rupiah), ..payment() };
        let message = DownlinkMessage::PaymentSuccess(payment);
        let read = |profile: &str, pointer: &str| {
            let rendered = render(super::profile(profile), &message).unwrap();
            let json: Value = serde_json::from_slice(&rendered.payload).unwrap();
            json.pointer(pointer).unwrap().clone()
        };
        prop_assert_eq!(read("qf100", "/data/pay-amount"), json!(rupiah));
        for (profile, pointer) in [
            ("morefun-et389", "/money"), ("quecpython", "/money"), ("eg800ak", "/amount"),
        ] {
            let stated = read(profile, pointer);
            // Digits, a point, two zeros: the hundredths of a rupiah when the point is left out, as these boxes do.
            let hundredths: i64 = stated.as_str().unwrap().replace('.', "").parse().unwrap();
            prop_assert_eq!(hundredths, rupiah * 100);
        }
        let echo = json!({ "request_id": "0190f3a1c0de7abc8def0123456789ab", "money": read("morefun-et389", "/money") });
        let uplink = profile("morefun-et389").read(
            "/ota/pk12345/SN0001/user/log", echo.to_string().as_bytes(), &values());
        let amount = Some(Rupiah::from_i64(rupiah));
        prop_assert_eq!(uplink, VendorUplink::Received { event_id: super::payment().event_id, amount });
    }

    #[test]
    fn a_q161_is_asked_for_what_it_asked(rupiah in amount()) {
        let request = format!("SN0001|{}", rupiah * 100);
        let read = profile("q161").read("qris/request", request.as_bytes(), &values());
        prop_assert_eq!(read, VendorUplink::QrRequest { amount: Rupiah::from_i64(rupiah) });
    }

    #[test]
    fn messages_are_bounded_and_json_is_valid(
        name in "\\PC{0,100}", sentence in "\\PC{1,200}", rupiah in amount(), bits: u128,
    ) {
        let mut payment = PaymentSuccess {
            event_id: wire::ids::EventId::from_uuid(Uuid::from_u128(bits)),
            merchant_name: name,
            amount: Rupiah::from_i64(rupiah),
            ..payment()
        };
        payment.speech.text = sentence;
        let message = DownlinkMessage::PaymentSuccess(payment);
        for profile in Profile::all_built_in() {
            let Ok(rendered) = render(profile, &message) else {
                continue;
            };
            prop_assert!(rendered.payload.len() <= 4096);
            if profile.name() != "q161" {
                prop_assert!(serde_json::from_slice::<Value>(&rendered.payload).is_ok());
            }
        }
    }

    #[test]
    fn clips_are_those_of_the_grammar_in_the_language_of_the_box(
        language in prop::sample::select(&Language::ALL[..]), merchant: bool, late: bool,
        rupiah in prop_oneof![amount(), 0..=i64::try_from(wire::speech::MAX).unwrap()],
    ) {
        let amount = Rupiah::from_i64(rupiah);
        let merchant = merchant.then_some("Warung Sari");
        let speech = wire::speech::payment(language, amount, merchant).unwrap();
        let payment = PaymentSuccess { amount, speech, ..payment() };
        let at = if late { payment.delayed_after } else { now() };
        let message = DownlinkMessage::PaymentSuccess(payment);
        let rendered = profile("q161").render(&message, &values(), at).unwrap();
        let kind = if late { Kind::Delayed(amount) } else { Kind::Paid(amount) };
        let clips = wire::speech::sentence(language, kind, None).unwrap().clips();
        let expected = clips.iter().map(|clip| format!("{clip}.mp3")).collect::<Vec<_>>();
        prop_assert_eq!(text(&rendered), expected.join("+"));
    }

    #[test]
    fn the_id_of_a_payment_is_its_own_and_comes_back(a: u128, b: u128) {
        let sent = [a, b].map(|bits| {
            let event_id = wire::ids::EventId::from_uuid(Uuid::from_u128(bits));
            let message = DownlinkMessage::PaymentSuccess(PaymentSuccess { event_id, ..payment() });
            let rendered = render(profile("eg800ak"), &message).unwrap();
            let json: Value = serde_json::from_slice(&rendered.payload).unwrap();
            (event_id, json["tx_id"].as_str().unwrap().to_owned())
        });
        prop_assert_eq!(sent[0].1 == sent[1].1, a == b);
        for (event_id, tx_id) in sent {
            let ack = json!({ "type": "payment_ack", "tx_id": tx_id, "status": "accepted" });
            let topic = "kiotel/client1/sb/862000000000011/health";
            let read = profile("eg800ak").read(topic, ack.to_string().as_bytes(), &values());
            prop_assert_eq!(read, VendorUplink::Received { event_id, amount: None });
        }
    }

    #[test]
    fn two_boxes_never_have_a_topic_in_common(a in "[!-~]{1,20}", b in "[!-~]{1,20}") {
        let of = |profile: &Profile, serial: &str| {
            let values = BoxValues { serial: serial.to_owned(), imei: Some(serial.to_owned()), ..values() };
            let topics = profile.topics(&values)?.ok()?;
            Some(topics.subscribe)
        };
        for profile in Profile::all_built_in() {
            let (Some(one), Some(other)) = (of(profile, &a), of(profile, &b)) else {
                continue;
            };
            prop_assert_eq!(one.iter().any(|topic| other.contains(topic)), a == b);
            let wild = one.iter().any(|topic| topic.contains(['+', '#']));
            prop_assert!(!wild);
        }
    }

    #[test]
    fn parsing_a_profile_never_panics(text in "\\PC{0,300}", cut in 0..4000usize) {
        let _read = Profile::parse("x", &text);
        for (name, whole) in BUILT_IN {
            let cut = whole.floor_char_boundary(cut.min(whole.len()));
            let _read = Profile::parse(name, &whole[..cut]);
        }
    }
}

fn topics_of(profile: &Profile) -> Vec<String> {
    let Some(Ok(topics)) = profile.topics(&values()) else {
        return vec!["any".to_owned()];
    };
    topics.publish.into_iter().map(|own| own.topic).collect()
}
