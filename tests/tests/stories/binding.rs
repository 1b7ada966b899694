//! A box receives the payments of the terminal that it is bound to.

use futures_util::future::join_all;
use tests::acquirer::static_success;
use tests::deadlocks;
use tests::prelude::*;

#[tokio::test]
async fn a_rebind_never_leaks() {
    let world = World::new().await;
    let old = Shop::open(&world, "Warung Sari", 1).await;
    let new = Shop::open(&world, "Kopi Fajar", 1).await;
    let mut soundbox = Soundbox::at(&world, old.terminal().id).await;
    let binding_before = soundbox.binding_id;
    assert!(binding_before.is_some());
    let credentials = soundbox.credentials.clone();
    // Another box of the old shop: a payment can be made with its code while the first is offline.
    let device = Credentials::at(&world, old.terminal().id).await;

    let heard_already = device.sell(&world, 5_000).await;
    assert_eq!(soundbox.play().await.transaction_id, heard_already);
    let away = soundbox.switch_off().await;
    let pending = device.sell(&world, 10_000).await;
    let binding = bind(&world, credentials.device_id, new.terminal().id).await;
    let after = device.sell(&world, 11_000).await;

    let mut soundbox = away.reconnect(&world).await;
    soundbox.wait_for_binding(Some(binding)).await;
    assert_ne!(soundbox.binding_id, binding_before);
    // Anything kept for the old binding would arrive before this one.
    let own = soundbox.credentials.sell(&world, 12_000).await;
    assert_eq!(soundbox.play().await.transaction_id, own);
    assert_eq!(soundbox.spoken.last().unwrap().merchant_name, "Kopi Fajar");

    let received = credentials.notifications(&world).await;
    let about = |id| {
        received
            .iter()
            .find(|one| one["transaction_id"] == json!(id))
    };
    let closed = about(pending).expect("a row of what was pending");
    assert_fields!(closed, { "status": "failed", "reason": "unbound" });
    assert!(
        about(after).is_none(),
        "a payment of a shop that it had left"
    );
}

#[tokio::test]
async fn a_rebind_takes_back_what_waits_in_a_live_session() {
    let world = World::new().await;
    let old = Shop::open(&world, "Warung Sari", 1).await;
    let new = Shop::open(&world, "Kopi Fajar", 1).await;
    let mut soundbox = Soundbox::at(&world, old.terminal().id).await;
    soundbox
        .wait_for_binding(soundbox.credentials.binding_id)
        .await;
    // So many that a box which confirms nothing has some in flight and the rest queued.
    let mut sold = Vec::new();
    for amount in 1..=20 {
        sold.push(soundbox.credentials.sell(&world, amount).await);
    }
    let mut on_the_wire = Vec::new();
    for _ in 0..16 {
        on_the_wire.push(soundbox.connection().receive().await);
    }
    let binding = bind(&world, soundbox.credentials.device_id, new.terminal().id).await;
    for publish in &on_the_wire {
        soundbox.connection().confirm(publish).await;
    }
    // `wait_for_binding` would pass over a payment; `hear` would refuse one of the old binding.
    match soundbox.next().await {
        wire::DownlinkMessage::ConfigPush(push) => assert_eq!(push.binding_id, Some(binding)),
        other => panic!("{other:?}"),
    }
    let own = soundbox.credentials.sell(&world, 12_000).await;
    assert_eq!(soundbox.play().await.transaction_id, own);
    // And the configuration is not pushed again.
    let applied = "device_configs WHERE applied_version = version";
    assert_eq!(world.rows(applied).await, 1);
}

#[tokio::test]
async fn an_unbound_box_hears_nothing() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    let path = format!("/admin/devices/{}/unbind", soundbox.credentials.device_id);
    let unbound = world.admin().act(&path, &json!({})).await;
    assert!(unbound["binding"].is_null());
    assert_refused!(world.admin().post(&path, &json!({})), DEVICE_NOT_BOUND);
    soundbox.wait_for_binding(None).await;
    device.sell(&world, 10_000).await;
    assert_eq!(soundbox.credentials.notifications(&world).await.len(), 0);

    // Bound again: it receives what comes from now on, and nothing from the time between.
    let binding = bind(&world, soundbox.credentials.device_id, shop.terminal().id).await;
    soundbox.wait_for_binding(Some(binding)).await;
    let next = device.sell(&world, 11_000).await;
    assert_eq!(soundbox.play().await.transaction_id, next);
}

#[tokio::test]
async fn a_box_may_connect_before_it_stands_anywhere() {
    let (world, shop) = fixture::shop().await;
    let credentials = Credentials::unbound(&world).await;
    assert_eq!(credentials.binding_id, None);
    let mut soundbox = Soundbox::switch_on(&world, credentials).await;
    let binding = bind(&world, soundbox.credentials.device_id, shop.terminal().id).await;
    soundbox.wait_for_binding(Some(binding)).await;
    let first = soundbox.credentials.sell(&world, 10_000).await;
    assert_eq!(soundbox.play().await.transaction_id, first);
}

#[tokio::test]
async fn a_bind_to_the_same_terminal_changes_nothing() {
    let (world, shop, credentials) = fixture::device().await;
    let before = credentials.view(&world).await;
    let after = bind(&world, credentials.device_id, shop.terminal().id).await;
    assert_eq!(before["binding"]["binding_id"], json!(after));
    assert_eq!(credentials.view(&world).await["binding"], before["binding"]);
}

#[tokio::test]
async fn a_rebind_and_the_payments_of_its_terminal_never_deadlock() {
    let mut world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 2).await;
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    let path = format!("/admin/devices/{}/bind", credentials.device_id);
    let (admin, acquirer) = (world.admin(), world.acquirer());
    for round in 1..=12 {
        let now = world.clock.now();
        let payments = (0..8).map(|number| {
            let label = &shop.terminals[number % 2].label;
            let body = static_success(&shop.nmid, label, 1_000, &reference(), now);
            let acquirer = &acquirer;
            async move { acquirer.send(&body).await }
        });
        let place = json!({ "terminal_id": shop.terminals[round % 2].id });
        let (answers, bound) = tokio::join!(join_all(payments), admin.post(&path, &place));
        let _ = bound.expect(200);
        for answer in answers {
            let _ = answer.expect(200);
        }
    }
    assert_eq!(
        world.rows("transactions WHERE status = 'paid'").await,
        12 * 8
    );
    world.stop().await;
    assert_eq!(deadlocks::of_all_who_left(&world.pool).await, 0);
}
