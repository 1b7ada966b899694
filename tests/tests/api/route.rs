//! Every route, called by callers of every kind; one table defines who is admitted.
//!
//! The routes are taken from the platform itself, method by method: a route that is not in the table fails these tests,
//! and so does a row without a route.

use std::collections::BTreeSet;
use tests::prelude::*;

use chrono::TimeDelta;
use reqwest::Method;
use wire::ids::{CallbackId, IncidentId, UnmatchedPaymentId};

use super::route_table::TABLE;
use super::route_table::Who::{self, AnyRole, Anyone, Box, May, Partner, SnapPartner};

struct Caller {
    name: String,
    api: Api,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// No token, or one that is none.
    Unauthenticated,
    /// A box at the own merchant, by its token.
    Box,
    /// The same by its certificate, which only the routes of boxes accept.
    Certificate,
    /// Staff, and users of the own merchant.
    Own(Role),
    /// Users of another merchant.
    Other(Role),
}

/// What a route must do with a caller.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Admitted,
    Refused(Refusal<'static>),
    /// Refused, in the form of SNAP BI.
    RefusedBySnap,
}

fn expected(who: Who, kind: Kind) -> Expected {
    match (who, kind) {
        (Anyone, _) => Expected::Admitted,
        (Partner, _) => Expected::Refused(INVALID_SIGNATURE),
        (SnapPartner, _) => Expected::RefusedBySnap,
        (AnyRole, Kind::Unauthenticated | Kind::Certificate) => Expected::Refused(UNAUTHENTICATED),
        (AnyRole, Kind::Own(_) | Kind::Other(_)) => Expected::Admitted,
        (AnyRole, Kind::Box) => Expected::Refused(FORBIDDEN),
        (Box, Kind::Box | Kind::Certificate) => Expected::Admitted,
        (Box, _) => Expected::Refused(DEVICE_UNAUTHORIZED),
        (May(_), Kind::Unauthenticated | Kind::Certificate) => Expected::Refused(UNAUTHENTICATED),
        (May(permission), Kind::Own(role) | Kind::Other(role)) if role.may(permission) => {
            Expected::Admitted
        }
        (May(_), _) => Expected::Refused(FORBIDDEN),
    }
}

/// The ids that stand in paths, all of one merchant.
struct Tenant {
    shop: Shop,
    device_id: String,
    command_id: String,
    bulk_command_id: String,
    firmware_id: String,
    transaction_id: String,
    incident_id: String,
    callback_id: String,
    unmatched_payment_id: String,
    settlement_id: String,
    user_id: String,
    token_id: String,
}

impl Tenant {
    async fn of(world: &World, shop: Shop, credentials: &Credentials) -> Self {
        let admin = world.admin();
        let transaction = credentials.sell(world, 10_000).await;
        let user = json!({
            "email": format!("owner@{}", shop.nmid), "role": "merchant_owner", "merchant_id": shop.merchant_id,
        });
        let user = admin.create("/admin/users", &user).await;
        let token = json!({ "role": "merchant_owner", "merchant_id": shop.merchant_id, "name": "terminal" });
        let token = admin.create("/admin/tokens", &token).await;
        world.later(1);
        let merchant = json!({ "merchant_id": shop.merchant_id });
        let run = admin.post_once("/admin/settlements/run", &merchant).await;
        let settled = run.expect(200).data();
        let path = format!("/admin/devices/{}/commands", credentials.device_id);
        let reboot = json!({ "type": "reboot" });
        let command = admin.post_once(&path, &reboot).await.expect(201).data();
        let firmware = json!({
            "version": shop.nmid, "model": "SB-1", "url": "https://firmware.example/1.bin", "sha256": "ab".repeat(32),
        });
        let firmware = admin.create("/admin/firmware", &firmware).await;
        Self {
            shop,
            command_id: text(&command, "id"),
            bulk_command_id: ended_bulk_command(world, credentials).await,
            firmware_id: text(&firmware, "id"),
            settlement_id: settled["settlements"][0].as_str().unwrap().to_owned(),
            device_id: credentials.device_id.to_string(),
            transaction_id: transaction.to_string(),
            callback_id: CallbackId::from_uuid(world.clock.uuid()).to_string(),
            incident_id: IncidentId::from_uuid(world.clock.uuid()).to_string(),
            unmatched_payment_id: UnmatchedPaymentId::from_uuid(world.clock.uuid()).to_string(),
            user_id: text(&user, "id"),
            token_id: text(&token, "id"),
        }
    }

    /// The parameters that paths have, with this merchant's ids.
    fn ids(&self) -> Vec<(&'static str, String)> {
        vec![
            ("{merchant_id}", self.shop.merchant_id.to_string()),
            ("{outlet_id}", self.shop.outlet_id.to_string()),
            ("{terminal_id}", self.shop.terminal().id.to_string()),
            ("{device_id}", self.device_id.clone()),
            ("{command_id}", self.command_id.clone()),
            ("{bulk_command_id}", self.bulk_command_id.clone()),
            ("{firmware_id}", self.firmware_id.clone()),
            ("{alert_id}", format!("alr_{}", uuid::Uuid::nil().simple())),
            ("{transaction_id}", self.transaction_id.clone()),
            ("{settlement_id}", self.settlement_id.clone()),
            ("{incident_id}", self.incident_id.clone()),
            ("{callback_id}", self.callback_id.clone()),
            ("{unmatched_payment_id}", self.unmatched_payment_id.clone()),
            ("{user_id}", self.user_id.clone()),
            ("{token_id}", self.token_id.clone()),
        ]
    }

    fn fill(&self, path: &str) -> String {
        let filled = self
            .ids()
            .iter()
            .fold(path.to_owned(), |path, (name, id)| path.replace(name, id))
            // Of no merchant: the fee profile is everybody's, the others do not exist.
            .replace("{fee_profile_id}", "fee_basic")
            .replace("{partner_id}", "acme")
            .replace(
                "{reconciliation_id}",
                "rec_0190f3a1c0de7abc8def0123456789ab",
            )
            .replace("{approval_id}", "apr_0190f3a1c0de7abc8def0123456789ab")
            .replace("{endpoint_id}", "whe_0190f3a1c0de7abc8def0123456789ab")
            .replace("{delivery_id}", "msg_0190f3a1c0de7abc8def0123456789ab");
        let unknown = "an id that Tenant::ids must give";
        assert!(!filled.contains('{'), "{path} contains {unknown}");
        filled
    }
}

/// A bulk command that has ended.
async fn ended_bulk_command(world: &World, credentials: &Credentials) -> String {
    let admin = world.admin();
    let body = json!({
        "type": "reboot", "query": { "device_ids": [credentials.device_id] },
        "rollout": { "rate_per_minute": 60, "abort_threshold_percent": 50, "min_sample": 1 },
    });
    let made = admin.post_once("/admin/bulk-commands", &body).await;
    let made = made.expect(201).data();
    let path = format!("/admin/bulk-commands/{}", text(&made, "id"));
    admin.act(&format!("{path}/cancel"), &json!({})).await;
    eventually("the end of a bulk command", || async {
        let now = admin.get(&path).await.data();
        (!now["ended_at"].is_null()).then_some(())
    })
    .await;
    text(&made, "id")
}

/// Two shops, and callers of every kind.
struct Scene {
    world: World,
    own: Tenant,
    callers: Vec<Caller>,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let own = Shop::open(&world, "Warung Sari", 1).await;
        let other = Shop::open(&world, "Kopi Fajar", 1).await;
        let own_box = Credentials::at(&world, own.terminal().id).await;
        let other_box = Credentials::at(&world, other.terminal().id).await;
        let own = Tenant::of(&world, own, &own_box).await;
        let other = Tenant::of(&world, other, &other_box).await;
        let anonymous = world.anonymous();
        let caller = |name: &str, api: Api, kind| Caller {
            name: name.to_owned(),
            api,
            kind,
        };
        let nonsense = anonymous.with_token("sbt_nonsense");
        let by_certificate = own_box.api_by_certificate(&world);
        let mut callers = vec![
            caller("no token", anonymous.clone(), Kind::Unauthenticated),
            caller("a wrong token", nonsense, Kind::Unauthenticated),
            caller("a box", own_box.api(&world), Kind::Box),
            caller("a box by certificate", by_certificate, Kind::Certificate),
        ];
        for role in Role::ALL.iter().copied() {
            if !role.is_of_merchant() {
                let api = world.staff(role).await;
                callers.push(caller(role.as_str(), api, Kind::Own(role)));
                continue;
            }
            for (tenant, kind) in [(&own, Kind::Own(role)), (&other, Kind::Other(role))] {
                let hour = TimeDelta::hours(1);
                let token = world
                    .token_for(role, Some(tenant.shop.merchant_id), hour)
                    .await;
                let name = format!("{role} of {}", tenant.shop.nmid);
                callers.push(caller(&name, anonymous.with_token(&token), kind));
            }
        }
        Self {
            world,
            own,
            callers,
        }
    }
}

/// Sends a body that cannot be parsed, so that an admitted caller changes nothing either.
async fn ask(api: &Api, method: &str, path: &str) -> Answer {
    let method: Method = method.parse().unwrap();
    let body = (method != Method::GET).then(|| b"nonsense".to_vec());
    api.call(method, path, &[], body).await
}

#[tokio::test]
async fn every_route_is_in_the_table() {
    let scene = Scene::new().await;
    let anonymous = scene.world.anonymous();
    let mut found = BTreeSet::new();
    let paths = http_api::endpoints()
        .into_iter()
        .map(|endpoint| endpoint.path);
    for path in paths.collect::<BTreeSet<_>>() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let answer = ask(&anonymous, method, &scene.own.fill(path)).await;
            assert_ne!(answer.status, 404, "{method} {path}");
            if answer.status != 405 {
                found.insert((method, path));
            }
        }
    }
    let routes = TABLE.iter().map(|(method, path, _)| (*method, *path));
    let table: BTreeSet<(&str, &str)> = routes.collect();
    let missing: Vec<_> = found.difference(&table).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    let gone: Vec<_> = table.difference(&found).collect();
    assert!(gone.is_empty(), "in the table and not there: {gone:?}");
    // No route stands in the table twice.
    assert_eq!(TABLE.len(), table.len());
}

#[tokio::test]
async fn every_route_admits_the_callers_it_is_for_and_no_others() {
    let scene = Scene::new().await;
    let before = Snapshot::take(&scene.world.pool).await;
    for (method, path, who) in TABLE.iter().copied() {
        let path = scene.own.fill(path);
        for caller in &scene.callers {
            let answer = ask(&caller.api, method, &path).await;
            let asked = format!("{method} {path} by {}: {answer}", caller.name);
            match expected(who, caller.kind) {
                Expected::Refused((status, code)) => {
                    assert_eq!(answer.refusal(), (status, code.to_owned()), "{asked}");
                }
                Expected::RefusedBySnap => {
                    let code = text(&answer.json(), "responseCode");
                    assert!(["4015200", "4007302"].contains(&code.as_str()), "{asked}");
                }
                Expected::Admitted => {
                    let refused = [401, 403].contains(&answer.status);
                    assert!(!refused && answer.status < 500, "{asked}");
                }
            }
        }
    }
    // Tokens and certificates were used, and unsigned callbacks are kept.
    let changed = before.changes(&scene.world.pool).await;
    let expected = ["rejected_callbacks", "device_credentials", "tokens"];
    let surprising: Vec<_> = changed
        .keys()
        .filter(|table| !expected.contains(&table.as_str()))
        .collect();
    assert!(surprising.is_empty(), "changed by nonsense: {surprising:?}");
}

#[tokio::test]
async fn a_merchant_never_sees_another() {
    let scene = Scene::new().await;
    let secrets: Vec<String> = scene.own.ids().into_iter().map(|(_, id)| id).collect();
    let others: Vec<&Caller> = scene
        .callers
        .iter()
        .filter(|caller| matches!(caller.kind, Kind::Other(_)))
        .collect();
    assert!(!others.is_empty());
    for (method, path, _) in TABLE.iter().copied() {
        let filled = scene.own.fill(path);
        for caller in &others {
            let answer = ask(&caller.api, method, &filled).await;
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            let leaked = secrets.iter().any(|id| body.contains(id.as_str()));
            let asked = format!("{method} {filled} by {}: {answer}", caller.name);
            assert!(!leaked, "{asked}");
            if filled != path {
                assert!((400..500).contains(&answer.status), "{asked}");
            }
        }
    }
}
