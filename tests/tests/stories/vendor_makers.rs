//! A QuecPython box, which says an amount and nothing else, and an EG800AK, which answers everything: on the server's side,
//! through real sockets. Both begin each connection without a session.

use std::time::Duration;

use rumqttc::{Publish, SubscribeReasonCode};
use tests::prelude::*;
use tests::vendor_box::{VendorBox, assert_wrong_password, listeners, order};

/// A kind of box as it sees its messages.
struct Maker {
    profile: &'static str,
    /// The topic of its payments; of `SN-1`, by its serial number or by its IMEI.
    payments: &'static str,
    amount: &'static str,
    id: &'static str,
    /// Where it confirms payments, if it does.
    confirms: Option<&'static str>,
}

const QUECPYTHON: Maker = Maker {
    profile: "quecpython",
    payments: "PK7/SN-1/user/task",
    amount: "money",
    id: "request_id",
    confirms: None,
};
const EG800AK: Maker = Maker {
    profile: "eg800ak",
    payments: "kiotel/client1/sb/860000000000017",
    amount: "amount",
    id: "tx_id",
    confirms: Some("kiotel/client1/sb/860000000000017/health"),
};

impl Maker {
    /// One at the terminal of a shop.
    async fn at_a_shop(&self) -> (World, Shop, VendorBox) {
        let world = World::with(listeners).await;
        let shop = Shop::open(&world, "Warung Sari", 1).await;
        let own = VendorBox::at(&world, self.profile, "SN-1", shop.terminal().id).await;
        (world, shop, own)
    }

    /// A message about a payment: its id and its amount as it stands there.
    fn payment(&self, message: &Publish) -> (String, String) {
        assert_eq!(message.topic, self.payments);
        let read = read(message);
        (text(&read, self.id), text(&read, self.amount))
    }

    /// Takes a payment as the box does: PUBACK, then its own answer, if it has one.
    async fn hear(&self, connection: &mut Connection) -> (String, String) {
        let message = connection.receive().await;
        connection.confirm(&message).await;
        let (id, amount) = self.payment(&message);
        if let Some(topic) = self.confirms {
            let ack = json!({ "type": "payment_ack", "tx_id": id, "status": "accepted" });
            assert!(
                connection
                    .publish(topic, ack.to_string().into_bytes())
                    .await
            );
        }
        (id, amount)
    }
}

fn read(message: &Publish) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}

async fn pay(world: &World, shop: &Shop, amount: i64) {
    let paid = shop.printed_payment(world, amount);
    world.acquirer().verdict(&paid).await;
}

async fn all_received(world: &World, own: &VendorBox, count: usize) -> Vec<Value> {
    eventually("all are received", async || {
        let known = own.notifications(world).await;
        let all = known.iter().all(|one| one["status"] == "received");
        (all && known.len() == count).then_some(known)
    })
    .await
}

#[tokio::test]
async fn a_quecpython_box_hears_a_payment_and_its_puback_is_all_that_is_known() {
    let (world, shop, own) = QUECPYTHON.at_a_shop().await;
    // It makes its password itself, from a secret of more than 128 bits.
    assert_eq!(text(&own.mqtt, "product_secret").len(), 32);
    assert_fields!(own.mqtt, { "username": "SN-1", "client_id": "SN-1", "password_bits": 190, "weaker": null });
    let mut connection = own.listen_anew(&world).await;
    pay(&world, &shop, 50_000).await;
    let message = connection.receive().await;
    let (id, amount) = QUECPYTHON.payment(&message);
    assert_eq!((id.len(), amount.as_str()), (32, "50000.00"));
    assert_fields!(read(&message), { "broadcast_type": 2, "biz_type": 2 });
    assert_fields!(own.notifications(&world).await[0], { "status": "sent", "confirmation": "puback" });
    connection.confirm(&message).await;
    let known = all_received(&world, &own, 1).await;
    assert_fields!(known[0], { "reason": "puback", "played_at": null });
    // It has no command at all.
    for (kind, payload) in [
        (
            "display_qr",
            json!({ "qr_payload": shop.terminal().static_qr_payload }),
        ),
        ("reboot", json!({})),
        ("set_volume", json!({ "volume": 3 })),
        ("play_test", json!({})),
    ] {
        let path = format!("{}/commands", own.path());
        let new = json!({ "type": kind, "payload": payload });
        assert_eq!(
            world.admin().post_once(&path, &new).await.refusal().1,
            "DEVICE_CAPABILITY_NOT_SUPPORTED",
            "{kind}"
        );
    }
}

#[tokio::test]
async fn an_eg800ak_confirms_payments_and_commands_itself() {
    let (world, shop, own) = EG800AK.at_a_shop().await;
    let mut connection = own.listen_anew(&world).await;
    pay(&world, &shop, 50_000).await;
    let message = connection.receive().await;
    let (id, amount) = EG800AK.payment(&message);
    assert_eq!(amount, "50000.00");
    connection.confirm(&message).await;
    let health = EG800AK.confirms.unwrap();
    // A heartbeat later its PUBACK has been stored, if it were to be.
    let beat = json!({ "soundboxSerial": "SN-1", "healthParams": { "networkStrength": "31", "batteryLevel": "81" } });
    assert!(connection.publish(health, beat.to_string().into()).await);
    assert_fields!(own.notifications(&world).await[0], { "status": "sent", "confirmation": "received" });
    let ack = |status: &str| json!({ "type": "payment_ack", "tx_id": id, "status": status });
    for status in ["accepted", "duplicate"] {
        let ack = ack(status).to_string();
        assert!(connection.publish(health, ack.into()).await);
    }
    let known = all_received(&world, &own, 1).await;
    assert_fields!(known[0], { "reason": null, "played_at": null });
    let device = world.admin().read(&own.path()).await;
    assert_fields!(device, { "battery_level": 81, "network_strength": 100 });

    // Commands come on a topic of their own, each with its checksum.
    for (kind, payload, named) in [
        ("set_volume", json!({ "volume": 7 }), "set_volume"),
        ("play_test", json!({}), "play_ready"),
    ] {
        let command = order(&world, &own, kind, payload).await;
        let message = loop {
            let message = connection.receive().await;
            connection.confirm(&message).await;
            if message.topic == format!("{}/cmd", EG800AK.payments) {
                break message;
            }
            // Until it was confirmed the payment may have come again, by its id, which the box knows.
            assert_eq!(EG800AK.payment(&message).0, id);
        };
        let sent = read(&message);
        assert_eq!(sent["cmd"], named);
        let ack = json!({ "type": "cmd_ack", "request_id": sent["request_id"], "cmd": named, "status": "ok" });
        assert!(connection.publish(health, ack.to_string().into()).await);
        let path = format!("{}/commands/{command}", own.path());
        let command = world.admin().read(&path).await;
        assert_fields!(command, { "status": "delivered", "reason": null });
    }
    for (kind, payload) in [
        (
            "display_qr",
            json!({ "qr_payload": shop.terminal().static_qr_payload }),
        ),
        ("reboot", json!({})),
    ] {
        let path = format!("{}/commands", own.path());
        let new = json!({ "type": kind, "payload": payload });
        assert_refused!(
            world.admin().post_once(&path, &new),
            DEVICE_CAPABILITY_NOT_SUPPORTED
        );
    }
}

#[tokio::test]
async fn what_came_while_such_a_box_was_away_it_hears_once_each_in_order() {
    for maker in [QUECPYTHON, EG800AK] {
        let (world, shop, own) = maker.at_a_shop().await;
        own.listen_anew(&world).await.abort().await;
        for amount in [1_000, 2_000, 3_000] {
            pay(&world, &shop, amount).await;
        }
        let mut connection = own.listen_anew(&world).await;
        let mut ids = Vec::new();
        for amount in ["1000.00", "2000.00", "3000.00"] {
            let (id, heard) = loop {
                let (id, heard) = maker.hear(&mut connection).await;
                // A box that confirms by its own message may get it again before that, and knows it by its id.
                if maker.confirms.is_none() || !ids.contains(&id) {
                    break (id, heard);
                }
            };
            assert_eq!(heard, amount, "{}", maker.profile);
            ids.push(id);
        }
        ids.dedup();
        assert_eq!(ids.len(), 3);
        all_received(&world, &own, 3).await;
        connection.disconnect().await;
        // Long after every repetition, on another connection: the next message is the next payment.
        world.later(40);
        let mut connection = own.listen_anew(&world).await;
        pay(&world, &shop, 4_000).await;
        let (_, heard) = maker.hear(&mut connection).await;
        assert_eq!(heard, "4000.00", "{}", maker.profile);
    }
}

#[tokio::test]
async fn anothers_topics_are_refused_to_such_a_box() {
    for maker in [QUECPYTHON, EG800AK] {
        let (world, shop, own) = maker.at_a_shop().await;
        let other = VendorBox::register_as(&world, maker.profile, "SN-2", "860000000000025").await;
        let mut listening = own.listen_anew(&world).await;
        let mut stranger = other.listen_anew(&world).await;
        for filter in [
            maker.payments.to_owned(),
            maker
                .payments
                .replace("SN-1", "+")
                .replace("860000000000017", "+"),
            format!("{}/#", maker.payments),
            "#".to_owned(),
            format!("devices/{}/downlink/#", own.device_id),
        ] {
            let answer = stranger.subscribe(&filter).await;
            assert_eq!(answer, SubscribeReasonCode::Failure, "{filter}");
        }
        let up = own.up();
        assert!(!stranger.publish(&up, b"{}".to_vec()).await, "{up}");
        stranger.ended().await;
        pay(&world, &shop, 7_000).await;
        let (_, heard) = maker.hear(&mut listening).await;
        assert_eq!(heard, "7000.00", "{}", maker.profile);
    }
}

#[tokio::test]
async fn suspended_a_box_of_any_maker_is_gone_within_a_second() {
    let world = World::with(listeners).await;
    for profile in ["qf100", "morefun-et389", "quecpython", "eg800ak", "q161"] {
        let own = VendorBox::register(&world, profile, &format!("{profile}-1")).await;
        let connection = own.listen_anew(&world).await;
        own.set_status(&world, "suspended").await;
        tokio::time::timeout(Duration::from_secs(1), connection.ended())
            .await
            .unwrap_or_else(|_| panic!("{profile} is gone within a second"));
        assert_wrong_password(own.connect_by_tls(&world).await);
    }
}
