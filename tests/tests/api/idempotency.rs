//! Repeated requests with idempotency keys.

use futures_util::future::join_all;
use reqwest::Method;
use tests::prelude::*;

/// How many send the same at once.
const AT_ONCE: usize = 50;

fn merchant(name: &str) -> Value {
    json!({ "legal_name": name, "brand_name": name })
}

/// Repeats until the answer is not that the request is in progress.
async fn insist(api: &Api, path: &str, key: &str, body: &Value) -> Answer {
    try_to_insist(api, path, key, body).await.unwrap()
}

/// The same for a platform that may have stopped.
async fn try_to_insist(api: &Api, path: &str, key: &str, body: &Value) -> reqwest::Result<Answer> {
    loop {
        let headers = [("idempotency-key", key)];
        let bytes = body.to_string().into_bytes();
        let answer = api
            .try_call(Method::POST, path, &headers, Some(bytes))
            .await?;
        if answer.status != 409 || answer.header("retry-after").is_none() {
            return Ok(answer);
        }
        answer.refused(DUPLICATE_REQUEST);
    }
}

/// All at once; one answer is the first, the others repeat its bytes.
async fn all_say(api: &Api, path: &str, body: &Value) -> (Answer, Vec<Answer>) {
    let answers = join_all((0..AT_ONCE).map(|_| insist(api, path, "one", body))).await;
    let (replayed, mut first): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|answer| answer.header("idempotent-replayed") == Some("true"));
    assert_eq!(first.len(), 1, "{first:?}");
    (first.remove(0).expect(201), replayed)
}

#[tokio::test]
async fn fifty_at_once_are_one() {
    let world = World::new().await;
    let before = Snapshot::take(&world.pool).await;
    let (first, replayed) = all_say(&world.admin(), "/admin/merchants", &merchant("Sari")).await;
    for answer in replayed {
        assert_eq!((answer.status, &answer.body), (201, &first.body));
    }
    let effects = [
        ("audit_logs", 1),
        ("idempotency_keys", 1),
        ("merchants", 1),
        ("tokens", 0),
    ];
    before.changed_only(&world.pool, &effects).await;
}

#[tokio::test]
async fn fifty_at_once_are_one_and_its_secret_is_shown_once() {
    let world = World::new().await;
    let device = json!({ "serial_number": "SN-1", "model": "SB-1", "capabilities": ["speaker"] });
    let (first, replayed) = all_say(&world.admin(), "/admin/devices", &device).await;
    text(&first.data(), "activation_code");
    for answer in &replayed {
        assert_eq!((answer.status, &answer.body), (201, &replayed[0].body));
        assert!(answer.data()["activation_code"].is_null());
        assert_eq!(answer.data()["id"], first.data()["id"]);
    }
    assert_eq!(world.rows("devices").await, 1);
    assert_eq!(world.rows("activation_codes").await, 1);
}

#[tokio::test]
async fn fifty_at_once_are_one_code_to_pay() {
    let (world, _, credentials) = fixture::device().await;
    let asked = json!({ "amount": 25_000, "currency": "IDR", "request_id": "req_sale_1" });
    let path = "/device/transactions/dynamic-qr";
    let (first, replayed) = all_say(&credentials.api(&world), path, &asked).await;
    for answer in replayed {
        assert_eq!((answer.status, &answer.body), (201, &first.body));
    }
    // The query string is a part of the request, also ignored parameters.
    insist(
        &credentials.api(&world),
        &format!("{path}?again=1"),
        "one",
        &asked,
    )
    .await
    .refused(DUPLICATE_REQUEST);
    assert_eq!(world.rows("transactions").await, 1);
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_caller() {
    let world = World::new().await;
    let admin = world.admin();
    let first = insist(&admin, "/admin/merchants", "one", &merchant("Sari"))
        .await
        .expect(201);
    let other = insist(&admin, "/admin/merchants", "one", &merchant("Budi")).await;
    other.refused(DUPLICATE_REQUEST);
    // An unknown parameter is refused before the key is checked.
    let query = "/admin/merchants?dry_run=true";
    insist(&admin, query, "one", &merchant("Sari"))
        .await
        .refused(VALIDATION_FAILED);
    // The same request of another caller, or to another route, is another request.
    let ops = world.staff(Role::Ops).await;
    let another = insist(&ops, "/admin/merchants", "one", &merchant("Sari"))
        .await
        .expect(201);
    assert_eq!(another.header("idempotent-replayed"), None);
    assert_ne!(another.data()["id"], first.data()["id"]);
    let path = format!("/admin/merchants/{}/approve", text(&first.data(), "id"));
    let approved = insist(&admin, &path, "one", &json!({})).await.expect(200);
    assert_eq!(approved.header("idempotent-replayed"), None);
    // A repetition gets the old answer, whatever has changed since.
    let again = insist(&admin, "/admin/merchants", "one", &merchant("Sari"))
        .await
        .expect(201);
    assert_eq!(again.body, first.body);
    assert_eq!(again.data()["status"], "pending_review");
    // After a day the key is free.
    world.later(24 * 3600 + 1);
    let token = world.token(Role::Ops).await;
    let fresh = insist(
        &world.anonymous().with_token(&token),
        "/admin/merchants",
        "one",
        &merchant("Budi"),
    )
    .await;
    assert_eq!(fresh.expect(201).header("idempotent-replayed"), None);
}

#[tokio::test]
async fn what_was_refused_did_not_use_up_its_key() {
    let world = World::new().await;
    let admin = world.admin();
    let before = Snapshot::take(&world.pool).await;
    let wrong = json!({ "legal_name": "Sari", "brand_name": "" });
    insist(&admin, "/admin/merchants", "one", &wrong)
        .await
        .refused(VALIDATION_FAILED);
    before.changed_only(&world.pool, &[("tokens", 0)]).await;
    let _ = insist(&admin, "/admin/merchants", "one", &merchant("Sari"))
        .await
        .expect(201);
    for key in ["", " ", "a b", &"x".repeat(129)] {
        admin
            .post_with(
                "/admin/merchants",
                &[("idempotency-key", key)],
                &merchant("Sari"),
            )
            .await
            .refused(VALIDATION_FAILED);
    }
    assert_eq!(world.rows("merchants").await, 1);
}

#[tokio::test]
async fn a_crash_in_between_has_one_effect_or_none() {
    let mut world = World::new().await;
    let asked = 40;
    let admin = world.admin();
    let first_life: Vec<_> = (0..asked)
        .map(|number| {
            let admin = admin.clone();
            tokio::spawn(async move {
                let key = format!("key-{number}");
                try_to_insist(&admin, "/admin/merchants", &key, &merchant("Sari")).await
            })
        })
        .collect();
    tests::eventually("the first of them", || async {
        let done = world.rows("merchants").await;
        (done > 0).then_some(())
    })
    .await;
    world.crash();
    let mut heard = Vec::new();
    for answer in first_life {
        // A missing answer or a 5xx promises nothing.
        let answer = answer.await.unwrap().ok();
        heard.push(answer.filter(|answer| answer.status == 201));
    }
    world.start().await;
    let admin = world.admin();
    for (number, before) in heard.iter().enumerate() {
        let key = format!("key-{number}");
        let again = insist(&admin, "/admin/merchants", &key, &merchant("Sari"))
            .await
            .expect(201);
        if let Some(before) = before {
            assert_eq!(again.body, before.body, "{key} was answered before");
        }
    }
    let merchants = world.rows("merchants").await;
    assert_eq!(merchants, asked);
    let audited = "audit_logs WHERE action = 'merchant.create'";
    assert_eq!(world.rows(audited).await, asked);
}
