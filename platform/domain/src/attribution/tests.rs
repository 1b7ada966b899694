use proptest::prelude::*;

use super::*;

fn terminal(number: u128, label: &str, partner_id: Option<&str>, store: Option<&str>) -> Candidate {
    Candidate {
        id: TerminalId::from_uuid(uuid::Uuid::from_u128(number)),
        outlet_id: OutletId::from_uuid(uuid::Uuid::from_u128(7)),
        terminal_label: label.to_owned(),
        partner_terminal_id: partner_id.map(str::to_owned),
        partner_store_id: store.map(str::to_owned),
        qr_mode: QrMode::Both,
    }
}

fn code(label: Option<&str>, id: Option<&str>, store: Option<&str>) -> PrintedCode {
    PrintedCode {
        terminal_label: label.map(str::to_owned),
        terminal_id: id.map(str::to_owned),
        store_id: store.map(str::to_owned),
        ..PrintedCode::default()
    }
}

/// The number of the terminal that is found, or what was tried.
fn found(code: &PrintedCode, candidates: &[Candidate]) -> Result<u128, Vec<Found>> {
    let mut tried = Vec::new();
    match named(code, candidates, &mut tried) {
        Some(one) => Ok(one.id.as_uuid().as_u128()),
        None => Err(tried.into_iter().map(|one| one.found).collect()),
    }
}

#[test]
fn a_name_means_the_label_the_partners_name_or_ours() {
    let ours = [
        terminal(1, "T001", Some("A01"), None),
        terminal(2, "t001", Some("T002"), None),
        terminal(3, "T002", None, None),
    ];
    for (label, id, number) in [
        (Some("T001"), None, 1),
        (Some("t001"), None, 2),
        (Some("t002"), None, 3),
        // A label is a label first; another name is the partner's first.
        (Some("T002"), None, 3),
        (None, Some("T002"), 2),
        (None, Some("A01"), 1),
        (Some("A01"), None, 1),
        (Some("nope"), Some("A01"), 1),
        (None, Some("T001"), 1),
    ] {
        assert_eq!(
            found(&code(label, id, None), &ours),
            Ok(number),
            "{label:?} {id:?}"
        );
    }
    let id = ours[2].id.to_string();
    assert_eq!(found(&code(None, Some(&id), None), &ours), Ok(3));
    let long = "x".repeat(30);
    let tried = found(&code(Some(&long), Some("nope"), None), &ours);
    assert_eq!(tried, Err(vec![Found::Malformed, Found::None]));
    assert_eq!(found(&code(None, None, Some("S")), &ours), Err(vec![]));
}

#[test]
fn the_partners_name_of_a_terminal_is_its_stores() {
    let ours = [
        terminal(1, "T001", Some("01"), Some("S1")),
        terminal(2, "T002", Some("01"), Some("S2")),
    ];
    assert_eq!(found(&code(None, Some("01"), Some("S2")), &ours), Ok(2));
    assert_eq!(
        found(&code(None, Some("01"), None), &ours),
        Err(vec![Found::Several])
    );
    assert_eq!(
        found(&code(None, Some("01"), Some("S3")), &ours),
        Err(vec![Found::None])
    );
    // An outlet without a name may be any store, and gives way to the one that is named.
    let ours = [
        terminal(1, "T001", Some("01"), None),
        terminal(2, "T002", Some("01"), Some("S2")),
    ];
    assert_eq!(found(&code(None, Some("01"), Some("S2")), &ours), Ok(2));
    assert_eq!(found(&code(None, Some("01"), Some("S1")), &ours), Ok(1));
}

#[test]
fn a_terminal_of_dynamic_codes_alone_takes_no_static_payment() {
    let mut ours = [
        terminal(1, "T001", Some("01"), None),
        terminal(2, "t001", None, None),
    ];
    ours[0].qr_mode = QrMode::Dynamic;
    assert_eq!(found(&code(Some("T001"), None, None), &ours), Ok(2));
    assert_eq!(
        found(&code(None, Some("01"), None), &ours),
        Err(vec![Found::NotStatic])
    );
    assert_eq!(sole(&ours).map(|one| one.id), Ok(ours[1].id));
    assert_eq!(sole(&ours[..1]), Err(Found::NotStatic));
    assert_eq!(sole(&[]), Err(Found::None));
    ours[0].qr_mode = QrMode::Static;
    assert_eq!(sole(&ours), Err(Found::Several));
}

#[test]
fn a_partners_name_is_short_and_visible() {
    for good in ["1", "G653420184", "Toko Budi 7", &"é".repeat(64)] {
        assert!(good.parse::<PartnerName>().is_ok(), "{good}");
    }
    for bad in ["", " ", " 1", "1 ", "a\nb", &"x".repeat(65)] {
        assert!(bad.parse::<PartnerName>().is_err(), "{bad:?}");
    }
}

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[Ab]{0,2}")
}

proptest! {
    /// Whatever is found was named, takes static payments, and stands in no other store than the one that its partner's
    /// name is of; and a message that names nothing finds nothing.
    #[test]
    fn what_is_found_was_named(
        label in text(), id in text(), store in text(),
        ours in proptest::collection::vec((text(), text(), text(), 0_usize..3), 0..6),
    ) {
        let ours: Vec<_> = ours.into_iter().enumerate().map(|(number, (label, id, store, mode))| Candidate {
            qr_mode: [QrMode::Static, QrMode::Dynamic, QrMode::Both][mode],
            ..terminal(number as u128, &label.unwrap_or_default(), id.as_deref(), store.as_deref())
        }).collect();
        let code = code(label.as_deref(), id.as_deref(), store.as_deref());
        let mut tried = Vec::new();
        let found = named(&code, &ours, &mut tried);
        match found {
            Some(one) => {
                prop_assert!(one.takes_static());
                let said: Vec<_> = [&label, &id].into_iter().flatten().collect();
                let is_named = said.iter().any(|text| text.eq_ignore_ascii_case(&one.terminal_label)
                    || (one.partner_terminal_id.as_ref() == Some(*text) && one.may_stand_in(store.as_deref())));
                prop_assert!(is_named, "{:?} {:?}", code, one);
            }
            None => prop_assert_eq!(tried.len(), usize::from(label.is_some()) + usize::from(id.is_some())),
        }
    }
}
