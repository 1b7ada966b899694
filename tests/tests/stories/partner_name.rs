//! A partner's own names of merchants, outlets and terminals: payments of printed codes are attributed by them, what was
//! tried in vain is named, and an assignment teaches them.

use platform::config::Switch;
use tests::prelude::*;

use crate::attribution::{paid, terminal_of};
use crate::view::{confirm, open_alert, open_alerts, open_money};

/// Opens another outlet of a shop, with this name of the partner's; its id.
async fn outlet(world: &World, shop: &Shop, partner_store_id: &str) -> String {
    let path = format!("{}/outlets", shop.path());
    let body = json!({ "name": partner_store_id, "partner_store_id": partner_store_id });
    text(&world.admin().create(&path, &body).await, "id")
}

/// Sets up a terminal in an outlet; its id.
async fn terminal(world: &World, outlet: &str, body: Value) -> Value {
    let path = format!("/admin/outlets/{outlet}/terminals");
    world.admin().create(&path, &body).await["id"].clone()
}

async fn change(world: &World, path: &str, field: &str, value: Value) -> Value {
    let mut body = json!({});
    body[field] = value;
    world.admin().change(path, &body).await
}

/// Two merchants of the partner: one with a terminal, and one with stores S1 (terminals 01 and 02) and S2 (01).
struct Names {
    world: World,
    small: Shop,
    chain: Shop,
    /// S1's 01 and 02, S2's 01.
    terminals: [Value; 3],
}

async fn names() -> Names {
    let world = World::new().await;
    let small = Shop::open(&world, "Warung Sari", 1).await;
    let chain = Shop::open(&world, "Kopi Fajar", 0).await;
    change(&world, &small.path(), "partner_merchant_id", json!("M-1")).await;
    change(&world, &chain.path(), "partner_merchant_id", json!("M-2")).await;
    let one = outlet(&world, &chain, "S1").await;
    let two = outlet(&world, &chain, "S2").await;
    let named = |name: &str| json!({ "name": "Kasir", "partner_terminal_id": name });
    let terminals = [
        terminal(&world, &one, named("01")).await,
        terminal(&world, &one, named("02")).await,
        terminal(&world, &two, named("01")).await,
    ];
    Names {
        world,
        small,
        chain,
        terminals,
    }
}

#[tokio::test]
async fn a_printed_code_is_attributed_by_the_partners_own_names() {
    let Names {
        world,
        small,
        chain,
        terminals: [one, two, three],
    } = names().await;
    let (nmid, other_nmid) = (&chain.nmid, &small.nmid);
    let sole = json!(small.terminal().id);
    for (fields, expected) in [
        (json!({ "merchant_id": "M-1" }), &sole),
        (
            json!({ "merchant_id": "M-1", "store_id": "anything", "terminal_id": "A01" }),
            &sole,
        ),
        (json!({ "merchant_id": "M-2", "terminal_id": "02" }), &two),
        (
            json!({ "merchant_id": "M-2", "store_id": "S1", "terminal_id": "01" }),
            &one,
        ),
        (
            json!({ "merchant_id": "M-2", "store_id": "S2", "terminal_id": "01" }),
            &three,
        ),
        (json!({ "merchant_id": "M-2", "store_id": "S2" }), &three),
        (json!({ "nmid": nmid, "terminal_id": "02" }), &two),
        // As a label, which some partners have no other field for.
        (json!({ "nmid": nmid, "terminal_label": "02" }), &two),
        (json!({ "nmid": nmid, "store_id": "S2" }), &three),
        // The NMID decides about the merchant, and the names are the partner's for it.
        (
            json!({ "nmid": nmid, "merchant_id": "M-1", "terminal_id": "02" }),
            &two,
        ),
        // An NMID that nobody has contradicts no name that the partner was given.
        (
            json!({ "nmid": "ID9999999999999", "merchant_id": "M-1" }),
            &sole,
        ),
        // A store, where the message names no merchant.
        (json!({ "store_id": "S2" }), &three),
        (json!({ "store_id": "S1", "terminal_id": "02" }), &two),
    ] {
        let body = paid(&world, &fields);
        assert_eq!(terminal_of(&world, &body).await, *expected, "{fields}");
    }
    for fields in [
        json!({ "merchant_id": "M-2" }),
        json!({ "merchant_id": "M-2", "store_id": "S1" }),
        json!({ "merchant_id": "M-2", "store_id": "S3", "terminal_id": "01" }),
        json!({ "merchant_id": "M-2", "terminal_id": "01" }),
        json!({ "merchant_id": "M-3", "store_id": "S2" }),
        json!({ "nmid": "ID9999999999999", "store_id": "S2" }),
        json!({ "merchant_pan": other_nmid, "merchant_id": "m-1" }),
        json!({ "terminal_id": "02" }),
    ] {
        let body = paid(&world, &fields);
        assert_eq!(terminal_of(&world, &body).await, Value::Null, "{fields}");
    }
    // A partner's names are its own: another partner that sends them names nothing.
    let mut body = paid(&world, &json!({ "merchant_id": "M-1" }));
    body["partner_reference"] = json!("rivals");
    let receipt = world.another_acquirer().send(&body).await.expect(200);
    assert_eq!(receipt.data()["verdict"], "unmatched");
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn a_name_is_of_one_merchant_store_and_terminal() {
    let Names {
        world,
        small,
        chain,
        terminals: [one, two, _],
    } = names().await;
    let admin = world.admin();
    let other = outlet(&world, &small, "S1").await;
    let path = format!("/admin/outlets/{other}");
    let two_path = format!("/admin/terminals/{}", two.as_str().unwrap());
    let refused = [
        (small.path(), json!({ "partner_merchant_id": "M-2" })),
        (two_path.clone(), json!({ "partner_terminal_id": "01" })),
    ];
    for (path, body) in &refused {
        assert_refused!(admin.patch(path, body), DUPLICATE_REQUEST);
    }
    // Another outlet of the same merchant.
    outlet(&world, &small, "S2").await;
    let taken = json!({ "partner_store_id": "S2" });
    assert_refused!(admin.patch(&path, &taken), DUPLICATE_REQUEST);
    let create = format!("{}/outlets", small.path());
    let body = json!({ "name": "Cabang", "partner_store_id": "S2" });
    assert_refused!(admin.post(&create, &body), DUPLICATE_REQUEST);
    for (path, field) in [
        (small.path(), "partner_merchant_id"),
        (path.clone(), "partner_store_id"),
        (two_path.clone(), "partner_terminal_id"),
    ] {
        for wrong in ["", " ", " M", "M\n", &"x".repeat(65)] {
            let body = json!({ field: wrong });
            admin.patch(&path, &body).await.refused_field(field);
        }
    }
    // Taken back, the name is free, and names nothing until it is given again.
    let freed = change(&world, &chain.path(), "partner_merchant_id", Value::Null).await;
    assert_eq!(freed["partner_merchant_id"], Value::Null);
    let body = paid(
        &world,
        &json!({ "merchant_id": "M-2", "terminal_id": "02" }),
    );
    assert_eq!(terminal_of(&world, &body).await, Value::Null);
    change(&world, &small.path(), "partner_merchant_id", json!("M-2")).await;
    let path = format!("/admin/terminals/{}", one.as_str().unwrap());
    assert_eq!(admin.read(&path).await["partner_terminal_id"], "01");
}

#[tokio::test]
async fn unmatched_money_names_what_was_tried() {
    let Names {
        world,
        small,
        chain,
        terminals: [_, two, _],
    } = names().await;
    let two_path = format!("/admin/terminals/{}", two.as_str().unwrap());
    change(&world, &two_path, "qr_mode", json!("dynamic")).await;
    let attempt = |looked_for: &str, by: Value, found: &str| json!({ "looked_for": looked_for, "by": by, "found": found });
    let (nmid, unknown) = (chain.nmid.as_str(), "ID9999999999999");
    let by_nmid = attempt("merchant", json!({ "nmid": nmid }), "one");
    for (fields, tried) in [
        (
            json!({ "nmid": nmid, "terminal_label": "T99", "terminal_id": "02" }),
            json!([
                by_nmid,
                attempt("terminal", json!({ "terminal_label": "T99" }), "none"),
                attempt("terminal", json!({ "terminal_id": "02" }), "not_static"),
            ]),
        ),
        (
            json!({ "nmid": nmid, "terminal_id": "01", "store_id": "S9" }),
            json!([
                by_nmid,
                attempt(
                    "terminal",
                    json!({ "terminal_id": "01", "store_id": "S9" }),
                    "none"
                ),
                attempt("sole_terminal", json!({}), "several"),
            ]),
        ),
        (
            json!({ "nmid": "Toko", "mpan": "7", "merchant_id": "M-9" }),
            json!([
                attempt("merchant", json!({ "nmid": "TOKO" }), "malformed"),
                attempt("merchant", json!({ "merchant_pan": "7" }), "malformed"),
                attempt("merchant", json!({ "merchant_id": "M-9" }), "none"),
            ]),
        ),
        (
            json!({ "nmid": unknown, "store_id": "S1" }),
            json!([attempt("merchant", json!({ "nmid": unknown }), "none")]),
        ),
    ] {
        let body = paid(&world, &fields);
        assert_eq!(terminal_of(&world, &body).await, Value::Null, "{fields}");
        let money = open_money(&world).await.remove(0);
        assert_eq!(money["tried"], tried, "{fields}");
        assert_eq!(
            money["partner_merchant_id"], fields["merchant_id"],
            "{fields}"
        );
        assert_eq!(money["partner_store_id"], fields["store_id"], "{fields}");
    }
    // The alert of the first says it too, and so does that of the merchant whose boxes announced nothing.
    let first = open_alert(&world, "unmatched_payment").await;
    assert_eq!(first["details"]["tried"].as_array().unwrap().len(), 3);
    let unheard = open_alert(&world, "unannounced_payment").await;
    assert_eq!(unheard["details"]["tried"], first["details"]["tried"]);

    // A merchant that may take no payments, or is another partner's.
    small.set_status(&world, "suspended").await;
    let body = paid(&world, &json!({ "merchant_id": "M-1" }));
    assert_eq!(terminal_of(&world, &body).await, Value::Null);
    let money = open_money(&world).await.remove(0);
    assert_eq!(money["reason"], "merchant_suspended");
    assert_eq!(money["tried"][0]["found"], "suspended");
    let mut body = paid(&world, &json!({ "nmid": nmid, "terminal_id": "01" }));
    body["partner_reference"] = json!("rivals");
    let _ = world.another_acquirer().send(&body).await.expect(200);
    let money = open_money(&world).await.remove(0);
    assert_eq!(money["tried"][0]["found"], "other_partner");
    // A name that contradicts the NMID of another merchant.
    let fields = json!({ "merchant_id": "M-1", "merchant_pan": pan_of(&world, &chain).await });
    small.set_status(&world, "approved").await;
    let body = paid(&world, &fields);
    let at = terminal_of(&world, &body).await;
    assert_eq!(
        at,
        Value::Null,
        "the PAN is the chain's, which has several terminals"
    );
}

async fn pan_of(world: &World, shop: &Shop) -> String {
    text(&world.admin().read(&shop.path()).await, "merchant_pan")
}

async fn assign(api: &Api, money: &Value, terminal: &Value) -> Answer {
    let path = format!("/admin/unmatched-payments/{}/assign", text(money, "id"));
    api.post(&path, &json!({ "terminal_id": terminal, "remember": true }))
        .await
}

/// Sends a payment that is kept, assigns it to this terminal, and returns what was learned, as `field=outcome`.
async fn teach(world: &World, fields: &Value, terminal: &Value) -> Vec<String> {
    let body = paid(world, fields);
    assert_eq!(terminal_of(world, &body).await, Value::Null, "{fields}");
    let money = open_money(world).await.remove(0);
    assert_eq!(money["remembered"], Value::Null);
    let assigned = assign(&world.admin(), &money, terminal).await;
    let lessons = assigned.expect(200).data()["remembered"].take();
    let lessons = lessons.as_array().unwrap().iter();
    lessons
        .map(|one| format!("{}={}", text(one, "field"), text(one, "outcome")))
        .collect()
}

#[tokio::test]
async fn an_assignment_teaches_the_names_and_the_next_payment_is_attributed_by_itself() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let second = json!(shop.terminals[1].id);
    // All three names; then the next payment of the same code, and one that names less.
    let fields = json!({ "merchant_id": "M-1", "store_id": "S-7", "terminal_id": "A01" });
    let all = [
        "partner_merchant_id=set",
        "partner_store_id=set",
        "partner_terminal_id=set",
    ];
    assert_eq!(teach(&world, &fields, &second).await, all);
    for fields in [
        &fields,
        &json!({ "merchant_id": "M-1", "terminal_id": "A01" }),
        &json!({ "store_id": "S-7", "terminal_id": "A01" }),
        &json!({ "nmid": shop.nmid, "terminal_id": "A01" }),
    ] {
        let body = paid(&world, fields);
        assert_eq!(terminal_of(&world, &body).await, second, "{fields}");
    }
    // By the label of a code that another printed.
    let first = json!(shop.terminals[0].id);
    let fields = json!({ "nmid": shop.nmid, "terminal_label": "T99" });
    assert_eq!(
        teach(&world, &fields, &first).await,
        ["partner_terminal_id=set"]
    );
    assert_eq!(terminal_of(&world, &paid(&world, &fields)).await, first);
    let audited = world.admin().list("/admin/audit-logs?limit=200").await;
    let actions = texts(&audited, "action");
    for action in ["merchant.patch", "outlet.patch", "terminal.patch"] {
        assert!(actions.iter().any(|one| one == action), "{actions:?}");
    }
    assert!(open_money(&world).await.is_empty());
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn a_lesson_never_takes_a_name_from_another() {
    let Names {
        world,
        small,
        terminals: [one, two, three],
        ..
    } = names().await;
    let before = Snapshot::take(&world.pool).await;
    let other = Shop::open(&world, "Bakso Jaya", 2).await;
    let till = json!(other.terminals[0].id);
    // The names of the message are the chain's, and its terminals are several.
    let fields = json!({ "merchant_id": "M-2", "store_id": "S1", "terminal_id": "03" });
    assert_eq!(
        teach(&world, &fields, &till).await,
        [
            "partner_merchant_id=of_another",
            "partner_store_id=set",
            "partner_terminal_id=set"
        ]
    );
    // Ours has another name already.
    let fields = json!({ "merchant_id": "M-9", "terminal_id": "A77" });
    assert_eq!(
        teach(&world, &fields, &json!(small.terminal().id)).await,
        ["partner_merchant_id=has_another", "partner_terminal_id=set"]
    );
    let fields = json!({ "merchant_id": "M-2", "terminal_id": "01" });
    assert_eq!(
        teach(&world, &fields, &one).await,
        [
            "partner_merchant_id=known",
            "partner_terminal_id=of_another"
        ]
    );
    // A terminal without printed codes; a text that is too long for a name.
    let two_path = format!("/admin/terminals/{}", two.as_str().unwrap());
    change(&world, &two_path, "qr_mode", json!("dynamic")).await;
    let fields = json!({ "merchant_id": "M-2", "terminal_id": "05" });
    assert_eq!(
        teach(&world, &fields, &two).await,
        [
            "partner_merchant_id=known",
            "partner_terminal_id=not_static"
        ]
    );
    let long = "x".repeat(65);
    let fields = json!({ "merchant_id": "M-2", "store_id": long });
    assert_eq!(
        teach(&world, &fields, &three).await,
        ["partner_merchant_id=known", "partner_store_id=malformed"]
    );
    // What had a name has it still.
    let names = "SELECT count(*) FROM merchants WHERE (partner_merchant_id, brand_name) IN (('M-1', 'Warung Sari'), ('M-2', 'Kopi Fajar'))";
    assert_eq!(world.number(names).await, 2);
    let names = "SELECT count(*) FROM terminals WHERE partner_terminal_id IN ('01', '02')";
    assert_eq!(world.number(names).await, 3);
    assert!(before.changes(&world.pool).await.contains_key("terminals"));
    ledger::must_balance(&world.pool).await;
}

#[tokio::test]
async fn what_an_assignment_teaches_waits_for_the_second_person_with_it() {
    let world = World::with(|config| config.money.maker_checker = Switch::On).await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let maker = world.person(Role::Finance).await;
    let checker = world.person(Role::Admin).await;
    let fields = json!({ "nmid": shop.nmid, "terminal_id": "A01" });
    assert_eq!(
        terminal_of(&world, &paid(&world, &fields)).await,
        Value::Null
    );
    let money = open_money(&world).await.remove(0);
    let till = json!(shop.terminals[1].id);
    let proposal = assign(&maker, &money, &till).await.expect(202).data();
    assert_eq!(
        terminal_of(&world, &paid(&world, &fields)).await,
        Value::Null
    );
    let _ = confirm(&checker, &proposal).await.expect(200);
    assert_eq!(terminal_of(&world, &paid(&world, &fields)).await, till);
    // A name decides whose money it is: to change it needs two people as well.
    let name = json!({ "partner_merchant_id": "M-1" });
    let proposal = maker_of_merchants(&world)
        .await
        .patch(&shop.path(), &name)
        .await;
    assert_eq!(proposal.expect(202).data()["kind"], "merchant.patch");
    assert!(open_alerts(&world, "unmatched_payment").await.len() == 1);
}

async fn maker_of_merchants(world: &World) -> Api {
    world.person(Role::Ops).await
}
