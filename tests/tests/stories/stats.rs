//! How fast payments are heard, and how many are not.

use serde_json::{Value, json};
use tests::{Shop, Soundbox, World, eventually};

async fn stats(world: &World, query: &str) -> Value {
    let path = format!("/admin/stats?{query}");
    world.admin().get(&path).await.expect(200).data()
}

#[tokio::test]
async fn what_was_heard_and_how_fast_is_told_for_all_and_for_each_merchant() {
    let world = World::new().await;
    let loud = Shop::open(&world, "Kopi Fajar", 1).await;
    let quiet = Shop::open(&world, "Warung Sari", 1).await;
    let mut heard = Soundbox::at(&world, loud.till().id).await;
    let deaf = Soundbox::at(&world, quiet.till().id).await;
    let away = deaf.switch_off().await;
    for amount in [10_000, 20_000] {
        heard.credentials.sell(&world, amount).await;
        heard.play().await;
    }
    away.credentials.sell(&world, 30_000).await;
    let before = stats(&world, "").await;
    assert_eq!(
        (&before["announced"], &before["open"], &before["unheard"]),
        (&json!(3), &json!(1), &json!(0))
    );
    world.later(311);
    let all = eventually("the end of what was not heard", || async {
        let all = stats(&world, "").await;
        (all["unheard"] == json!(1)).then_some(all)
    })
    .await;
    assert_eq!(
        (&all["announced"], &all["played"], &all["open"]),
        (&json!(3), &json!(2), &json!(0))
    );
    assert_eq!(all["unheard_share"], json!(0.333_333));
    for step in ["sent", "received", "played"] {
        let percentiles = &all[format!("callback_to_{step}_ms")];
        let at = |name: &str| percentiles[name].as_f64().unwrap();
        assert!(at("p50") <= at("p95") && at("p95") <= at("p99"), "{all}");
        assert!(at("p50") >= 0.0);
    }
    let one = stats(&world, &format!("merchant_id={}", loud.merchant_id)).await;
    assert_eq!(
        (&one["announced"], &one["unheard"], &one["unheard_share"]),
        (&json!(2), &json!(0), &json!(0.0))
    );
    let other = stats(&world, &format!("merchant_id={}", quiet.merchant_id)).await;
    assert_eq!(other["unheard_share"], json!(1.0));
    assert_eq!(other["callback_to_played_ms"]["p99"], Value::Null);
    // Nothing was before there was anything.
    let past = stats(&world, "from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z").await;
    assert_eq!(
        (&past["announced"], &past["unheard_share"]),
        (&json!(0), &Value::Null)
    );
    for wrong in [
        "from=2020-01-02T00:00:00Z&to=2020-01-01T00:00:00Z",
        "from=2020-01-01T00:00:00Z&to=2020-03-01T00:00:00Z",
        "from=yesterday",
        "merchant_id=none",
    ] {
        world
            .admin()
            .get(&format!("/admin/stats?{wrong}"))
            .await
            .refused(422, "VALIDATION_FAILED");
    }
}

#[tokio::test]
async fn the_same_is_counted_for_prometheus_as_it_happens() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Kopi Fajar", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    soundbox.credentials.sell(&world, 10_000).await;
    soundbox.play().await;
    let url = format!("http://{}/metrics", world.app().metrics_addr());
    let numbers = reqwest::get(url).await.unwrap().text().await.unwrap();
    for step in ["sent", "received", "played"] {
        for line in [
            format!("# TYPE announcement_{step}_seconds histogram"),
            format!("announcement_{step}_seconds_bucket{{le=\"300\"}}"),
            format!("announcement_{step}_seconds_count"),
        ] {
            assert!(numbers.contains(&line), "{line} is not in {numbers}");
        }
    }
}
