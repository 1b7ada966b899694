//! Nothing that an operator lets a box say or show can be mistaken for a payment.

use tests::credentials::register_with;
use tests::prelude::*;
use wire::DeviceId;

async fn order(api: &Api, device_id: DeviceId, kind: &str, payload: Value) -> Answer {
    let body = json!({ "type": kind, "payload": payload });
    crate::view::command(api, device_id, &body).await
}

async fn bulk(api: &Api, kind: &str, payload: Value, query: Value) -> Answer {
    let body = json!({
        "type": kind, "payload": payload, "query": query,
        "rollout": { "rate_per_minute": 60_000, "abort_threshold_percent": 100, "min_sample": 1 },
    });
    api.post_once("/admin/bulk-commands", &body).await
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
        let one = order(&admin, device_id, "announce_text", payload.clone()).await;
        let many = bulk(&admin, "announce_text", payload, json!({})).await;
        for answer in [one, many] {
            answer.refused_field("payload.text");
        }
    }
    let kept = "SELECT (SELECT count(*) FROM commands) + (SELECT count(*) FROM bulk_commands)";
    assert_eq!(world.number(kept).await, 0);

    let allowed = json!({ "text": "Toko tutup jam 9 malam" });
    let command = order(&admin, device_id, "announce_text", allowed).await;
    let id = text(&command.expect(201).data(), "id");
    let audited = "SELECT after FROM audit_logs WHERE action = 'command.create'";
    let audited: Value = world.value(&format!("{audited} AND entity = '{id}'")).await;
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
        let payload = json!({ "qr_payload": code });
        order(&admin, device_id, "display_qr", payload).await
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
        show(code).await.refused_field("payload.qr_payload");
    }
    let two_amounts =
        json!({ "qr_payload": credentials.qr(&world, 10_000).await.payload, "amount": 5_000 });
    let refused = order(&admin, device_id, "display_qr", two_amounts).await;
    refused.refused_field("payload.amount");
    assert_eq!(world.rows("commands").await, 0);

    // Its own: the printed code, and one that was issued at this terminal.
    let _ = show(printed).await.expect(201);
    let issued = credentials.qr(&world, 20_000).await.payload;
    let _ = show(&issued).await.expect(201);

    // A box without a binding, and one without a display.
    for (capability, refusal) in [
        ("display", DEVICE_NOT_BOUND),
        ("speaker", DEVICE_CAPABILITY_NOT_SUPPORTED),
    ] {
        let device_id = register_with(&world, &[capability]).await.device_id;
        let payload = json!({ "qr_payload": printed });
        assert_refused!(order(&admin, device_id, "display_qr", payload), refusal);
    }
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
    let others = json!({ "merchant_id": other.merchant_id });
    for (query, field) in [(json!({}), "query"), (others, "payload.qr_payload")] {
        let answer = bulk(&admin, "display_qr", payload.clone(), query).await;
        answer.refused_field(field);
    }
    let kept = "SELECT (SELECT count(*) FROM commands) + (SELECT count(*) FROM bulk_commands)";
    assert_eq!(world.number(kept).await, 0);

    let query = json!({ "merchant_id": own.merchant_id });
    let made = bulk(&admin, "display_qr", payload, query).await;
    // It may have been released before it is paused; then the rebind cancels the command.
    let id = text(&made.expect(201).data(), "id");
    let path = format!("/admin/bulk-commands/{id}");
    admin.act(&format!("{path}/pause"), &json!({})).await;
    let _ = bind(&world, goes, other.terminal().id).await;
    let _ = admin.post(&format!("{path}/resume"), &json!({})).await;
    let of = |device: DeviceId| format!("commands WHERE device_id = '{}'", device.as_uuid());
    world.wait_for_rows(&of(stays), 1).await;
    let shown = format!("{} AND status IN ('queued', 'sent', 'delivered')", of(goes));
    assert_eq!(world.rows(&shown).await, 0);
}
