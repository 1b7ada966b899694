//! An acquirer's file, compared with the ledger.

use chrono::TimeDelta;
use platform::config::FileFormat;
use reqwest::Method;
use tests::acquirer::OURS;
use tests::payout_partner::ID;
use tests::prelude::*;

/// A platform that reads the acquirer's files, of up to 2,000 bytes, with these references and this delimiter.
async fn world(reference_column: &str, delimiter: &str) -> World {
    World::with(|config| {
        let format = FileFormat {
            reference_column: reference_column.into(),
            amount_column: "jumlah".into(),
            delimiter: delimiter.into(),
            decimal_comma: true,
        };
        let reconciliation = &mut config.reconciliation;
        reconciliation.formats.insert(OURS.to_owned(), format);
        reconciliation.bytes_max = 2_000;
    })
    .await
}

#[tokio::test]
async fn an_acquirers_file_is_compared_with_the_ledger() {
    let world = world("ref", ";").await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    let from = world.clock.now() - TimeDelta::minutes(1);
    let mut references = Vec::new();
    for amount in [10_000, 20_000, 30_000] {
        let id = device.qr(&world, amount).await.transaction_id;
        let own = reference();
        let paid = success(id, amount, &own, world.clock.now());
        let _ = world.acquirer().send(&paid).await.expect(200);
        references.push(own);
    }
    let finance = world.staff(Role::Finance).await;
    let time = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let to = world.clock.now() + TimeDelta::minutes(1);
    let path = format!(
        "/admin/reconciliations?partner_id={OURS}&from={}&to={}",
        time(from),
        time(to)
    );
    let send = async |key: &str, file: &str| {
        let headers = [("content-type", "text/csv"), ("idempotency-key", key)];
        let file = Some(file.as_bytes().to_vec());
        finance.call(Method::POST, &path, &headers, file).await
    };
    let file = format!(
        "tanggal;ref;jumlah\r\n1;{};Rp10.000,00\r\n2;{};20.001\r\n3;lain;5.000\r\n4;{};10.000\r\n",
        references[0], references[1], references[0]
    );
    let done = send("one", &file).await.expect(201);
    let counts = ["matched", "amount_differs", "theirs_only", "ours_only"]
        .map(|class| done.data()[class].clone());
    assert_eq!(counts, [1, 1, 2, 1].map(|count: i64| json!(count)));
    let again = send("one", &file).await.expect(201);
    assert_eq!(again.body, done.body);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = "tanggal;ref;jumlah\n";
    assert_refused!(send("one", other), DUPLICATE_REQUEST);

    let own = format!("/admin/reconciliations/{}", text(&done.data(), "id"));
    let lines = finance.read(&format!("{own}/lines?class=ours_only")).await;
    assert_fields!(lines[0], { "partner_reference": references[2], "our_amount": 30_000 });
    let all = finance.pages(&format!("{own}/lines?limit=2")).await;
    assert_eq!(all.len(), 5);
    assert_eq!(
        all[3]["note"],
        "this reference is in the file more than once"
    );
    let csv = format!("{own}/lines.csv?class=amount_differs");
    let csv = finance.get(&csv).await.expect(200);
    let csv = String::from_utf8(csv.body.to_vec()).unwrap();
    let line = csv.lines().nth(1).unwrap();
    assert!(line.contains(",20001,20000,"), "{csv}");
    let wrong = format!("{own}/lines?class=lost");
    assert_refused!(finance.get(&wrong), VALIDATION_FAILED);

    // An invalid file leaves nothing.
    let too_long = format!("ref;jumlah\n{}", "r;5\n".repeat(600));
    for (wrong, refusal) in [
        ("ref;jumlah\nr;5\nr2;lima\n", VALIDATION_FAILED),
        ("a;b\n", VALIDATION_FAILED),
        (&*too_long, PAYLOAD_TOO_LARGE),
    ] {
        send("two", wrong).await.refused(refusal);
    }
    let all = finance.list("/admin/reconciliations").await;
    assert_eq!(all.len(), 1);
    assert_eq!(world.rows("reconciliations").await, 1);
    let strange = path.replace(OURS, ID);
    let headers = [("content-type", "text/csv")];
    let answer = finance.call(Method::POST, &strange, &headers, Some(Vec::new()));
    answer.await.refused(VALIDATION_FAILED);
}

#[tokio::test]
async fn a_spreadsheets_file_has_the_same_result() {
    let world = world("No Referensi", ",").await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    let id = device.qr(&world, 50_000).await.transaction_id;
    let own = reference();
    let paid = success(id, 50_000, &own, world.clock.now());
    let _ = world.acquirer().send(&paid).await.expect(200);
    let finance = world.staff(Role::Finance).await;
    let path = format!(
        "/admin/reconciliations?partner_id={OURS}&from=2020-01-01T00:00:00Z&to=2099-01-01T00:00:00Z"
    );
    let send = async |file: Vec<u8>| {
        let headers = [("content-type", "text/csv")];
        let file = Some(file);
        finance.call(Method::POST, &path, &headers, file).await
    };
    for file in [
        format!("No Referensi,Jumlah\n{own},50.000\n"),
        format!("no_referensi;JUMLAH\r\n{own};50.000,00\r\n"),
        format!("sep=;\r\nNo Referensi;Jumlah;\r\n{own};Rp50.000,00;\r\n;;\r\n"),
        format!("\u{feff}No Referensi\tJumlah\t\n\n\t\t\n{own}\t50000\t\n\t\t\n"),
        format!("\"NO REFERENSI\",\"jumlah\",,\r\n\"{own}\",\"50.000,00\",,\r\n,,,\r\n"),
        format!("sep=;\nKet;No Referensi;Jumlah\nCafé; {own} ; 50000 \n"),
    ] {
        let done = send(file.clone().into_bytes()).await;
        assert_eq!(done.status, 201, "{file}: {done}");
        let counts = ["matched", "amount_differs", "theirs_only", "ours_only"]
            .map(|class| done.data()[class].as_i64().unwrap());
        assert_eq!(counts, [1, 0, 0, 0], "{file}");
    }
    let latin = [
        b"Ket;No Referensi;Jumlah\nCaf\xe9;",
        own.as_bytes(),
        b";50000\n",
    ]
    .concat();
    assert_eq!(send(latin).await.expect(201).data()["matched"], 1);
    // A row that was cut off, a cell without a column, and an invalid amount: reported with their line.
    for (file, line) in [
        (format!("No Referensi;Jumlah;Ket\n{own};50"), "line 2"),
        (
            format!("\n\nNo Referensi;Jumlah\n\n{own};50000;7\n"),
            "line 5",
        ),
        (
            format!("sep=;\nNo Referensi;Jumlah\n{own};50.00.0\n"),
            "line 3",
        ),
    ] {
        let refused = send(file.into_bytes()).await;
        refused.refused_field(line);
    }
}
