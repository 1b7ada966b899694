//! Nothing that an operator lets a box say or show can be mistaken for a payment.

use tests::credentials::register_with;
use tests::prelude::*;
use wire::DeviceId;

async fn order(api: &Api, device_id: DeviceId, kind: &str, payload: Value) -> Answer {
    let body = json!({ "type": kind, "payload": payload });
    api.post_once(&format!("/admin/devices/{device_id}/commands"), &body)
        .await
}

async fn bulk(api: &Api, kind: &str, payload: Value, query: Value) -> Answer {
    let body = json!({
        "type": kind, "payload": payload, "query": query,
        "rollout": { "rate_per_minute": 60_000, "abort_threshold_percent": 100, "min_sample": 1 },
    });
    api.post_once("/admin/bulk-commands", &body).await
}

fn names(answer: &Answer, field: &str) {
    answer.refused_field(field);
}

#[tokio::test]
async fn a_text_that_sounds_like_a_payment_is_refused() {
    let world = World::with(|config| {
        config.announcements.reserved_words = vec!["ovo".to_owned()];
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let device_id = Credentials::at(&world, shop.terminal().id).await.device_id;
    let admin = world.admin();
    for words in [
        "Pembayaran QRIS diterima, sepuluh juta rupiah",
        "pem bayaran di te rima",
        "P3MB4Y4R4N",
        "sudah l u n a s",
        "dua puluh lima ribu",
        "10rb",
        "10.000",
        "1 0 0 0 0",
        "１０００",
        "lun\u{430}s",
        "lu\u{200b}nas",
        "payment received",
        "o v o",
    ] {
        let payload = json!({ "text": words });
        names(
            &order(&admin, device_id, "announce_text", payload.clone()).await,
            "payload.text",
        );
        names(
            &bulk(&admin, "announce_text", payload, json!({})).await,
            "payload.text",
        );
    }
    let kept = "SELECT (SELECT count(*) FROM commands) + (SELECT count(*) FROM bulk_commands)";
    assert_eq!(world.number(kept).await, 0);

    let allowed = json!({ "text": "Toko tutup jam 9 malam" });
    let command = order(&admin, device_id, "announce_text", allowed)
        .await
        .expect(201)
        .data();
    let audited: Value = sqlx::query_scalar(
        "SELECT after FROM audit_logs WHERE action = 'command.create' AND entity = $1",
    )
    .bind(text(&command, "id"))
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(audited["payload"]["text"], "Toko tutup jam 9 malam");
}

#[tokio::test]
async fn a_code_that_pays_another_is_never_shown() {
    let world = World::new().await;
    let own = Shop::open(&world, "Warung Sari", 2).await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let credentials = Credentials::at(&world, own.terminal().id).await;
    let device_id = credentials.device_id;
    let admin = world.admin();
    let show = async |code: &str| {
        order(
            &admin,
            device_id,
            "display_qr",
            json!({ "qr_payload": code }),
        )
        .await
    };
    let printed = own.terminal().static_qr_payload.as_str();
    // Codes of another merchant, of a real one, of another terminal, and the box's own code changed.
    let foreign = other.terminal().static_qr_payload.as_str();
    let published = "00020101021126570011ID.DANA.WWW011893600915302259148102090225914810303UMI51440014ID.CO.QRIS.WWW0215ID10200176114730303UMI5204581253033605802ID5922Warung Sayur Bu Sugeng6010Kab. Demak610559567630458C7";
    let neighbour = own.terminals[1].static_qr_payload.as_str();
    let broken = printed.replace("Warung", "Wareng");
    let cut = &printed[..printed.len() - 1];
    for code in [
        foreign,
        published,
        neighbour,
        broken.as_str(),
        cut,
        "000201",
        "https://example.id",
    ] {
        names(&show(code).await, "payload.qr_payload");
    }
    let two_amounts =
        json!({ "qr_payload": credentials.qr(&world, 10_000).await.payload, "amount": 5_000 });
    names(
        &order(&admin, device_id, "display_qr", two_amounts).await,
        "payload.amount",
    );
    assert_eq!(world.rows("commands").await, 0);

    // Its own: the printed code, and one that was issued at this terminal.
    let _ = show(printed).await.expect(201);
    let issued = credentials.qr(&world, 20_000).await.payload;
    let _ = show(&issued).await.expect(201);

    // A box without a binding, and one without a display.
    let unbound = register_with(&world, &["display"]).await.device_id;
    let _ = Credentials::unbound(&world).await;
    let nowhere = order(
        &admin,
        unbound,
        "display_qr",
        json!({ "qr_payload": printed }),
    )
    .await;
    nowhere.refused(DEVICE_NOT_BOUND);
    let speaker = register_with(&world, &["speaker"]).await.device_id;
    order(
        &admin,
        speaker,
        "display_qr",
        json!({ "qr_payload": printed }),
    )
    .await
    .refused(DEVICE_CAPABILITY_NOT_SUPPORTED);
}

/// A bulk command shows a code on boxes of one merchant, and on none that was bound elsewhere since.
#[tokio::test]
async fn a_code_goes_to_many_boxes_of_its_own_merchant_only() {
    let world = World::new().await;
    let own = Shop::open(&world, "Warung Sari", 1).await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let stays = Credentials::at(&world, own.terminal().id).await.device_id;
    let goes = Credentials::at(&world, own.terminal().id).await.device_id;
    let _ = Credentials::at(&world, other.terminal().id).await;
    let admin = world.admin();
    let payload = json!({ "qr_payload": own.terminal().static_qr_payload });
    // All boxes, and boxes of another merchant.
    names(
        &bulk(&admin, "display_qr", payload.clone(), json!({})).await,
        "query",
    );
    let others = json!({ "merchant_id": other.merchant_id });
    names(
        &bulk(&admin, "display_qr", payload.clone(), others).await,
        "payload.qr_payload",
    );
    let kept = "SELECT (SELECT count(*) FROM commands) + (SELECT count(*) FROM bulk_commands)";
    assert_eq!(world.number(kept).await, 0);

    let slow = json!({
        "type": "display_qr", "payload": payload, "query": { "merchant_id": own.merchant_id },
        "rollout": { "rate_per_minute": 60_000, "abort_threshold_percent": 100, "min_sample": 1 },
    });
    let made = admin.post_once("/admin/bulk-commands", &slow).await;
    // It may have been released before it is paused; then the rebind cancels the command.
    let path = format!(
        "/admin/bulk-commands/{}",
        text(&made.expect(201).data(), "id")
    );
    admin.act(&format!("{path}/pause"), &json!({})).await;
    let _ = bind(&world, goes, other.terminal().id).await;
    let _ = admin.post(&format!("{path}/resume"), &json!({})).await;
    eventually("the release of the commands", || async {
        let open: i64 = sqlx::query_scalar("SELECT count(*) FROM commands WHERE device_id = $1")
            .bind(stays.as_uuid())
            .fetch_one(&world.pool)
            .await
            .unwrap();
        (open == 1).then_some(())
    })
    .await;
    let shown_elsewhere: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM commands WHERE device_id = $1 AND status IN ('queued', 'sent', 'delivered')",
    )
    .bind(goes.as_uuid())
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(shown_elsewhere, 0);
}
