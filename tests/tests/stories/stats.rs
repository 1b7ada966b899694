//! How fast payments are played, and how many are not.

use tests::prelude::*;

async fn stats(world: &World, query: &str) -> Value {
    let path = format!("/admin/stats?{query}");
    world.admin().read(&path).await
}

#[tokio::test]
async fn announcement_statistics_for_all_and_for_each_merchant() {
    let world = World::new().await;
    let loud = Shop::open(&world, "Kopi Fajar", 1).await;
    let quiet = Shop::open(&world, "Warung Sari", 1).await;
    let mut heard = Soundbox::at(&world, loud.terminal().id).await;
    let deaf = Soundbox::at(&world, quiet.terminal().id).await;
    let away = deaf.switch_off().await;
    for amount in [10_000, 20_000] {
        heard.credentials.sell(&world, amount).await;
        heard.play().await;
    }
    away.credentials.sell(&world, 30_000).await;
    let before = stats(&world, "").await;
    assert_fields!(before, { "announced": 3, "open": 1, "unheard": 0 });
    world.later(311);
    let all = eventually("the end of what was not heard", || async {
        let all = stats(&world, "").await;
        (all["unheard"] == json!(1)).then_some(all)
    })
    .await;
    assert_fields!(all, { "announced": 3, "played": 2, "open": 0 });
    assert_eq!(all["unheard_share"], json!(0.333_333));
    for step in ["sent", "received", "played"] {
        let percentiles = &all[format!("callback_to_{step}_ms")];
        let at = |name: &str| percentiles[name].as_f64().unwrap();
        assert!(at("p50") <= at("p95") && at("p95") <= at("p99"), "{all}");
        assert!(at("p50") >= 0.0);
    }
    let one = stats(&world, &format!("merchant_id={}", loud.merchant_id)).await;
    assert_fields!(one, { "announced": 2, "unheard": 0, "unheard_share": 0.0 });
    let other = stats(&world, &format!("merchant_id={}", quiet.merchant_id)).await;
    assert_eq!(other["unheard_share"], json!(1.0));
    assert_eq!(other["callback_to_played_ms"]["p99"], Value::Null);
    // A period without payments.
    let past = stats(&world, "from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z").await;
    assert_fields!(past, { "announced": 0, "unheard_share": null });
    for wrong in [
        "from=2020-01-02T00:00:00Z&to=2020-01-01T00:00:00Z",
        "from=2020-01-01T00:00:00Z&to=2020-03-01T00:00:00Z",
        "from=yesterday",
        "merchant_id=none",
    ] {
        let path = format!("/admin/stats?{wrong}");
        assert_refused!(world.admin().get(&path), VALIDATION_FAILED);
    }
}

#[tokio::test]
async fn the_same_is_counted_for_prometheus_as_it_happens() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Kopi Fajar", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.terminal().id).await;
    soundbox.credentials.sell(&world, 10_000).await;
    soundbox.play().await;
    let numbers = world.metrics().await;
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
