//! Renewed credentials.

use tests::credentials::new_key;
use tests::prelude::*;

const PATH: &str = "/device/provision/refresh-credential";
const DAY_S: i64 = 86_400;

#[tokio::test]
async fn the_old_credentials_end_when_the_new_are_used() {
    let world = World::new().await;
    let old = Credentials::unbound(&world).await;
    let new = old.renew(&world, &old.api(&world)).await;
    // The new credentials were not used yet.
    old.api(&world).read("/device/config").await;
    old.api_by_certificate(&world).read("/device/config").await;

    new.api(&world).read("/device/config").await;
    assert_refused!(old.api(&world).get("/device/config"), DEVICE_UNAUTHORIZED);
    old.api_by_certificate(&world).read("/device/config").await;

    new.api_by_certificate(&world).read("/device/config").await;
    let answer = old.api_by_certificate(&world).get("/device/config").await;
    answer.refused(DEVICE_UNAUTHORIZED);
    new.api(&world).read("/device/config").await;
}

#[tokio::test]
async fn the_old_credentials_end_after_a_day_at_the_latest() {
    let world = World::new().await;
    let old = Credentials::unbound(&world).await;
    let new = old.renew(&world, &old.api_by_certificate(&world)).await;
    world.later(DAY_S + 1);
    for api in [old.api(&world), old.api_by_certificate(&world)] {
        api.get("/device/config").await.refused(DEVICE_UNAUTHORIZED);
    }
    new.api(&world).read("/device/config").await;
}

#[tokio::test]
async fn an_expired_certificate_is_good_for_its_renewal_alone() {
    let world = World::with(|config| config.pki.device_certificate_days = 40).await;
    let credentials = Credentials::unbound(&world).await;
    let late = Credentials::unbound(&world).await;
    let expired = credentials.api_by_certificate(&world);
    world.later(41 * DAY_S);
    assert_refused!(expired.get("/device/config"), DEVICE_UNAUTHORIZED);
    let new = credentials.renew(&world, &expired).await;
    // TLS uses the real clock, by which the new certificate is not valid yet.
    new.api(&world).read("/device/config").await;

    world.later(30 * DAY_S);
    let csr = json!({ "csr": new_key().csr_pem() });
    let answer = late.api_by_certificate(&world).post(PATH, &csr).await;
    answer.refused(DEVICE_UNAUTHORIZED);
}

#[tokio::test]
async fn only_a_box_in_service_with_a_proven_key_is_renewed() {
    let world = World::new().await;
    let credentials = Credentials::unbound(&world).await;
    let csr = json!({ "csr": new_key().csr_pem() });
    for api in [world.anonymous(), world.admin()] {
        api.post(PATH, &csr).await.refused(DEVICE_UNAUTHORIZED);
    }
    let api = credentials.api(&world);
    for wrong in [json!({}), json!({ "csr": "nonsense" })] {
        api.post(PATH, &wrong).await.refused(VALIDATION_FAILED);
    }
    let issued = world.rows("device_credentials").await;
    assert_eq!(issued, 1);

    // A repetition with the same key returns the same certificate, without the token.
    let keyed = [("idempotency-key", "renew-1")];
    let first = api.post_with(PATH, &keyed, &csr).await.expect(200).data();
    let again = api.post_with(PATH, &keyed, &csr).await.expect(200).data();
    assert_eq!(first["certificate"], again["certificate"]);
    assert!(first["device_token"].is_string());
    assert_eq!(again["device_token"], Value::Null);

    let suspended = json!({ "status": "suspended" });
    credentials.change(&world, suspended).await;
    api.post(PATH, &csr).await.refused(DEVICE_UNAUTHORIZED);
}
