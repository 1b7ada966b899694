//! An acquirer's list of its merchant, store and terminal numbers, taken from a file.

use platform::config::Switch;
use tests::prelude::*;

use crate::attribution::{paid, terminal_of};

const PATH: &str = "/admin/terminals/partner-names";
const HEADER: &str =
    "nmid,terminal_label,terminal_id,partner_merchant_id,partner_store_id,partner_terminal_id\n";

#[tokio::test]
async fn an_acquirers_list_names_merchants_outlets_and_terminals() {
    let world = World::new().await;
    let one = Shop::open(&world, "Warung Sari", 2).await;
    let two = Shop::open(&world, "Kopi Fajar", 1).await;
    let [first, second] = [&one.terminals[0], &one.terminals[1]];
    let file = format!(
        "{HEADER}{nmid},{label},,M-1,S-1,01\n{nmid},{other},,M-1,,02\n,,{id},M-2,,\n",
        nmid = one.nmid.to_lowercase(),
        label = first.label,
        other = second.label,
        id = two.terminal().id,
    );
    let ops = world.staff(Role::Ops).await;
    let taken = ops.post_csv(PATH, &[], &file).await.expect(200).data();
    assert_fields!(taken, { "rows": 3, "merchants": 2, "outlets": 1, "terminals": 2 });
    for (fields, terminal) in [
        (
            json!({ "merchant_id": "M-1", "terminal_id": "01" }),
            first.id,
        ),
        (
            json!({ "merchant_id": "M-1", "store_id": "S-1", "terminal_id": "02" }),
            second.id,
        ),
        (json!({ "merchant_id": "M-2" }), two.terminal().id),
    ] {
        let at = terminal_of(&world, &paid(&world, &fields)).await;
        assert_eq!(at, json!(terminal), "{fields}");
    }
    // Sent again, as a spreadsheet saves it, it changes nothing.
    let again = file.replace(',', ";");
    let taken = ops.post_csv(PATH, &[], &again).await.expect(200).data();
    assert_fields!(taken, { "rows": 3, "merchants": 0, "outlets": 0, "terminals": 0 });
    let audited = "audit_logs WHERE action IN ('merchant.patch', 'outlet.patch', 'terminal.patch')";
    assert_eq!(world.rows(audited).await, 5);
}

#[tokio::test]
async fn a_list_with_a_mistake_names_nothing_and_the_row() {
    let world = World::new().await;
    let one = Shop::open(&world, "Warung Sari", 2).await;
    let two = Shop::open(&world, "Kopi Fajar", 1).await;
    two.change(&world, json!({ "partner_merchant_id": "M-2" }))
        .await;
    let [first, second] = [one.terminals[0].id, one.terminals[1].id];
    let before = Snapshot::take(&world.pool).await;
    let good = format!("{HEADER},,{first},M-1,S-1,01\n");
    for (rows, field) in [
        (format!(",,{second},M-2,,\n"), "row 3.partner_merchant_id"),
        (format!(",,{second},M-9,,\n"), "row 3.partner_merchant_id"),
        (format!(",,{second},,S-2,\n"), "row 3.partner_store_id"),
        (format!(",,{second},,,01\n"), "row 3.partner_terminal_id"),
        (
            format!(",,{second},,,{}\n", "x".repeat(65)),
            "row 3.partner_terminal_id",
        ),
        (format!(",,{second},,,\n"), "row 3."),
        (",,,M-1,,\n".to_owned(), "row 3.terminal_id"),
        (",,term_7,M-1,,\n".to_owned(), "row 3.terminal_id"),
        ("ID9999999999999,T001,,M-1,,\n".to_owned(), "row 3.nmid"),
        (
            format!("{},T999,,M-1,,\n", one.nmid),
            "row 3.terminal_label",
        ),
    ] {
        let answer = world
            .admin()
            .post_csv(PATH, &[], &format!("{good}{rows}"))
            .await;
        answer.refused_field(field);
    }
    for file in [HEADER, "terminal_id,colour\n", ""] {
        let answer = world.admin().post_csv(PATH, &[], file).await;
        answer.refused(VALIDATION_FAILED);
    }
    let mut changed = before.changes(&world.pool).await;
    changed.retain(|table, _| !["audit_logs", "tokens"].contains(&table.as_str()));
    assert!(changed.is_empty(), "{changed:?}");
}

#[tokio::test]
async fn a_list_gives_no_merchant_other_money_where_that_needs_two_people() {
    let world = World::with(|config| config.money.maker_checker = Switch::On).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let id = shop.terminal().id;
    let ops = world.staff(Role::Ops).await;
    let answer = ops
        .post_csv(PATH, &[], &format!("{HEADER},,{id},M-1,,01\n"))
        .await;
    answer.refused_field("row 2.partner_merchant_id");
    let answer = ops
        .post_csv(PATH, &[], &format!("{HEADER},,{id},,S-1,01\n"))
        .await;
    assert_eq!(answer.expect(200).data()["terminals"], 1);
}
