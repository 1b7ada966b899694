//! Revoked boxes are disconnected and cannot connect again.

use tests::connection::ConnectOptions;
use tests::credentials::new_key;
use tests::prelude::*;
use tests::soundbox::{connect, visit};
use wire::Encoding;

const RENEW: &str = "/device/provision/refresh-credential";

/// Revokes credentials through the API; the serial numbers that were revoked.
async fn revoke(world: &World, credentials: &Credentials, what: &Value) -> Vec<String> {
    let path = format!("{}/credentials/revoke", credentials.path());
    let data = world.admin().act(&path, what).await;
    serde_json::from_value(data["revoked"].clone()).unwrap()
}

/// A box's certificates in the API, newest first.
async fn issued(world: &World, credentials: &Credentials) -> Vec<Value> {
    let path = format!("/admin/devices/{}/credentials", credentials.device_id);
    world.admin().list(&path).await
}

/// Another activation of the same box, with another key.
async fn activate_again(world: &World, credentials: &Credentials) -> Credentials {
    let mut registered = credentials.registered();
    registered.activation_code = registered.new_code(world).await;
    registered.activate(world, Encoding::Json).await
}

async fn assert_refused_over_https(api: &Api) {
    assert_refused!(api.get("/device/config"), DEVICE_UNAUTHORIZED);
    let csr = json!({ "csr": new_key().csr_pem() });
    assert_refused!(api.post(RENEW, &csr), DEVICE_UNAUTHORIZED);
}

/// By MQTT, by certificate and by token.
async fn assert_shut_out(world: &World, credentials: &Credentials) {
    for clean in [true, false] {
        assert_not_authorized(connect(world, credentials, clean).await);
    }
    assert_refused_over_https(&credentials.api(world)).await;
    assert_refused_over_https(&credentials.api_by_certificate(world)).await;
}

async fn assert_at_home(world: &World, credentials: &Credentials) {
    visit(world, credentials).await;
    for api in [
        credentials.api(world),
        credentials.api_by_certificate(world),
    ] {
        api.read("/device/config").await;
    }
}

#[tokio::test]
async fn a_revoked_box_comes_back_by_no_way_but_a_new_activation() {
    let (world, _, soundbox) = fixture::soundbox().await;
    let credentials = soundbox.credentials.clone();
    let serial = credentials.certificate_serial();
    // It has an open connection over which it could go on.
    let by_certificate = credentials.api_by_certificate(&world);
    by_certificate.read("/device/config").await;

    let revoked = revoke(&world, &credentials, &json!({ "reason": "key_compromise" })).await;

    assert_eq!(revoked, [serial.as_str()]);
    soundbox.ended().await;
    assert_refused_over_https(&by_certificate).await;
    assert_shut_out(&world, &credentials).await;
    let known = &issued(&world, &credentials).await[0];
    assert_fields!(known, { "serial": serial, "status": "revoked", "revoked_reason": "key_compromise" });
    // A second revocation changes nothing.
    assert!(revoke(&world, &credentials, &json!({})).await.is_empty());
    let known = &issued(&world, &credentials).await[0];
    assert_eq!(known["revoked_reason"], "key_compromise");

    let new = activate_again(&world, &credentials).await;
    assert_at_home(&world, &new).await;
    assert_shut_out(&world, &credentials).await;
}

#[tokio::test]
async fn a_suspended_and_reinstated_box_needs_a_new_activation() {
    let world = World::new().await;
    let old = Credentials::unbound(&world).await;
    old.set_status(&world, "suspended").await;
    assert_shut_out(&world, &old).await;
    let path = format!("/admin/devices/{}/activation-code", old.device_id);
    assert_refused!(world.admin().post(&path, &json!({})), INVALID_STATE);
    old.set_status(&world, "active").await;
    assert_shut_out(&world, &old).await;

    let new = activate_again(&world, &old).await;

    assert_at_home(&world, &new).await;
    assert_shut_out(&world, &old).await;
    let known = issued(&world, &old).await;
    assert_eq!(known.len(), 2);
    assert_eq!(known[0]["revoked_reason"], Value::Null);
    assert_eq!(known[1]["revoked_reason"], "privilege_withdrawn");
}

#[tokio::test]
async fn a_rotated_boxs_old_certificate_ends_with_the_first_use_of_the_new() {
    let (world, _, soundbox) = fixture::soundbox().await;
    let old = soundbox.credentials.clone();
    let new = old.renew(&world, &old.api(&world)).await;
    let now = texts(&issued(&world, &old).await, "status");
    assert_eq!(now, ["active", "overlapping"]);
    connect(&world, &old, false).await.unwrap().abort().await;
    let soundbox = Soundbox::switch_on(&world, soundbox.credentials).await;

    // The first use is over HTTPS; the session of the old certificate ends as well.
    let api = new.api_by_certificate(&world);
    api.read("/device/config").await;

    soundbox.ended().await;
    assert_not_authorized(connect(&world, &old, false).await);
    assert_refused_over_https(&old.api_by_certificate(&world)).await;
    let admitted = connect(&world, &new, false).await.unwrap();
    admitted.disconnect().await;
    let now = texts(&issued(&world, &old).await, "status");
    assert_eq!(now, ["active", "superseded"]);
}

#[tokio::test]
async fn an_ended_certificate_does_not_interrupt_the_box() {
    let (world, _, soundbox) = fixture::soundbox().await;
    let revoked = soundbox.credentials.clone();
    revoke(&world, &revoked, &json!({})).await;
    soundbox.ended().await;
    let superseded = activate_again(&world, &revoked).await;
    let current = superseded.renew(&world, &superseded.api(&world)).await;
    // The first use of the renewed certificate ends the one before it.
    let mut soundbox = Soundbox::switch_on(&world, current.clone()).await;
    let session = "SELECT epoch FROM sessions WHERE connected";
    let epoch = world.number(session).await;

    for ended in [&revoked, &superseded] {
        for clean in [true, false] {
            assert_not_authorized(connect(&world, ended, clean).await);
        }
    }

    let sold = current.sell(&world, 10_000).await;
    assert_eq!(soundbox.play().await.transaction_id, sold);
    assert_eq!(world.number(session).await, epoch);
    let newer = Soundbox::switch_on(&world, current).await;
    soundbox.ended().await;
    assert_eq!(world.number(session).await, epoch + 1);
    drop(newer);
}

#[tokio::test]
async fn one_certificate_is_revoked_and_the_others_are_left() {
    let world = World::new().await;
    let old = Credentials::unbound(&world).await;
    let new = old.renew(&world, &old.api(&world)).await;
    let path = format!("/admin/devices/{}/credentials/revoke", old.device_id);
    let admin = world.admin();
    let other = Credentials::unbound(&world).await;
    for serial in [other.certificate_serial(), "00".to_owned()] {
        let refused = admin.post(&path, &json!({ "serial": serial })).await;
        refused.refused(CREDENTIAL_NOT_FOUND);
    }
    for wrong in [json!({ "reason": "boredom" }), json!({ "serial": "" })] {
        admin.post(&path, &wrong).await.refused(VALIDATION_FAILED);
    }
    assert_at_home(&world, &other).await;

    let serial = new.certificate_serial();
    let what = json!({ "serial": serial.to_uppercase(), "reason": "superseded" });
    assert_eq!(revoke(&world, &old, &what).await, [serial]);

    assert_shut_out(&world, &new).await;
    assert_at_home(&world, &old).await;
    assert!(revoke(&world, &old, &what).await.is_empty());
    let audited = format!("/admin/audit-logs?entity={}", old.device_id);
    let mut actions = texts(&admin.list(&audited).await, "action");
    actions.retain(|action| action == "device.revoke_credentials");
    assert_eq!(actions.len(), 1);
}

#[tokio::test]
async fn a_session_at_another_process_ends_too() {
    let world = World::new().await;
    let neighbour = world.neighbour("node-2").await;
    let credentials = Credentials::unbound(&world).await;
    let connect = || async {
        Connection::open(ConnectOptions {
            address: neighbour.mqtt(),
            client_id: &credentials.device_id.to_string(),
            clean: false,
            tls: credentials.tls(),
        })
        .await
    };
    let connection = connect().await.unwrap();

    let revoked = revoke(&world, &credentials, &json!({})).await;

    assert_eq!(revoked.len(), 1);
    connection.ended().await;
    assert_not_authorized(connect().await);
}

/// This check runs every half a minute, for signals that were lost with a connection to the database.
#[tokio::test]
async fn a_session_whose_certificate_ended_unheard_is_found() {
    use service::fleet::credential::ended_sessions;

    let world = World::new().await;
    let sound = Soundbox::unbound(&world).await;
    let lost = Soundbox::unbound(&world).await;
    let context = world.app().context();
    assert!(ended_sessions(context).await.unwrap().is_empty());
    let serial = lost.credentials.certificate_serial();
    let unheard = "UPDATE device_credentials SET revoked_at = now() WHERE certificate_serial";
    world.execute(&format!("{unheard} = '{serial}'")).await;
    let found = ended_sessions(context).await.unwrap();
    assert_eq!(found, [(lost.credentials.device_id, serial)]);
    // One whose certificate has expired is found as well.
    world.later(366 * 86_400);
    let mut found = ended_sessions(context).await.unwrap();
    found.sort_unstable();
    let mut both = [&sound, &lost].map(|soundbox| {
        let credentials = &soundbox.credentials;
        (credentials.device_id, credentials.certificate_serial())
    });
    both.sort_unstable();
    assert_eq!(found, both);
}
