//! Names and texts for boxes: every one that the API accepts fits into a message.

use tests::prelude::*;

/// Texts that show nothing, hide something, or are too long to be sent.
fn impossible() -> Vec<String> {
    let joiners = "\u{200d}".repeat(90);
    let texts = [
        "",
        " \u{a0}\u{3000}",
        "\u{200b}",
        "\u{feff}\u{2060}",
        "\u{ad}\u{ad}",
        "\u{2800}",
        "\u{3164}",
        "\u{202e}\u{202c}",
        "Toko \u{202e}irasemaS",
        "To\u{0}ko",
        "Toko\nSari",
        "Toko\u{2028}Sari",
        "\u{301}\u{302}",
        "\u{e0054}\u{e006f}",
    ];
    let mut all: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    all.push(format!("Toko{joiners}"));
    all.push("x".repeat(201));
    all.push("\u{1f35c}".repeat(201));
    all
}

fn names(answer: &Answer, field: &str) -> bool {
    let body = answer.json();
    let fields = body["details"]["fields"].as_array();
    answer.status == 422 && fields.is_some_and(|all| all.iter().any(|one| one["field"] == field))
}

#[tokio::test]
async fn a_name_that_shows_nothing_or_cannot_be_sent_is_refused_by_its_field() {
    let (world, shop) = fixture::shop().await;
    let device = register(&world).await.device_id;
    let admin = world.admin();
    let merchant = format!("/admin/merchants/{}", shop.merchant_id);
    let outlet = format!("/admin/outlets/{}", shop.outlet_id);
    let terminal = format!("/admin/terminals/{}", shop.terminal().id);
    let before = Snapshot::take(&world.pool).await;
    let mut bad = impossible();
    // As many characters as are allowed, and more bytes.
    bad.push("食".repeat(100));
    for name in &bad {
        for field in ["brand_name", "legal_name"] {
            let mut new = json!({ "brand_name": "Toko", "legal_name": "PT Toko" });
            new[field] = json!(name);
            let answer = admin.post("/admin/merchants", &new).await;
            assert!(names(&answer, field), "{field} {name:?}: {answer}");
            let answer = admin.patch(&merchant, &json!({ field: name })).await;
            assert!(names(&answer, field), "{field} {name:?}: {answer}");
        }
        let named = json!({ "name": name });
        for path in [format!("{merchant}/outlets"), format!("{outlet}/terminals")] {
            let answer = admin.post(&path, &named).await;
            assert!(names(&answer, "name"), "{path} {name:?}: {answer}");
        }
        for path in [&outlet, &terminal] {
            let answer = admin.patch(path, &named).await;
            assert!(names(&answer, "name"), "{path} {name:?}: {answer}");
        }
    }
    for impossible in impossible() {
        let order = json!({ "type": "announce_text", "payload": { "text": impossible } });
        let path = format!("/admin/devices/{device}/commands");
        let answer = admin.post_once(&path, &order).await;
        assert!(names(&answer, "payload.text"), "{impossible:?}: {answer}");
    }
    before.changed_only(&world.pool, &[]).await;
}

#[tokio::test]
async fn names_that_people_give_are_taken_without_the_blanks_around_them() {
    let world = World::new().await;
    let admin = world.admin();
    let family = "Toko \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
    for (given, kept) in [
        ("  Kopi Senja — Bandung ", "Kopi Senja — Bandung"),
        ("Mie \u{1f35c}", "Mie \u{1f35c}"),
        (family, family),
        ("مقهى", "مقهى"),
    ] {
        let new = json!({ "brand_name": given, "legal_name": "PT Toko" });
        let made = admin.create("/admin/merchants", &new).await;
        assert_eq!(text(&made, "brand_name"), kept);
    }
}

#[tokio::test]
async fn a_merchant_with_an_old_name_can_still_be_suspended() {
    let (world, shop) = fixture::shop().await;
    sqlx::query("UPDATE merchants SET brand_name = U&'\\200D' WHERE id = $1")
        .bind(shop.merchant_id.as_uuid())
        .execute(&world.pool)
        .await
        .unwrap();
    let change = json!({ "status": "suspended", "reason": "an odd name" });
    let suspended = shop.change(&world, change).await;
    assert_eq!(suspended["status"], Value::from("suspended"));
}
