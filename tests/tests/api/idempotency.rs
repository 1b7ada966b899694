//! A client that does not know whether it was heard says it again.

use domain::role::Role;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tests::books::{Books, count};
use tests::shop::text;
use tests::{Answer, Api, Credentials, Shop, World};

/// How many say the same at once.
const AT_ONCE: usize = 50;

fn merchant(name: &str) -> Value {
    json!({ "legal_name": name, "brand_name": name })
}

/// Asks until there is another answer than that it is being worked on.
async fn insist(api: &Api, path: &str, key: &str, body: &Value) -> Answer {
    try_to_insist(api, path, key, body).await.unwrap()
}

/// The same of a platform that may not be there any more.
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
        answer.refused(409, "DUPLICATE_REQUEST");
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
    let books = Books::open(&world.pool).await;
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
    books.changed_only(&world.pool, &effects).await;
}

#[tokio::test]
async fn fifty_at_once_are_one_and_its_secret_is_told_once() {
    let world = World::new().await;
    let device = json!({ "serial_number": "SN-1", "model": "SB-1", "capabilities": ["speaker"] });
    let (first, replayed) = all_say(&world.admin(), "/admin/devices", &device).await;
    text(&first.data(), "activation_code");
    for answer in &replayed {
        assert_eq!((answer.status, &answer.body), (201, &replayed[0].body));
        assert!(answer.data()["activation_code"].is_null());
        assert_eq!(answer.data()["id"], first.data()["id"]);
    }
    assert_eq!(count(&world.pool, "SELECT count(*) FROM devices").await, 1);
    assert_eq!(
        count(&world.pool, "SELECT count(*) FROM activation_codes").await,
        1
    );
}

#[tokio::test]
async fn fifty_at_once_are_one_code_to_pay() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.till().id).await;
    let asked = json!({ "amount": 25_000, "currency": "IDR", "request_id": "req_sale_1" });
    let path = "/device/transactions/dynamic-qr";
    let (first, replayed) = all_say(&credentials.api(&world), path, &asked).await;
    for answer in replayed {
        assert_eq!((answer.status, &answer.body), (201, &first.body));
    }
    // The query string is a part of the request, also what of it is ignored.
    insist(
        &credentials.api(&world),
        &format!("{path}?again=1"),
        "one",
        &asked,
    )
    .await
    .refused(409, "DUPLICATE_REQUEST");
    assert_eq!(
        count(&world.pool, "SELECT count(*) FROM transactions").await,
        1
    );
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_caller() {
    let world = World::new().await;
    let admin = world.admin();
    let first = insist(&admin, "/admin/merchants", "one", &merchant("Sari"))
        .await
        .expect(201);
    let other = insist(&admin, "/admin/merchants", "one", &merchant("Budi")).await;
    other.refused(409, "DUPLICATE_REQUEST");
    // A parameter that is not known is refused before the key is looked at.
    let query = "/admin/merchants?dry_run=true";
    insist(&admin, query, "one", &merchant("Sari"))
        .await
        .refused(422, "VALIDATION_FAILED");
    // The same words of another caller, or for another route, are another request.
    let ops = world.staff(Role::Ops).await;
    let another = insist(&ops, "/admin/merchants", "one", &merchant("Sari"))
        .await
        .expect(201);
    assert_eq!(another.header("idempotent-replayed"), None);
    assert_ne!(another.data()["id"], first.data()["id"]);
    let path = format!("/admin/merchants/{}/approve", text(&first.data(), "id"));
    let approved = insist(&admin, &path, "one", &json!({})).await.expect(200);
    assert_eq!(approved.header("idempotent-replayed"), None);
    // A repetition is answered as it was, whatever became of the merchant since.
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
    let books = Books::open(&world.pool).await;
    let wrong = json!({ "legal_name": "Sari", "brand_name": "" });
    insist(&admin, "/admin/merchants", "one", &wrong)
        .await
        .refused(422, "VALIDATION_FAILED");
    books.changed_only(&world.pool, &[("tokens", 0)]).await;
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
            .refused(422, "VALIDATION_FAILED");
    }
    assert_eq!(
        count(&world.pool, "SELECT count(*) FROM merchants").await,
        1
    );
}

#[tokio::test]
async fn a_platform_that_died_in_between_has_done_it_once_or_not_at_all() {
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
        let done = count(&world.pool, "SELECT count(*) FROM merchants").await;
        (done > 0).then_some(())
    })
    .await;
    world.crash();
    let mut heard = Vec::new();
    for answer in first_life {
        // No answer promises anything, nor does one that says that something went wrong.
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
    let merchants = count(&world.pool, "SELECT count(*) FROM merchants").await;
    assert_eq!(merchants, asked);
    let told = "SELECT count(*) FROM audit_logs WHERE action = 'merchant.create'";
    assert_eq!(count(&world.pool, told).await, asked);
}
