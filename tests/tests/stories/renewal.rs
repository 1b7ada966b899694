//! New credentials in the place of the old.

use serde_json::{Value, json};
use tests::credentials::new_key;
use tests::{Credentials, World, books};

const PATH: &str = "/device/provision/refresh-credential";
const DAY_S: i64 = 86_400;

#[tokio::test]
async fn the_old_credentials_end_when_the_new_are_used() {
    let world = World::new().await;
    let old = Credentials::unbound(&world).await;
    let new = old.renew(&world, &old.api(&world)).await;
    // Nothing of the new was used yet.
    let _ = old.api(&world).get("/device/config").await.expect(200);
    let _ = old
        .api_by_certificate(&world)
        .get("/device/config")
        .await
        .expect(200);

    let _ = new.api(&world).get("/device/config").await.expect(200);
    old.api(&world)
        .get("/device/config")
        .await
        .refused(401, "DEVICE_UNAUTHORIZED");
    let _ = old
        .api_by_certificate(&world)
        .get("/device/config")
        .await
        .expect(200);

    let _ = new
        .api_by_certificate(&world)
        .get("/device/config")
        .await
        .expect(200);
    old.api_by_certificate(&world)
        .get("/device/config")
        .await
        .refused(401, "DEVICE_UNAUTHORIZED");
    let _ = new.api(&world).get("/device/config").await.expect(200);
}

#[tokio::test]
async fn the_old_credentials_end_after_a_day_at_the_latest() {
    let world = World::new().await;
    let old = Credentials::unbound(&world).await;
    let new = old.renew(&world, &old.api_by_certificate(&world)).await;
    world.later(DAY_S + 1);
    for api in [old.api(&world), old.api_by_certificate(&world)] {
        api.get("/device/config")
            .await
            .refused(401, "DEVICE_UNAUTHORIZED");
    }
    let _ = new.api(&world).get("/device/config").await.expect(200);
}

#[tokio::test]
async fn an_expired_certificate_is_good_for_its_renewal_alone() {
    let world = World::with(|config| config.pki.device_certificate_days = 40).await;
    let credentials = Credentials::unbound(&world).await;
    let late = Credentials::unbound(&world).await;
    let expired = credentials.api_by_certificate(&world);
    world.later(41 * DAY_S);
    expired
        .get("/device/config")
        .await
        .refused(401, "DEVICE_UNAUTHORIZED");
    let new = credentials.renew(&world, &expired).await;
    // TLS looks at the real clock, to which the new certificate is not valid yet.
    let _ = new.api(&world).get("/device/config").await.expect(200);

    world.later(30 * DAY_S);
    late.api_by_certificate(&world)
        .post(PATH, &json!({ "csr": new_key().csr_pem() }))
        .await
        .refused(401, "DEVICE_UNAUTHORIZED");
}

#[tokio::test]
async fn only_a_box_in_service_with_a_proven_key_is_renewed() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let csr = json!({ "csr": new_key().csr_pem() });
    world
        .anonymous()
        .post(PATH, &csr)
        .await
        .refused(401, "DEVICE_UNAUTHORIZED");
    world
        .admin()
        .post(PATH, &csr)
        .await
        .refused(401, "DEVICE_UNAUTHORIZED");
    let api = credentials.api(&world);
    for wrong in [json!({}), json!({ "csr": "nonsense" })] {
        api.post(PATH, &wrong)
            .await
            .refused(422, "VALIDATION_FAILED");
    }
    let issued = books::count(&world.pool, "SELECT count(*) FROM device_credentials").await;
    assert_eq!(issued, 1);

    // A repetition under the same key is the same certificate, and shows no secret.
    let keyed = [("idempotency-key", "renew-1")];
    let first = api.post_with(PATH, &keyed, &csr).await.expect(200).data();
    let again = api.post_with(PATH, &keyed, &csr).await.expect(200).data();
    assert_eq!(first["certificate"], again["certificate"]);
    assert!(first["device_token"].is_string());
    assert_eq!(again["device_token"], Value::Null);

    let suspended = json!({ "status": "suspended" });
    let path = format!("/admin/devices/{}", credentials.device_id);
    let _ = world.admin().patch(&path, &suspended).await.expect(200);
    api.post(PATH, &csr)
        .await
        .refused(401, "DEVICE_UNAUTHORIZED");
}
