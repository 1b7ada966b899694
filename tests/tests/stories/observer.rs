//! Observers receive everything and can publish nothing.

use service::Actor;
use service::fleet::observer;
use tests::observer::Observer;
use tests::prelude::*;
use wire::{Channel, Topic};

async fn revoke(world: &World, certificate_serial: &str) {
    let serial = certificate_serial.to_owned();
    world
        .within(|context| async move {
            let mut unit = context.begin(Actor::system()).await?;
            observer::revoke(&mut unit, &serial).await?;
            unit.commit().await
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_observer_sees_a_payment_come_and_being_played() {
    let world = World::new().await;
    let mut connection = Observer::new(&world, "analytics").watch(&world).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.terminal().id).await;
    soundbox.credentials.sell(&world, 10_000).await;
    soundbox.play().await;

    let id = soundbox.credentials.device_id;
    let mut expected = vec![
        Topic::new(id, Channel::PaymentSuccess).to_string(),
        Topic::new(id, Channel::PaymentAck).to_string(),
    ];
    while !expected.is_empty() {
        let copy = connection.receive().await;
        expected.retain(|topic| *topic != copy.topic);
    }
}

#[tokio::test]
async fn a_revoked_observer_is_gone_and_does_not_come_back() {
    let world = World::new().await;
    let leaked = Observer::new(&world, "analytics");
    let kept = Observer::new(&world, "dashboard");
    let connection = leaked.watch(&world).await;
    let mut other = kept.watch(&world).await;

    revoke(&world, &leaked.certificate_serial).await;

    connection.ended().await;
    assert_not_authorized(leaked.connect(&world).await);
    // The other observer stays connected.
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let id = soundbox.credentials.device_id;
    assert!(other.receive().await.topic.contains(&id.to_string()));
    let audited = "audit_logs WHERE action = 'observer.revoke'";
    assert_eq!(world.rows(audited).await, 1);
}

#[tokio::test]
async fn a_revoked_observer_does_not_interrupt_the_one_that_replaced_it() {
    let world = World::new().await;
    let [leaked, current] = [(), ()].map(|()| Observer::new(&world, "analytics"));
    revoke(&world, &leaked.certificate_serial).await;
    let mut connection = current.watch(&world).await;

    assert_not_authorized(leaked.connect(&world).await);

    let soundbox = Soundbox::unbound(&world).await;
    let id = soundbox.credentials.device_id;
    assert!(connection.receive().await.topic.contains(&id.to_string()));
}

#[tokio::test]
async fn a_certificate_that_was_revoked_before_it_was_ever_used_is_refused() {
    let world = World::new().await;
    let lost = Observer::new(&world, "analytics");
    revoke(&world, &lost.certificate_serial.to_uppercase()).await;
    assert!(lost.connect(&world).await.is_err());
}
