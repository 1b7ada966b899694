//! Lists by `from` and `to`: moments, or days in Jakarta.

use chrono::{DateTime, NaiveDate, Utc};
use domain::wib;
use tests::prelude::*;

/// Lists with table and column of their time.
const LISTS: [(&str, &str, &str); 5] = [
    ("/admin/transactions", "transactions", "created_at"),
    ("/admin/settlements", "settlements", "created_at"),
    ("/admin/incidents", "incidents", "created_at"),
    (
        "/admin/unmatched-payments",
        "unmatched_payments",
        "created_at",
    ),
    ("/admin/ledger-entries", "ledger_entries", "created_at"),
];

async fn ids(api: &Api, path: &str) -> Vec<Value> {
    let data = api.list(path).await;
    data.iter().map(|row| row["id"].clone()).collect()
}

/// One sale, settled, an incident about it, and unmatched money.
async fn trade(world: &World, shop: &Shop, device: &Credentials) {
    let acquirer = world.acquirer();
    let sold = device.sell(world, 100_000).await;
    let wrong = success(sold, 5, &reference(), world.clock.now());
    let _ = acquirer.send(&wrong).await.expect(409);
    let mut astray = shop.printed_payment(world, 700);
    astray["terminal_label"] = json!("NOWHERE");
    let _ = acquirer.send(&astray).await.expect(200);
    world.later(1);
    let _ = settle(&world.staff(Role::Finance).await).await;
}

#[tokio::test]
async fn lists_have_what_was_made_in_the_period_by_moments_and_by_days_of_jakarta() {
    let (world, shop, device) = fixture::device().await;
    trade(&world, &shop, &device).await;
    world.later(3 * 24 * 3600);
    trade(&world, &shop, &device).await;
    let admin = world.admin();
    for (path, table, column) in LISTS {
        let all = ids(&admin, &format!("{path}?limit=200")).await;
        let statement = format!("SELECT min({column}), max({column}) FROM {table}");
        let times: Vec<(DateTime<Utc>, DateTime<Utc>)> = world.table(&statement).await;
        let (first, last) = times[0];
        let [old_day, new_day] = [first, last].map(|time| wib::local(time).date());
        let of_day = async |day: NaiveDate| {
            let path = format!("{path}?limit=200&from={day}&to={day}");
            ids(&admin, &path).await
        };
        let (old, new) = (of_day(old_day).await, of_day(new_day).await);
        assert!(!old.is_empty() && !new.is_empty(), "{path}");
        assert_eq!([new.clone(), old.clone()].concat(), all, "{path}");
        // The whole old day is before `to` = that day, and nothing of the next.
        let until_old = ids(&admin, &format!("{path}?limit=200&to={old_day}")).await;
        assert_eq!(until_old, old, "{path}");
        // A moment: `from` is included, `to` is not.
        let at = last.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let newest = all.first().unwrap();
        let from = ids(&admin, &format!("{path}?limit=200&from={at}")).await;
        assert!(from.contains(newest) && from.len() < all.len(), "{path}");
        let before = ids(&admin, &format!("{path}?limit=200&to={at}")).await;
        assert!(!before.contains(newest), "{path}");
        assert_eq!([from, before].concat(), all, "{path}");
        // Page by page the same.
        let paged = admin.pages(&format!("{path}?limit=1&from={old_day}")).await;
        assert!(paged.iter().map(|row| &row["id"]).eq(&all), "{path}");
    }
}

#[tokio::test]
async fn a_wrong_period_is_refused_by_the_name_of_its_end_on_every_list_that_takes_one() {
    let world = World::new().await;
    let admin = world.admin();
    let document: Value = serde_json::from_str(http_api::openapi::json()).unwrap();
    let mut lists = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let parameters = item["get"]["parameters"].as_array();
        if parameters.is_some_and(|all| all.iter().any(|one| one["name"] == "from")) {
            lists.push(path.clone());
        }
    }
    for expected in [
        "/admin/transactions",
        "/admin/transactions.csv",
        "/merchant/transactions",
        "/merchant/transactions.csv",
        "/admin/settlements",
        "/merchant/settlements",
        "/admin/incidents",
        "/admin/alerts",
    ] {
        assert!(lists.iter().any(|path| path == expected), "{expected}");
    }
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let owner = world.owner(shop.merchant_id).await;
    for path in lists.iter().filter(|path| !path.contains('{')) {
        let api = if path.starts_with("/merchant") {
            &owner
        } else {
            &admin
        };
        for (query, field) in [
            ("from=yesterday", "from"),
            ("to=2026-02-30", "to"),
            ("to=26-11-2026", "to"),
            ("from=2026-11-27&to=2026-11-26", "from"),
        ] {
            let answer = api.get(&format!("{path}?{query}")).await;
            answer.refused_field(field);
        }
    }
}
