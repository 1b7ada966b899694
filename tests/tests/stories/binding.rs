//! Where a box stands decides what it hears.

use futures_util::future::join_all;
use serde_json::json;
use tests::acquirer::reference;
use tests::credentials::bind;
use tests::{Credentials, Shop, Soundbox, World, books, deadlocks};

#[tokio::test]
async fn a_rebind_never_leaks() {
    let world = World::new().await;
    let old = Shop::open(&world, "Warung Sari", 1).await;
    let new = Shop::open(&world, "Kopi Fajar", 1).await;
    let mut soundbox = Soundbox::at(&world, old.till().id).await;
    let binding_before = soundbox.binding_id;
    assert!(binding_before.is_some());
    let credentials = soundbox.credentials.clone();
    // Another box of the old shop, by which the payment can be made while ours is away.
    let till = Credentials::at(&world, old.till().id).await;

    let heard_already = till.sell(&world, 5_000).await;
    assert_eq!(soundbox.play().await.transaction_id, heard_already);
    let away = soundbox.switch_off().await;
    let pending = till.sell(&world, 10_000).await;
    let binding = bind(&world, credentials.device_id, new.till().id).await;
    let after = till.sell(&world, 11_000).await;

    let mut soundbox = away.come_back(&world).await;
    soundbox.stands(Some(binding)).await;
    assert_ne!(soundbox.binding_id, binding_before);
    // Whatever was kept for the old binding would come before this one.
    let own = soundbox.credentials.sell(&world, 12_000).await;
    assert_eq!(soundbox.play().await.transaction_id, own);
    assert_eq!(soundbox.spoken.last().unwrap().merchant_name, "Kopi Fajar");

    let told = credentials.notifications(&world).await;
    let about = |id| told.iter().find(|one| one["transaction_id"] == json!(id));
    let closed = about(pending).expect("a row of what was pending");
    assert_eq!(
        (&closed["status"], &closed["reason"]),
        (&json!("failed"), &json!("unbound"))
    );
    assert!(about(after).is_none(), "told of a shop that it had left");
}

#[tokio::test]
async fn a_rebind_takes_back_what_waits_in_a_live_session() {
    let world = World::new().await;
    let old = Shop::open(&world, "Warung Sari", 1).await;
    let new = Shop::open(&world, "Kopi Fajar", 1).await;
    let mut soundbox = Soundbox::at(&world, old.till().id).await;
    soundbox.stands(soundbox.credentials.binding_id).await;
    // So many that a box which confirms nothing has some on the wire and the rest waiting behind them.
    let mut sold = Vec::new();
    for amount in 1..=20 {
        sold.push(soundbox.credentials.sell(&world, amount).await);
    }
    let mut on_the_wire = Vec::new();
    for _ in 0..16 {
        on_the_wire.push(soundbox.line().hear().await);
    }
    let binding = bind(&world, soundbox.credentials.device_id, new.till().id).await;
    for publish in &on_the_wire {
        soundbox.line().confirm(publish).await;
    }
    // `stands` would pass an announcement by; `hear` would refuse one of the old binding.
    match soundbox.next().await {
        wire::DownlinkMessage::ConfigPush(push) => assert_eq!(push.binding_id, Some(binding)),
        other => panic!("{other:?}"),
    }
    let own = soundbox.credentials.sell(&world, 12_000).await;
    assert_eq!(soundbox.play().await.transaction_id, own);
    // And the configuration is not pushed for ever.
    let applied = "SELECT count(*) FROM device_configs WHERE applied_version = version";
    assert_eq!(books::count(&world.pool, applied).await, 1);
}

#[tokio::test]
async fn a_box_that_was_taken_away_hears_nothing() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.till().id).await;
    let till = Credentials::at(&world, shop.till().id).await;
    let path = format!("/admin/devices/{}/unbind", soundbox.credentials.device_id);
    let unbound = world
        .admin()
        .post(&path, &json!({}))
        .await
        .expect(200)
        .data();
    assert!(unbound["binding"].is_null());
    world
        .admin()
        .post(&path, &json!({}))
        .await
        .refused(409, "DEVICE_NOT_BOUND");
    soundbox.stands(None).await;
    till.sell(&world, 10_000).await;
    assert_eq!(soundbox.credentials.notifications(&world).await.len(), 0);

    // Bound again: it hears what comes from now on, and nothing of the time between.
    let binding = bind(&world, soundbox.credentials.device_id, shop.till().id).await;
    soundbox.stands(Some(binding)).await;
    let next = till.sell(&world, 11_000).await;
    assert_eq!(soundbox.play().await.transaction_id, next);
}

#[tokio::test]
async fn a_box_may_connect_before_it_stands_anywhere() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::unbound(&world).await;
    assert_eq!(credentials.binding_id, None);
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let binding = bind(&world, soundbox.credentials.device_id, shop.till().id).await;
    soundbox.stands(Some(binding)).await;
    let first = soundbox.credentials.sell(&world, 10_000).await;
    assert_eq!(soundbox.play().await.transaction_id, first);
}

#[tokio::test]
async fn a_bind_to_the_same_till_changes_nothing() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.till().id).await;
    let before = credentials.view(&world).await;
    let after = bind(&world, credentials.device_id, shop.till().id).await;
    assert_eq!(before["binding"]["binding_id"], json!(after));
    assert_eq!(credentials.view(&world).await["binding"], before["binding"]);
}

#[tokio::test]
async fn a_rebind_and_the_payments_of_its_terminal_never_deadlock() {
    let mut world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let credentials = Credentials::at(&world, shop.till().id).await;
    let path = format!("/admin/devices/{}/bind", credentials.device_id);
    let (admin, acquirer) = (world.admin(), world.acquirer());
    for round in 1..=12 {
        let now = world.clock.now();
        let payments = (0..8).map(|number| {
            let reference = reference();
            let body = json!({
                "event_id": reference, "nmid": shop.nmid, "terminal_label": shop.terminals[number % 2].label,
                "partner_reference": reference, "amount": 1_000, "currency": "IDR", "status": "success", "paid_at": now,
            });
            let acquirer = &acquirer;
            async move { acquirer.tell(&body).await }
        });
        let place = json!({ "terminal_id": shop.terminals[round % 2].id });
        let (answers, bound) = tokio::join!(join_all(payments), admin.post(&path, &place));
        let _ = bound.expect(200);
        for answer in answers {
            let _ = answer.expect(200);
        }
    }
    let paid = "SELECT count(*) FROM transactions WHERE status = 'paid'";
    assert_eq!(books::count(&world.pool, paid).await, 12 * 8);
    world.stop().await;
    assert_eq!(deadlocks::of_all_who_left(&world.pool).await, 0);
}
