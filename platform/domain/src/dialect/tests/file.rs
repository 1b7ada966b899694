//! Files of dialects: what is refused, and where.

use super::super::*;

#[test]
fn every_built_in_dialect_reads_and_has_the_name_of_its_file() {
    for name in NAMES {
        let dialect = Dialect::parse(source(name).unwrap());
        let dialect =
            dialect.unwrap_or_else(|error| panic!("config/dialects/{name}.toml: {error}"));
        assert_eq!(dialect.name, *name);
        assert!(!dialect.sources.is_empty(), "{name}");
    }
    assert_eq!(source("nobody"), None);
    assert!(built_in("nobody").unwrap().is_none());
}

/// A file with one line replaced.
fn changed(line: &str, by: &str) -> String {
    let text = source("bri").unwrap();
    assert!(text.contains(line), "{line}");
    text.replacen(line, by, 1)
}

#[test]
fn what_is_wrong_is_refused_with_its_line_and_key() {
    let line_of = |text: &str, key: &str| {
        let at = text.lines().position(|line| line.contains(key)).unwrap();
        at + 1
    };
    for (line, by, key, says) in [
        ("title = ", "titel = ", "titel", "unknown field"),
        (
            "[\"/sessionID\"]",
            "[\"sessionID\"]",
            "event_id",
            "JSON pointer",
        ),
        (
            "[\"/sessionID\"]",
            "[\"/session//ID\"]",
            "event_id",
            "names nothing",
        ),
        (
            "\"{terminal_id}\" }",
            "\"{till}\" }",
            "additional_info",
            "{till} names nothing",
        ),
        (
            "validity = \"{expires_at}\"",
            "validity = \"{expires_at\"",
            "validity",
            "without its",
        ),
        (
            "reference_length = 35",
            "reference_length = 7",
            "reference_length",
            "at least 12",
        ),
        (
            "form = \"snap\"",
            "form = \"fixed\"",
            "form",
            "answer.success",
        ),
        (
            "\"00\" = \"success\"",
            "\"00\" = \"paid\"",
            "\"00\"",
            "meaning of a status",
        ),
        (
            "signature = [\"snap_symmetric\"]",
            "signature = []",
            "signature",
            "names no kind",
        ),
        (
            "signature = [\"snap_symmetric\"]",
            "signature = [\"rsa\"]",
            "signature",
            "kind of signature",
        ),
        (
            "signature = [\"snap_symmetric\"]",
            "signature = [\"static_token\"]",
            "signature",
            "token_header",
        ),
        (
            "signature = [\"snap_symmetric\"]",
            "signature = [\"doku_words\"]",
            "signature",
            "inbound.digest",
        ),
        (
            "token_path = \"/snap/v1.1",
            "token_path = \"snap/v1.1",
            "token_path",
            "begins with /",
        ),
        (
            "path = \"/v1.0/qr-dynamic-mpm/qr-mpm-query\"",
            "path = \"/device/x\"",
            "path = \"/device",
            "platform's own",
        ),
        (
            "asked_service = \"17\"",
            "fields = { order = \"{tx}\" }\nasked_service = \"17\"",
            "fields",
            "{tx} names nothing",
        ),
        (
            "reference_length = 35",
            "partial_refunds = true\nreference_length = 35",
            "partial_refunds",
            "needs [outbound.refund]",
        ),
        (
            "currency = [\"/amount/currency\"]",
            "refund_no = [\"/refundNo\"]\ncurrency = [\"/amount/currency\"]",
            "refund_no",
            "only with outbound.partial_refunds",
        ),
        ("name = \"bri\"", "name = \"BRI!\"", "name", "a to z"),
    ] {
        let text = changed(line, by);
        let error = Dialect::parse(&text).expect_err(by);
        let found = error.to_string();
        assert!(error.message.contains(says), "{by}: {found}");
        assert_eq!(
            error.line,
            line_of(&text, by.lines().next().unwrap()),
            "{by}: {found}"
        );
        assert!(
            key.starts_with(&error.key) || error.key.contains(key),
            "{by}: {found}"
        );
    }
    // What is missing is named with the table in which it is missing.
    for (line, says) in [
        ("title = \"BRI\"\n", "title"),
        ("order = [\"/originalPartnerReferenceNo\"]\n", "order"),
    ] {
        let error = Dialect::parse(&changed(line, "")).unwrap_err();
        assert!(error.message.contains(says), "{error}");
    }
}

#[test]
fn a_path_of_a_placeholder_or_of_ours_is_refused() {
    for path in [
        "/x?y=1",
        "/x/{id}",
        "x",
        "/",
        "/admin/users",
        "/device/heartbeat",
    ] {
        let text = changed("\"/v1.1/qr-dynamic/qr-mpm-notify\"", &format!("{path:?}"));
        assert!(Dialect::parse(&text).is_err(), "{path}");
    }
}
