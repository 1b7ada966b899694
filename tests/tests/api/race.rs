//! Concurrent changes of the same thing: one after the other, or one of them is refused.

use futures_util::future::join_all;
use tests::prelude::*;

const AT_ONCE: usize = 20;

/// One of them has this status, all the others a conflict.
fn one_alone(answers: &[Answer], status: u16) {
    let (done, conflicts) = (with_status(answers, status), with_status(answers, 409));
    assert_eq!((done, conflicts), (1, AT_ONCE - 1), "{answers:?}");
}

/// The audit log of an entity: each change begins with the state that the one before it left.
async fn must_follow(world: &World, entity: &str, action: &str) -> usize {
    let changes: Vec<(Option<Value>, Option<Value>)> = sqlx::query_as(
        "SELECT before, after FROM audit_logs WHERE entity = $1 AND action = $2 ORDER BY id",
    )
    .bind(entity)
    .bind(action)
    .fetch_all(&world.pool)
    .await
    .unwrap();
    for pair in changes.windows(2) {
        let (ended, began) = (pair[0].1.as_ref().unwrap(), pair[1].0.as_ref().unwrap());
        let time = |value: &Value| value["updated_at"].as_str().map(str::to_owned);
        assert!(time(ended) <= time(began), "time ran backwards");
        for field in ["status", "model", "communication_mode", "updated_at"] {
            let (ended, began) = (ended.get(field), began.get(field));
            assert_eq!(ended, began, "a change of {field} was lost");
        }
    }
    changes.len()
}

#[tokio::test]
async fn a_merchant_is_decided_once() {
    let world = World::new().await;
    let admin = world.admin();
    let merchant = json!({ "legal_name": "PT Sari", "brand_name": "Sari" });
    let created = admin.create("/admin/merchants", &merchant).await;
    let id = text(&created, "id");
    let before = Snapshot::take(&world.pool).await;
    let answers = join_all((0..AT_ONCE).map(|number| {
        let (admin, id) = (admin.clone(), id.clone());
        async move {
            let (decision, body) = if number % 2 == 0 {
                ("approve", json!({}))
            } else {
                ("reject", json!({ "reason": "no licence" }))
            };
            let path = format!("/admin/merchants/{id}/{decision}");
            admin.post(&path, &body).await
        }
    }))
    .await;
    one_alone(&answers, 200);
    let decided = answers.iter().find(|answer| answer.status == 200);
    let decided = decided.unwrap().data();
    let now = admin.read(&format!("/admin/merchants/{id}")).await;
    assert_eq!(now, decided);
    assert_eq!(now["status"] == "approved", now["nmid"].is_string());
    let with_reason = now["status_reason"].is_string();
    assert_eq!(now["status"] == "rejected", with_reason);
    let one = [("audit_logs", 1), ("merchants", 0)];
    before.changed_only(&world.pool, &one).await;
}

#[tokio::test]
async fn an_acquirer_id_belongs_to_one_merchant() {
    let world = World::new().await;
    let admin = world.admin();
    for (field, value) in [
        ("nmid", "ID1020000000001"),
        ("merchant_pan", "936000000000000001"),
    ] {
        let merchant = json!({ "legal_name": "PT Sari", "brand_name": "Sari", field: value });
        let answers = join_all((0..4).map(|_| admin.post("/admin/merchants", &merchant))).await;
        assert_eq!(with_status(&answers, 201), 1, "{answers:?}");
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            answer.refused(DUPLICATE_REQUEST);
        }
    }
}

#[tokio::test]
async fn a_serial_number_is_registered_once() {
    let world = World::new().await;
    let admin = world.admin();
    let before = Snapshot::take(&world.pool).await;
    let device = json!({ "serial_number": "SN-1", "model": "SB-1", "capabilities": ["speaker"] });
    let answers = join_all((0..AT_ONCE).map(|_| admin.post("/admin/devices", &device))).await;
    one_alone(&answers, 201);
    let one = [
        ("activation_codes", 1),
        ("audit_logs", 1),
        ("device_configs", 1),
        ("device_presence", 1),
        ("devices", 1),
        ("notification_sequences", 1),
        ("tokens", 0),
    ];
    before.changed_only(&world.pool, &one).await;
}

#[tokio::test]
async fn a_box_stands_in_one_place() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 4).await;
    let credentials = Credentials::unbound(&world).await;
    let admin = world.admin();
    let path = format!("/admin/devices/{}", credentials.device_id);
    let answers = join_all((0..AT_ONCE).map(|number| {
        let (admin, path) = (admin.clone(), path.clone());
        let terminal_id = shop.terminals[number % 4].id;
        async move {
            if number % 5 == 4 {
                admin.post(&format!("{path}/unbind"), &json!({})).await
            } else {
                let place = json!({ "terminal_id": terminal_id });
                admin.post(&format!("{path}/bind"), &place).await
            }
        }
    }))
    .await;
    // An unbind may come when there is nothing to unbind; nothing else may fail.
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.refused(DEVICE_NOT_BOUND);
    }
    assert!(world.rows("bindings WHERE unbound_at IS NULL").await <= 1);
    // The configuration that is pushed has the current binding.
    let agree = "device_configs c LEFT JOIN bindings b ON b.device_id = c.device_id AND b.unbound_at IS NULL
                 WHERE c.binding_id IS NOT DISTINCT FROM b.id";
    assert_eq!(world.rows(agree).await, 1);
    // The audit log has every step.
    let bindings = world.rows("bindings").await;
    let audited = "audit_logs WHERE action = 'device.bind'";
    assert_eq!(world.rows(audited).await, bindings);
    // No two bindings overlap in time.
    let overlapping = "(
        SELECT bound_at, unbound_at, lag(unbound_at) OVER (ORDER BY bound_at, unbound_at) AS before FROM bindings) b
        WHERE unbound_at < bound_at OR before > bound_at";
    assert_eq!(world.rows(overlapping).await, 0);
}

#[tokio::test]
async fn no_change_of_a_box_is_lost() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let admin = world.admin();
    let path = format!("/admin/devices/{}", credentials.device_id);
    let answers = join_all((0..AT_ONCE).map(|number| {
        let (admin, path) = (admin.clone(), path.clone());
        let change = match number % 4 {
            0 => json!({ "model": format!("SB-{number}") }),
            1 => json!({ "communication_mode": "http" }),
            2 => json!({ "status": "suspended" }),
            _ => json!({ "status": "active", "model": "SB-1" }),
        };
        async move { admin.patch(&path, &change).await }
    }))
    .await;
    assert_eq!(with_status(&answers, 200), AT_ONCE, "{answers:?}");
    let entity = credentials.device_id.to_string();
    assert_eq!(must_follow(&world, &entity, "device.patch").await, AT_ONCE);
    // After a suspension its credentials stay revoked, whatever its status is now.
    let live =
        "SELECT (SELECT count(*) FROM tokens WHERE device_id IS NOT NULL AND revoked_at IS NULL)
                     + (SELECT count(*) FROM device_credentials WHERE revoked_at IS NULL)";
    assert_eq!(world.number(live).await, 0);
}

#[tokio::test]
async fn no_login_slips_past_the_end_of_a_user() {
    let world = World::new().await;
    let admin = world.admin();
    let user =
        json!({ "email": "sari@example.id", "role": "ops", "password": "kopi tubruk panas" });
    let user = admin.create("/admin/users", &user).await;
    let path = format!("/admin/users/{}", text(&user, "id"));
    let anonymous = world.anonymous();
    let login = json!({ "email": "sari@example.id", "password": "kopi tubruk panas" });
    let logins = join_all((0..8).map(|_| anonymous.post("/admin/login", &login)));
    let disable = json!({ "status": "disabled" });
    let (logins, disabled) = tokio::join!(logins, admin.patch(&path, &disable));
    let _ = disabled.expect(200);
    for answer in logins.iter().filter(|answer| answer.status == 200) {
        let sari = world.anonymous().with_token(&text(&answer.data(), "token"));
        sari.get("/admin/devices").await.refused(UNAUTHENTICATED);
    }
    let live = "tokens WHERE user_id IS NOT NULL AND revoked_at IS NULL";
    assert_eq!(world.rows(live).await, 0);
}
