//! Payments as a file, for staff and for merchants, with readable statuses and local times.

use domain::wib;
use tests::prelude::*;

async fn lines(api: &Api, path: &str) -> Vec<String> {
    let answer = api.get(path).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("text/csv"));
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn payments_are_exported_with_names_local_times_and_readable_statuses() {
    let world = World::new().await;
    let shop = Shop::open(&world, "=Warung, Sari", 1).await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    let elsewhere = Credentials::at(&world, other.terminal().id).await;
    let old = device.sell(&world, 1_250_000).await;
    world.later(3 * 24 * 3600);
    let new = device.sell(&world, 100_000).await;
    let foreign = elsewhere.sell(&world, 5_000).await;
    let finance = world.staff(Role::Finance).await;

    let all = lines(&finance, "/admin/transactions.csv").await;
    assert_eq!(all.len(), 4, "{all:?}");
    let head = &all[0];
    assert!(head.starts_with("ID transaksi,Dibuat (WIB),"), "{head}");
    assert!(all[1].starts_with(&foreign.to_string()), "{}", all[1]);
    let line = &all[2];
    assert!(line.starts_with(&new.to_string()), "{line}");
    // A name that a spreadsheet would run as a formula is quoted, outlet and terminal are named, the status is Indonesian.
    for expected in [
        "\"'=Warung, Sari\",Pusat,Kasir 1,",
        ",dibayar,",
        ",dinamis,",
        ",100000,700,99300",
    ] {
        assert!(line.contains(expected), "{expected}: {line}");
    }
    let paid_at = "SELECT paid_at FROM payments WHERE amount = 100000";
    let paid_at: chrono::DateTime<chrono::Utc> = world.value(paid_at).await;
    assert!(line.contains(&wib::format(paid_at)), "{line}");

    let english = lines(&finance, "/admin/transactions.csv?lang=en&status=paid").await;
    assert!(english[0].starts_with("transaction_id,created_at_wib,"));
    assert!(english[2].contains(",paid,") && english[2].contains(",dynamic,"));
    for wrong in ["lang=fr", "status=gone"] {
        let path = format!("/admin/transactions.csv?{wrong}");
        assert_refused!(finance.get(&path), VALIDATION_FAILED);
    }

    // The same filters as the list, and only the merchant's own.
    let day = wib::local(paid_at).date();
    let own = format!("merchant_id={}", shop.merchant_id);
    let of_day = format!("/admin/transactions.csv?from={day}&to={day}&{own}");
    let of_day = lines(&finance, &of_day).await;
    assert_eq!(of_day.len(), 2, "{of_day:?}");
    let owner = world.owner(shop.merchant_id).await;
    let own = lines(&owner, "/merchant/transactions.csv").await;
    assert_eq!(own.len(), 3);
    assert!(own[1].starts_with(&new.to_string()) && own[2].starts_with(&old.to_string()));
}

#[tokio::test]
async fn a_file_of_several_pages_has_every_payment_once_and_one_that_is_too_long_is_refused() {
    let (world, shop) = fixture::shop().await;
    // Several at each moment, so that pages end between equal ones.
    let (merchant, outlet) = (shop.merchant_id.as_uuid(), shop.outlet_id.as_uuid());
    let terminal = shop.terminal().id.as_uuid();
    let fill = async |from: i64, to: i64| {
        let fill = format!(
            "INSERT INTO transactions (id, merchant_id, outlet_id, terminal_id, qr_type, amount, currency, status,
                 partner_id, created_at)
             SELECT gen_random_uuid(), '{merchant}', '{outlet}', '{terminal}', 'dynamic', 1000, 'IDR', 'expired', 'acme',
                    timestamptz '2026-01-01T00:00:00Z' + (n / 7) * interval '1 second'
             FROM generate_series({from}::bigint, {to}) n"
        );
        world.execute(&fill).await;
    };
    fill(1, 2_345).await;
    let finance = world.staff(Role::Finance).await;
    let all = lines(&finance, "/admin/transactions.csv").await;
    let mut ids: Vec<&str> = all[1..]
        .iter()
        .map(|line| &line[..line.find(',').unwrap()])
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2_345);
    fill(2_346, 100_001).await;
    let refused = finance.get("/admin/transactions.csv").await;
    refused.refused_field("from");
    let shorter = "/admin/transactions.csv?from=2026-01-01T00:00:01Z";
    let shorter = lines(&finance, shorter).await;
    assert_eq!(shorter.len(), 1 + 100_001 - 6);
}
