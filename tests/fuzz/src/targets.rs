//! What is done with bytes of unknown senders. Nothing here may panic, and what is accepted must hold.

use std::net::IpAddr;
use std::sync::LazyLock;

use certs::csr::Csr;
use certs::identity::PeerIdentity;
use chrono::{DateTime, TimeDelta};
use domain::box_profile::{BoxValues, Profile, VendorUplink};
use domain::csv_file::CsvFile;
use domain::dialect::signature::{Credentials, Evidence, Headers};
use domain::dialect::{Dialect, KnownOrder, NAMES, built_in, source};
use domain::qris::QrisCode;
use domain::snap::minify::minify;
use domain::webhook::{TargetPolicy, check_url, is_public};
use serde_json::json;
use wire::message::{Command, Currency, PaymentSuccess};
use wire::speech::Kind;
use wire::{Channel, DeviceId, DownlinkMessage, Encoding, Language, Rupiah, Signer, UplinkMessage};

/// What is done with bytes.
pub(crate) type Target = fn(&[u8]);

/// Every target by its name, which is also that of its corpus.
pub(crate) const ALL: &[(&str, Target)] = &[
    ("packet", packet),
    ("uplink", uplink),
    ("envelope", envelope),
    ("qris", qris),
    ("callback", callback),
    ("snap", snap),
    ("dialect", dialect),
    ("csr", csr),
    ("box_profile", box_profile),
    ("webhook_target", webhook_target),
    ("csv_file", csv_file),
];

/// Does what the target of this name does.
pub(crate) fn run(name: &str, data: &[u8]) {
    let (_, target) = ALL.iter().find(|(known, _)| *known == name).unwrap();
    target(data);
}

/// The box that the golden envelopes are addressed to.
const OWN: &str = "sbx_0190f3a1c0de7abc8def0123456789ab";

/// The signer of the golden envelopes, whose key is no secret.
fn signer() -> Signer {
    Signer::from_seed("k1", &std::array::from_fn(|i| u8::try_from(i).unwrap())).unwrap()
}

/// A connection's bytes after TLS.
fn packet(data: &[u8]) {
    broker::fuzzing::read_packets(data);
}

/// What a box publishes, on every channel. The first byte says which.
fn uplink(data: &[u8]) {
    let Some((first, payload)) = data.split_first() else {
        return;
    };
    let channel = Channel::UPLINKS[usize::from(*first) % Channel::UPLINKS.len()];
    let Ok((message, _)) = UplinkMessage::decode(channel, payload) else {
        return;
    };
    assert_eq!(message.channel(), channel);
    for encoding in [Encoding::Json, Encoding::Msgpack] {
        let Ok(written) = message.encode(encoding) else {
            // What was read in one encoding may be too long in the other.
            continue;
        };
        let (again, found) = UplinkMessage::decode(channel, &written).unwrap();
        assert_eq!((again, found), (message.clone(), encoding));
    }
}

/// What a box is sent: the signed envelope, and the body inside it.
fn envelope(data: &[u8]) {
    let Some((first, payload)) = data.split_first() else {
        return;
    };
    let channel = Channel::DOWNLINKS[usize::from(*first) % Channel::DOWNLINKS.len()];
    let signer = signer();
    let own: DeviceId = OWN.parse().unwrap();
    if let Ok(message) = signer.verifying_keys().open(own, channel, payload) {
        assert_eq!(message.channel(), channel);
    }
    for encoding in [Encoding::Json, Encoding::Msgpack] {
        let Ok(message) = DownlinkMessage::decode_body(channel, encoding, payload) else {
            continue;
        };
        let Ok(sealed) = signer.seal(&message, own, encoding) else {
            continue;
        };
        let keys = signer.verifying_keys();
        let opened = keys.open(own, channel, &sealed).unwrap();
        // Times are written in milliseconds: what was finer is lost the first time, and nothing the second.
        let sealed = signer.seal(&opened, own, encoding).unwrap();
        assert_eq!(keys.open(own, channel, &sealed).unwrap(), opened);
    }
}

/// A QR code's text.
fn qris(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(code) = text.parse::<QrisCode>() {
        let written = code.to_string();
        assert_eq!(written.parse::<QrisCode>().unwrap(), code, "{written}");
    }
}

/// Reads a message of a built-in dialect as one that was sent and as an answer.
fn read(name: &str, data: &[u8]) -> std::sync::Arc<Dialect> {
    let dialect = built_in(name).unwrap().unwrap();
    read_in(&dialect, data);
    dialect
}

/// The standard's dialect of an acquirer that takes back parts, and says so.
static PARTS: LazyLock<Dialect> = LazyLock::new(|| {
    let parts = "partial_refunds = true\nreference_length = 35";
    let fields = "refund_no = [\"/additionalInfo/refundNo\"]\n\
                  refund_amount = [\"/additionalInfo/refundAmount/value\"]\ncurrency =";
    let text = source("snap")
        .unwrap()
        .replace("reference_length = 35", parts)
        .replacen("currency =", fields, 1);
    Dialect::parse(&text).unwrap()
});

/// Reads a message of a dialect as one that was sent and as an answer.
fn read_in(dialect: &Dialect, data: &[u8]) {
    let fields = dialect.fields_of(data);
    if let Ok(message) = dialect.read(&fields)
        && let Some(status) = message.happened()
        && message.amount.is_some()
    {
        message.callback(None, status).unwrap();
    }
    let name = dialect.stored_name(&fields).unwrap_or_default();
    let id = "tx_01890a5d3f2c7b3e8f00112233445566".parse().unwrap();
    let _ = dialect.read_answer(&fields, KnownOrder { name: &name, id });
}

/// An acquirer's callback, its signature verified.
fn callback(data: &[u8]) {
    read("hmac", data);
}

/// A SNAP BI notification, its signature verified over the minified body.
fn snap(data: &[u8]) {
    let minified = minify(data);
    assert_eq!(minify(&minified), minified);
    let dialect = read("snap", data);
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) {
        let again: serde_json::Value = serde_json::from_slice(&minified).unwrap();
        assert_eq!(again, value);
        assert_eq!(dialect.read(data), dialect.read(&minified));
    }
}

/// A message of every acquirer: no bytes are believed without a signature, and none make a reader panic.
fn dialect(data: &[u8]) {
    let mut credentials = Credentials::default();
    credentials.add_secret(b"a secret that the bytes do not know");
    for name in NAMES {
        let dialect = read(name, data);
        let evidence = Evidence {
            method: "POST",
            path: "/x",
            headers: &Headers::default(),
            body: data,
            fields: &dialect.fields_of(data),
        };
        let tolerance = TimeDelta::seconds(300);
        let verified =
            dialect
                .signing
                .verify(&evidence, &credentials, DateTime::UNIX_EPOCH, tolerance);
        assert!(verified.is_err(), "{name}");
    }
    read_in(&PARTS, data);
}

/// A signing request as PEM, or the DER inside one; and a certificate.
fn csr(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Csr::parse_verified(text);
    }
    let _ = Csr::from_der_verified(data);
    let _ = PeerIdentity::from_der(data);
}

/// What a box of another maker publishes. The first byte says of which profile and on which of its topics. The same bytes
/// as a profile; with one that can be read, a box joins, is sent a payment and the total of the day, and answers.
fn box_profile(data: &[u8]) {
    let values = BoxValues {
        serial: "SN0001".to_owned(),
        imei: Some("862000000000011".to_owned()),
        product_key: Some("pk12345".to_owned()),
        device_id: OWN.parse().unwrap(),
    };
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(profile) = Profile::parse("fuzz", text)
    {
        use_profile(&profile, &values);
    }
    let Some((first, payload)) = data.split_first() else {
        return;
    };
    let known = Profile::all_built_in();
    let profile = &known[usize::from(*first) % known.len()];
    let Some(Ok(topics)) = profile.topics(&values) else {
        return;
    };
    let place = usize::from(*first) / known.len() % topics.publish.len();
    let read = profile.read(&topics.publish[place].topic, payload, &values);
    if let VendorUplink::QrRequest { amount } = read {
        assert!(amount.to_i64() > 0);
    }
}

/// What a profile promises holds for every one that can be read.
fn use_profile(profile: &Profile, values: &BoxValues) {
    let (Some(Ok(_)), Some(Ok(topics)), Some(Ok(password)), Some(strength)) = (
        profile.login(values),
        profile.topics(values),
        profile.password(values, &[7; 32]),
        profile.password_strength(),
    ) else {
        return;
    };
    assert_eq!(strength.bits < 128, strength.weaker.is_some());
    assert!(password.password.len() >= 11);
    assert!(topics.subscribe.contains(&topics.downlinks[0]));
    let at = DateTime::UNIX_EPOCH;
    let until = at + TimeDelta::seconds(60);
    let amount = Rupiah::from_i64(1_234_567);
    let payment = DownlinkMessage::PaymentSuccess(PaymentSuccess {
        event_id: "evt_0190f3a1c0de7abc8def0123456789ab".parse().unwrap(),
        sequence: 7,
        binding_id: "bind_0190f3a1c0de7abc8def0123456789ab".parse().unwrap(),
        transaction_id: "tx_0190f3a1c0de7abc8def0123456789cd".parse().unwrap(),
        merchant_name: "Warung \"Sari\"".to_owned(),
        amount,
        currency: Currency::Idr,
        paid_at: at,
        sent_at: at,
        delayed_after: until,
        announce_until: until,
        replay: false,
        speech: wire::speech::payment(Language::Jv, amount, None).unwrap(),
    });
    let total = wire::speech::sentence(Language::Jv, Kind::Total(amount), None).unwrap();
    let total = DownlinkMessage::Command(Command {
        command_id: "cmd_0190f3a1c0de7abc8def0123456789ef".parse().unwrap(),
        kind: "announce_total".to_owned(),
        payload: json!({ "amount": amount, "speech": { "language": "jv", "text": total.text() } }),
        issued_at: at,
        expires_at: until,
    });
    for message in [payment, total] {
        let Ok(rendered) = profile.render(&message, values, at) else {
            continue;
        };
        assert!(topics.subscribe.contains(&rendered.topic));
        assert!(rendered.payload.len() <= 4096 && std::str::from_utf8(&rendered.payload).is_ok());
        // Past its time nothing is sent.
        assert!(profile.render(&message, values, until).is_err());
        for own in &topics.publish {
            let _read = profile.read(&own.topic, &rendered.payload, values);
        }
    }
}

/// A URL that somebody enters for a webhook: what is taken leads to the internet over TLS, in whatever way an address was
/// written, and is taken again as it is stored.
fn webhook_target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let strict = TargetPolicy::default();
    let Ok(url) = check_url(text, strict) else {
        return;
    };
    assert_eq!(url.scheme(), "https");
    let host = url.host_str().unwrap();
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        assert!(is_public(address), "{address}");
    }
    assert!(!host.trim_end_matches('.').ends_with("localhost"), "{host}");
    let again = check_url(url.as_str(), strict);
    // Escapes may make it longer than a URL may be.
    assert!(again.is_err() || again == Ok(url));
}

/// A file that somebody uploads. The first byte says which separator is expected, if any.
fn csv_file(data: &[u8]) {
    let Some((first, file)) = data.split_first() else {
        return;
    };
    let expected = [None, Some(b','), Some(b';')][usize::from(*first) % 3];
    let lines = file.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    let Ok(mut open) = CsvFile::open(file, expected) else {
        return;
    };
    let columns = open.columns().len();
    let mut last = open.header_line();
    while let Ok(Some(row)) = open.next_row() {
        assert!(
            row.line > last && row.line <= lines,
            "{} of {lines}",
            row.line
        );
        last = row.line;
        assert!(row.cell(columns).is_none());
    }
}
