//! Profiles that cannot be used: each is refused with its line and key.

use super::*;

const GOOD: &str = include_str!("../../../../../config/profiles/eg800ak.toml");

/// The good profile with one text replaced; the line on which it was.
fn broken(from: &str, to: &str) -> (ProfileError, usize) {
    let at = GOOD
        .find(from)
        .unwrap_or_else(|| panic!("{from} is not there"));
    let line = GOOD[..at].matches('\n').count() + 1;
    let text = GOOD.replacen(from, to, 1);
    match Profile::parse("x", &text) {
        Err(error) => (error, line),
        Ok(_) => panic!("{to} is accepted"),
    }
}

#[test]
fn a_bad_profile_is_refused_with_line_and_key() {
    for (from, to, key) in [
        ("keep_alive_s = 60", "keep_alive = 60", "keep_alive"),
        ("keep_alive_s = 60", "keep_alive_s = \"60\"", "keep_alive_s"),
        (
            "keep_alive_s = 60",
            "keep_alive_s = 0",
            "transport.keep_alive_s",
        ),
        ("\"device-{imei}\"", "\"device\"", "transport.client_id"),
        (
            "\"device-{imei}\"",
            "\"device-{product_key}\"",
            "transport.client_id",
        ),
        ("chars = 32", "chars = 21", "transport.password"),
        ("chars = 32", "chars = 33", "transport.password"),
        (
            "chars = 32",
            "chars = 10, weaker = \"little room\"",
            "transport.password.weaker",
        ),
        (
            "chars = 32",
            "chars = 22, weaker = \"little room\"",
            "transport.password.weaker",
        ),
        (
            "chars = 32",
            "chars = 16, weaker = \" \"",
            "transport.password.weaker",
        ),
        (
            "{ rule = \"random\", chars = 32 }",
            "{ rule = \"hmac_sha256\", message = \"{imei}\", case = \"lower\", secret_chars = 21 }",
            "transport.password",
        ),
        (
            "{ rule = \"random\", chars = 32 }",
            "{ rule = \"hmac_sha256\" }",
            "transport.password",
        ),
        ("sb/{imei}\"", "sb/+\"", "topics.subscribe.payment"),
        (
            "sb/{imei}\"",
            "sb/{imei}{serial}\"",
            "topics.subscribe.payment",
        ),
        ("sb/{imei}\"", "sb/all\"", "topics.subscribe.payment"),
        ("sb/{imei}\"", "sb/{imie}\"", "topics.subscribe.payment"),
        ("sb/{imei}\"", "sb/{amount}\"", "topics.subscribe.payment"),
        ("sb/{imei}/cmd\"", "sb/{imei}\"", "topics.subscribe.payment"),
        ("form = \"hex\"", "form = \"short\"", "form"),
        ("bytes_max = 511", "bytes_max = 0", "messages.bytes_max"),
        (
            "topic = \"payment\"",
            "topic = \"paymnet\"",
            "messages.payment.topic",
        ),
        (
            "amount = \"{amount_decimal}\"",
            "amount = \"{amuont}\"",
            "messages.payment.json.amount",
        ),
        (
            "amount = \"{amount_decimal}\"",
            "amount = \"{volume}\"",
            "messages.payment.json.amount",
        ),
        ("amount = \"{amount_decimal}\"", "amount = 1.5", "amount"),
        (
            "[messages.command.set_volume]",
            "[messages.command.whistle]",
            "messages.command.whistle",
        ),
        ("\"{volume_percent}\"", "7", "messages.command.set_volume"),
        (
            "signature = \"{crc32}\"",
            "signature = \"{sha256}\"",
            "messages.command.set_volume.json.signature",
        ),
        ("means = \"received\"", "means = \"heard\"", "means"),
        ("id = \"/tx_id\"", "id = \"tx_id\"", "uplinks.0.id"),
    ] {
        let (error, line) = broken(from, to);
        assert_eq!(error.key, key, "{from} → {to}: {error}");
        // Where a whole message is wrong, the line is that of its first key.
        assert!(
            error.line.abs_diff(line) <= 3,
            "{from} → {to}: {error}, not line {line}"
        );
    }
}

#[test]
fn a_promise_that_the_uplinks_do_not_keep_is_refused() {
    let (error, line) = broken("confirmation = \"received\"", "confirmation = \"played\"");
    assert_eq!((error.key.as_str(), error.line), ("confirmation", line));
    let (error, line) = broken("confirmation = \"received\"", "confirmation = \"puback\"");
    assert_eq!((error.key.as_str(), error.line), ("confirmation", line));
    let (error, _) = broken("tx_id = \"{id}\"", "tx_id = \"{transaction_id}\"");
    assert_eq!(error.key, "deduplicates");
}

#[test]
fn weaker_passwords_are_said_to_be_weaker() {
    let strength = |name: &str| {
        let strength = profile(name).password_strength().unwrap();
        (strength.bits, strength.weaker.is_some())
    };
    assert_eq!(strength("morefun-et389"), (95, true));
    for name in ["qf100", "quecpython", "eg800ak", "q161"] {
        let (bits, weaker) = strength(name);
        assert!(bits >= 128 && !weaker, "{name}: {bits}");
    }
    let allowed = GOOD.replacen("chars = 32", "chars = 16, weaker = \"little room\"", 1);
    let allowed = Profile::parse("x", &allowed).unwrap();
    let strength = allowed.password_strength().unwrap();
    assert_eq!((strength.bits, strength.weaker), (95, Some("little room")));
}

#[test]
fn what_is_marked_as_unconfirmed_must_be_there() {
    let (error, line) = broken("key = \"transport.username\"", "key = \"transport.user\"");
    assert_eq!((error.key.as_str(), error.line), ("unconfirmed.key", line));
    assert_eq!(error.problem, "there is no transport.user");
}

#[test]
fn a_missing_field_and_a_missing_table_are_refused() {
    let (error, _) = broken("clean_session = true", "");
    assert_eq!(error.key, "clean_session");
    let (error, _) = broken(
        "means = \"received\"\nid = \"/tx_id\"",
        "means = \"received\"",
    );
    assert_eq!(error.key, "uplinks.0.means");
    let (error, _) = broken("[ids]\nform = \"hex\"", "");
    assert_eq!(error.key, "speaks");
    let (error, _) = broken("speaks = \"own_protocol\"", "speaks = \"contract\"");
    assert_eq!(error.key, "speaks");
}

#[test]
fn no_box_gets_topics_of_another_by_its_values() {
    for bad in [
        "",
        "+",
        "#",
        "a/b",
        "a+",
        "a#",
        "$SYS",
        "a\0",
        "a b",
        "ä",
        &"a".repeat(65),
    ] {
        let values = BoxValues {
            serial: (*bad).to_owned(),
            ..values()
        };
        let topics = profile("qf100").topics(&values).unwrap();
        assert_eq!(
            topics,
            Err(ValueError::Invalid(Placeholder::Serial)),
            "{bad:?}"
        );
        assert!(profile("qf100").login(&values).unwrap().is_err(), "{bad:?}");
    }
    let without = BoxValues {
        imei: None,
        ..values()
    };
    let topics = profile("eg800ak").topics(&without).unwrap();
    assert_eq!(topics, Err(ValueError::Missing(Placeholder::Imei)));
    // A value that the profile does not use may be anything.
    assert!(profile("qf100").topics(&without).unwrap().is_ok());
}
