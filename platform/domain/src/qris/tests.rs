//! Published codes of real merchants as parser fixtures (never shown as payable), and properties of our own.

use proptest::prelude::*;
use wire::rupiah::Rupiah;

use super::build::object;
use super::*;
use crate::registration::Registration;

/// Dynamic, with the prompt for a tip (55) and sen in the amount.
const D1: &str = "00020101021226680016ID.CO.TELKOM.WWW011893600898025599662702150001952559966270303UMI51440014ID.CO.QRIS.WWW0215ID10200211817450303UMI520457325303360540825578.005502015802ID5916InterActive Corp6013KOTA SURABAYA61056013662130509413255111630439B7";
/// Dynamic, medium merchant.
const D2: &str = "00020101021226610016ID.CO.SHOPEE.WWW01189360091800216005230208216005230303UME51440014ID.CO.QRIS.WWW0215ID10243228429300303UME52047929530336054073331.005802ID5907Pakasir6012KAB. KEBUMEN6105543926222051816409909193289695863043A49";
/// Static.
const S1: &str = "00020101021126570011ID.DANA.WWW011893600915302259148102090225914810303UMI51440014ID.CO.QRIS.WWW0215ID10200176114730303UMI5204581253033605802ID5922Warung Sayur Bu Sugeng6010Kab. Demak610559567630458C7";
/// Static, with additional data.
const S2: &str = "00020101021126680016ID.CO.TELKOM.WWW011893600898026635207502150001952663520750303UMI51440014ID.CO.QRIS.WWW0215ID10211254059720303UMI5204549953033605502015802ID5906BIOLBE6011KAB. MALANG610565168622005091147938120703A03630404CB";
/// Static, tag 51 under an acquirer's own GUID.
const S3: &str = "00020101021126740025ID.CO.BANKNEOCOMMERCE.WWW011893600490594039289802120005001207420303UMI51550025ID.CO.BANKNEOCOMMERCE.WWW0215ID10243262829500303UMI5204526253033605802ID5908FAST SMM6007BANDUNG6105409116233052230017964618501075763200703T0163040ABB";
/// D1 turned static without a new CRC.
const N1: &str = "00020101021126680016ID.CO.TELKOM.WWW011893600898025599662702150001952559966270303UMI51440014ID.CO.QRIS.WWW0215ID10200211817450303UMI520457325303360540825578.005502015802ID5916InterActive Corp6013KOTA SURABAYA61056013662130509413255111630439B7";

fn registration() -> Registration {
    Registration {
        acquirer_guid: "ID.CO.EXAMPLE.WWW".parse().unwrap(),
        pan: "936009990000000017".parse().unwrap(),
        merchant_id: "000000000000017".parse().unwrap(),
        criteria: MerchantCriteria::Umi,
        nmid: "ID9900000000017".parse().unwrap(),
        mcc: "5812".parse().unwrap(),
        name: "Warung Kopi Bu Sri".to_owned(),
        city: "Jakarta Selatan".to_owned(),
        postal_code: Some("12190".to_owned()),
    }
}

#[test]
fn published_codes_encode_again_to_the_same_bytes() {
    for (name, payload) in [("D1", D1), ("D2", D2), ("S1", S1), ("S2", S2), ("S3", S3)] {
        let code: QrisCode = payload
            .parse()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(code.to_string(), payload, "{name}");
    }
}

#[test]
fn a_published_dynamic_code_is_understood() {
    let code: QrisCode = D1.parse().unwrap();
    assert_eq!(code.point_of_initiation(), PointOfInitiation::Dynamic);
    let account = code.merchant_account().unwrap();
    assert_eq!(account.tag.number(), 26);
    assert_eq!(account.guid, "ID.CO.TELKOM.WWW");
    assert_eq!(account.pan.as_ref().unwrap().as_str(), "936008980255996627");
    assert_eq!(account.merchant_id.as_deref(), Some("000195255996627"));
    assert_eq!(account.criteria, Some(MerchantCriteria::Umi));
    assert_eq!(code.national_account().unwrap().guid, QRIS_GUID);
    assert_eq!(code.nmid().unwrap().as_str(), "ID1020021181745");
    assert_eq!(code.mcc().as_str(), "5732");
    assert_eq!(code.amount(), Some(Decimal::from(25_578)));
    assert_eq!(code.tip(), Some(Tip::Free));
    assert_eq!(code.country(), "ID");
    assert_eq!(code.name(), "InterActive Corp");
    assert_eq!(code.city(), "KOTA SURABAYA");
    assert_eq!(code.postal_code(), Some("60136"));
    assert_eq!(
        code.additional_data().reference.as_ref().unwrap().as_str(),
        "413255111"
    );
    assert_eq!(code.additional_data().terminal_label, None);
}

#[test]
fn published_static_codes_are_understood() {
    let s1: QrisCode = S1.parse().unwrap();
    assert_eq!(s1.point_of_initiation(), PointOfInitiation::Static);
    assert_eq!(s1.amount(), None);
    assert_eq!(s1.name(), "Warung Sayur Bu Sugeng");
    assert_eq!(s1.additional_data(), &AdditionalData::default());
    let s2: QrisCode = S2.parse().unwrap();
    assert_eq!(
        s2.additional_data()
            .terminal_label
            .as_ref()
            .unwrap()
            .as_str(),
        "A03"
    );
    let s3: QrisCode = S3.parse().unwrap();
    assert_eq!(
        s3.national_account().unwrap().guid,
        "ID.CO.BANKNEOCOMMERCE.WWW"
    );
    assert_eq!(s3.nmid().unwrap().as_str(), "ID1024326282950");
    assert_eq!(
        s3.additional_data()
            .terminal_label
            .as_ref()
            .unwrap()
            .as_str(),
        "T01"
    );
}

#[test]
fn a_changed_code_without_a_new_crc_is_refused() {
    assert_eq!(
        N1.parse::<QrisCode>(),
        Err(ParseError::Crc {
            found: "39B7".to_owned(),
            computed: 0xFDF2
        })
    );
}

#[test]
fn any_changed_character_is_refused() {
    for position in 0..S1.len() {
        let mut bytes = S1.as_bytes().to_vec();
        bytes[position] = if bytes[position] == b'7' { b'8' } else { b'7' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(changed.parse::<QrisCode>().is_err(), "position {position}");
    }
}

/// A code made of `objects`, with a right CRC, so that what is refused is the rule under test.
fn sealed(objects: &[(u8, &str)]) -> String {
    let objects: Vec<DataObject> = objects
        .iter()
        .map(|(tag, value)| object(Tag::of(*tag), *value))
        .collect();
    let body = format!("{}6304", tlv::encode(&objects));
    format!("{body}{:04X}", crc16(body.as_bytes()))
}

const PLAIN: [(u8, &str); 8] = [
    (0, "01"),
    (1, "12"),
    (26, "0003A.B0118936008980255996627"),
    (52, "5812"),
    (53, "360"),
    (58, "ID"),
    (59, "Warung"),
    (60, "Demak"),
];

fn plain_with(tag: u8, value: &'static str) -> String {
    let mut objects: Vec<(u8, &str)> = PLAIN
        .iter()
        .copied()
        .filter(|(other, _)| *other != tag)
        .collect();
    objects.push((tag, value));
    sealed(&objects)
}

#[test]
fn values_that_a_tag_does_not_allow_are_named() {
    assert!(sealed(&PLAIN).parse::<QrisCode>().is_ok());
    for (tag, value) in [
        (1, "13"),
        (26, "0003A.B01179360089802559966"),
        (26, "nonsense"),
        (51, "0014ID.CO.QRIS.WWW0214ID102002118174"),
        (52, "58"),
        (53, "840"),
        (54, "0"),
        (54, "1,5"),
        (54, "-1"),
        (54, ".5"),
        (54, "1.2.3"),
        (54, "12345678901234"),
        (55, "04"),
        (56, "500"),
        (57, "5"),
        (58, "id"),
        (59, "12345678901234567890123456"),
        (60, "1234567890123456"),
        (61, "12345678901"),
        (62, "0501"),
    ] {
        match plain_with(tag, value).parse::<QrisCode>() {
            Err(ParseError::Value { tag: named, .. }) => assert_eq!(named.number(), tag, "{value}"),
            other => panic!("{tag} {value}: {other:?}"),
        }
    }
}

#[test]
fn tips_are_understood() {
    let with = |objects: &[(u8, &'static str)]| {
        let mut all = PLAIN.to_vec();
        all.extend([(54, "21004")]);
        all.extend(objects);
        let text = sealed(&all);
        let code: QrisCode = text.parse().unwrap();
        assert_eq!(code.to_string(), text);
        code.tip()
    };
    assert_eq!(with(&[]), None);
    assert_eq!(with(&[(55, "01")]), Some(Tip::Free));
    assert_eq!(
        with(&[(55, "02"), (56, "500")]),
        Some(Tip::Fixed(500.into()))
    );
    assert_eq!(
        with(&[(55, "03"), (57, "2.50")]),
        Some(Tip::Percentage(Decimal::new(25, 1)))
    );
}

#[test]
fn tags_that_every_code_has_are_missed() {
    for missing in [26, 52, 53, 58, 59, 60] {
        let objects: Vec<(u8, &str)> = PLAIN
            .iter()
            .copied()
            .filter(|(tag, _)| *tag != missing)
            .collect();
        assert_eq!(
            sealed(&objects).parse::<QrisCode>(),
            Err(ParseError::Missing {
                tag: Tag::of(missing)
            })
        );
    }
}

#[test]
fn texts_that_are_no_codes_are_refused() {
    for text in [
        "",
        "6304",
        "0002",
        "0002016304",
        "00020163041D0é",
        "https://example.com",
        "000201630463047A5D",
    ] {
        assert!(text.parse::<QrisCode>().is_err(), "{text}");
    }
    let long = format!("000201{}", "0".repeat(CODE_LEN_MAX));
    assert_eq!(long.parse::<QrisCode>(), Err(ParseError::TooLong));
    assert_eq!(
        plain_with(63, "1234").parse::<QrisCode>(),
        Err(ParseError::Duplicate { tag: CRC })
    );
    let lower = S1.replace("58C7", "58c7");
    assert_eq!(lower.parse::<QrisCode>(), Err(ParseError::Frame));
}

#[test]
fn unknown_tags_keep_their_place() {
    let mut objects = PLAIN.to_vec();
    objects.insert(5, (99, "later standard"));
    objects.insert(3, (64, "0002ID0106Warung"));
    let text = sealed(&objects);
    assert_eq!(text.parse::<QrisCode>().unwrap().to_string(), text);
}

#[test]
fn names_are_cut_to_what_a_code_can_carry() {
    let mut registration = registration();
    for (name, written) in [
        ("Kafé  Ñoño\t& Crème", "Kafe Nono & Creme"),
        (
            "Warung Makan Sederhana Bu Haji Siti",
            "Warung Makan Sederhana Bu",
        ),
        ("Toko 24 huruf lalu spasi ya", "Toko 24 huruf lalu spasi"),
        ("店", "MERCHANT"),
        ("", "MERCHANT"),
    ] {
        registration.name = name.to_owned();
        assert_eq!(QrisCode::static_(&registration, None).name(), written);
    }
    registration.city = "Kabupaten Kepulauan".to_owned();
    registration.postal_code = Some("  ".to_owned());
    let code = QrisCode::static_(&registration, None);
    assert_eq!(code.city(), "Kabupaten Kepul");
    assert_eq!(code.postal_code(), None);
    assert_eq!(code.to_string().parse::<QrisCode>().as_ref(), Ok(&code));
}

#[test]
fn a_dynamic_code_needs_a_positive_amount() {
    let reference = Reference::from_u128(1);
    for amount in [0, -1, 10_000_000_000_000] {
        let amount = Rupiah::from_i64(amount);
        assert_eq!(
            QrisCode::dynamic(&registration(), amount, &reference, None),
            Err(BuildError::Amount)
        );
    }
}

proptest! {
    #[test]
    fn every_code_we_build_reads_back_with_its_amount(
        rupiah in 1_i64..=9_999_999_999_999,
        id in any::<u128>(),
        name in "\\PC{0,60}",
        city in "\\PC{0,40}",
        postal_code in proptest::option::of("\\PC{0,20}"),
        label in proptest::option::of("[!-~]{1,25}"),
    ) {
        let registration = Registration { name, city, postal_code, ..registration() };
        let label: Option<TerminalLabel> = label.map(|label| label.parse().unwrap());
        let reference = Reference::from_u128(id);
        let code = QrisCode::dynamic(&registration, Rupiah::from_i64(rupiah), &reference, label.as_ref()).unwrap();
        let text = code.to_string();
        prop_assert!(text.is_ascii() && text.len() <= CODE_LEN_MAX);
        let (body, crc) = text.split_at(text.len() - 4);
        prop_assert_eq!(crc, format!("{:04X}", crc16(body.as_bytes())));
        let tag_54 = format!("54{:02}{rupiah}", rupiah.to_string().len());
        prop_assert!(text.contains(&tag_54));
        let read: QrisCode = text.parse().unwrap();
        prop_assert_eq!(read.amount(), Some(Decimal::from(rupiah)));
        prop_assert_eq!(read.point_of_initiation(), PointOfInitiation::Dynamic);
        prop_assert_eq!(read.additional_data().reference.as_ref(), Some(&reference));
        prop_assert_eq!(read, code);
    }

    #[test]
    fn a_static_code_reads_back_without_an_amount(name in "\\PC{0,60}", label in proptest::option::of("[!-~]{1,25}")) {
        let registration = Registration { name, ..registration() };
        let label: Option<TerminalLabel> = label.map(|label| label.parse().unwrap());
        let code = QrisCode::static_(&registration, label.as_ref());
        let read: QrisCode = code.to_string().parse().unwrap();
        prop_assert_eq!(read.amount(), None);
        prop_assert_eq!(read.point_of_initiation(), PointOfInitiation::Static);
        prop_assert_eq!(read, code);
    }

    #[test]
    fn the_parser_never_panics(text in "\\PC{0,200}", inner in "[0-9]{0,80}") {
        let _ = text.parse::<QrisCode>();
        let body = format!("000201{inner}6304");
        let _ = format!("{body}{:04X}", crc16(body.as_bytes())).parse::<QrisCode>();
    }
}

/// The text with its own CRC.
fn closed(body: &str) -> QrisCode {
    let body = format!("{body}6304");
    format!("{body}{:04X}", crc16(body.as_bytes()))
        .parse()
        .unwrap_or_else(|error| panic!("{body}: {error}"))
}

#[test]
fn a_code_is_a_merchants_own_when_every_account_in_it_is() {
    let ours = registration();
    let payee = Payee {
        nmid: ours.nmid.clone(),
        pan: ours.pan.clone(),
    };
    let label: TerminalLabel = "T1".parse().unwrap();
    let own = QrisCode::static_(&ours, Some(&label));
    let unlabelled = QrisCode::static_(&ours, None);
    assert_eq!(own.check_payee(&payee, "T1"), Ok(()));
    assert_eq!(unlabelled.check_payee(&payee, "T1"), Ok(()));
    assert_eq!(own.check_payee(&payee, "T2"), Err(NotIts::Terminal));
    for foreign in [D1, D2, S1, S2, S3] {
        let foreign: QrisCode = foreign.parse().unwrap();
        assert_eq!(foreign.check_payee(&payee, "T1"), Err(NotIts::Payee));
    }
    // Our code with one thing changed, or with one account more. The CRC is right each time.
    let text = unlabelled.to_string();
    let body = &text[..text.len() - 8];
    let stranger = tlv::encode(&[object(
        Tag::of(27),
        tlv::encode(&[
            object(ACCOUNT_GUID, "ID.CO.OTHER.WWW"),
            object(ACCOUNT_PAN, "936001110000000011"),
        ]),
    )]);
    let nameless = tlv::encode(&[object(
        Tag::of(27),
        tlv::encode(&[object(ACCOUNT_GUID, "ID.CO.OTHER.WWW")]),
    )]);
    for changed in [
        body.replace(ours.pan.as_str(), "936001110000000011"),
        body.replace(ours.nmid.as_str(), "ID9900000000099"),
        format!("{body}{stranger}"),
        format!("{body}{nameless}"),
        format!(
            "{body}{}",
            tlv::encode(&[object(Tag::of(4), "5555555555554444")])
        ),
        format!("{body}{}", tlv::encode(&[object(Tag::of(47), "somewhere")])),
    ] {
        assert_ne!(changed, body);
        let code = closed(&changed);
        assert_eq!(
            code.check_payee(&payee, "T1"),
            Err(NotIts::Payee),
            "{changed}"
        );
    }
}
