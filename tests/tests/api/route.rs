//! Every route, asked by everybody: one table says who gets in.
//!
//! The routes are taken from the platform itself, method by method, so a route that is missing from the table fails
//! this story, and so does a row without a route.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use domain::role::{Permission, Role};
use reqwest::Method;
use serde_json::json;
use tests::books::Books;
use tests::shop::text;
use tests::{Answer, Api, Credentials, Shop, World, eventually};
use wire::ids::{CallbackId, IncidentId, UnmatchedPaymentId};

/// Whom a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Whoever asks: what it answers depends on what is in the body.
    Anyone,
    /// Whoever has a role.
    AnyRole,
    /// Whoever signs; here nobody does.
    Partner,
    /// The same, answered in the form of SNAP BI.
    SnapPartner,
    /// Boxes.
    Box,
    /// Roles with this permission, and nobody else.
    May(Permission),
}

use Permission::{
    ApprovalRead, ApprovalWrite, AuditRead, CommandRead, CommandWrite, DeviceRead, DeviceWrite,
    FeeRead, FeeWrite, FirmwareRead, FirmwareWrite, IncidentRead, IncidentWrite, LedgerRead,
    LedgerWrite, MerchantRead, MerchantWrite, OutletRead, OutletWrite, PortalRead, SeedWrite,
    SettlementRead, SettlementWrite, TerminalRead, TerminalWrite, TransactionRead,
    TransactionWrite, UserRead, UserWrite,
};
use Who::{AnyRole, Anyone, Box, May, Partner, SnapPartner};

const TABLE: &[(&str, &str, Who)] = &[
    ("POST", "/admin/login", Anyone),
    ("POST", "/admin/logout", AnyRole),
    ("POST", "/admin/password", AnyRole),
    ("POST", "/admin/password/setup", Anyone),
    ("POST", "/admin/seed", May(SeedWrite)),
    ("GET", "/admin/users", May(UserRead)),
    ("POST", "/admin/users", May(UserWrite)),
    ("GET", "/admin/users/{user_id}", May(UserRead)),
    ("PATCH", "/admin/users/{user_id}", May(UserWrite)),
    ("POST", "/admin/users/{user_id}/reset", May(UserWrite)),
    ("GET", "/admin/tokens", May(UserRead)),
    ("POST", "/admin/tokens", May(UserWrite)),
    ("POST", "/admin/tokens/{token_id}/revoke", May(UserWrite)),
    ("GET", "/admin/audit-logs", May(AuditRead)),
    ("GET", "/admin/audit-logs/head", May(AuditRead)),
    ("GET", "/admin/merchants", May(MerchantRead)),
    ("POST", "/admin/merchants", May(MerchantWrite)),
    ("GET", "/admin/merchants/{merchant_id}", May(MerchantRead)),
    (
        "PATCH",
        "/admin/merchants/{merchant_id}",
        May(MerchantWrite),
    ),
    (
        "POST",
        "/admin/merchants/{merchant_id}/approve",
        May(MerchantWrite),
    ),
    (
        "POST",
        "/admin/merchants/{merchant_id}/reject",
        May(MerchantWrite),
    ),
    (
        "POST",
        "/admin/merchants/{merchant_id}/suspend",
        May(MerchantWrite),
    ),
    (
        "POST",
        "/admin/merchants/{merchant_id}/reactivate",
        May(MerchantWrite),
    ),
    (
        "POST",
        "/admin/merchants/{merchant_id}/outlets",
        May(OutletWrite),
    ),
    ("GET", "/admin/outlets", May(OutletRead)),
    ("GET", "/admin/outlets/{outlet_id}", May(OutletRead)),
    ("PATCH", "/admin/outlets/{outlet_id}", May(OutletWrite)),
    (
        "POST",
        "/admin/outlets/{outlet_id}/terminals",
        May(TerminalWrite),
    ),
    ("GET", "/admin/terminals", May(TerminalRead)),
    ("GET", "/admin/terminals/{terminal_id}", May(TerminalRead)),
    (
        "PATCH",
        "/admin/terminals/{terminal_id}",
        May(TerminalWrite),
    ),
    (
        "GET",
        "/admin/terminals/{terminal_id}/qr.svg",
        May(TerminalRead),
    ),
    (
        "GET",
        "/admin/terminals/{terminal_id}/qr.png",
        May(TerminalRead),
    ),
    ("GET", "/admin/devices", May(DeviceRead)),
    ("POST", "/admin/devices", May(DeviceWrite)),
    ("GET", "/admin/devices/{device_id}", May(DeviceRead)),
    ("PATCH", "/admin/devices/{device_id}", May(DeviceWrite)),
    (
        "POST",
        "/admin/devices/{device_id}/activation-code",
        May(DeviceWrite),
    ),
    ("POST", "/admin/devices/{device_id}/bind", May(DeviceWrite)),
    (
        "POST",
        "/admin/devices/{device_id}/unbind",
        May(DeviceWrite),
    ),
    (
        "GET",
        "/admin/devices/{device_id}/notifications",
        May(DeviceRead),
    ),
    ("GET", "/admin/devices/{device_id}/events", May(DeviceRead)),
    (
        "GET",
        "/admin/devices/{device_id}/heartbeats",
        May(DeviceRead),
    ),
    (
        "GET",
        "/admin/devices/{device_id}/credentials",
        May(DeviceRead),
    ),
    (
        "POST",
        "/admin/devices/{device_id}/credentials/revoke",
        May(DeviceWrite),
    ),
    ("GET", "/admin/certificates/expiry", May(DeviceRead)),
    ("GET", "/pki/crl", Anyone),
    (
        "GET",
        "/admin/devices/{device_id}/commands",
        May(CommandRead),
    ),
    (
        "POST",
        "/admin/devices/{device_id}/commands",
        May(CommandWrite),
    ),
    (
        "GET",
        "/admin/devices/{device_id}/commands/{command_id}",
        May(CommandRead),
    ),
    (
        "POST",
        "/admin/devices/{device_id}/commands/{command_id}/cancel",
        May(CommandWrite),
    ),
    ("POST", "/admin/devices/import", May(DeviceWrite)),
    ("GET", "/admin/devices/export.csv", May(DeviceRead)),
    ("GET", "/admin/devices/{device_id}/config", May(DeviceRead)),
    (
        "PATCH",
        "/admin/devices/{device_id}/config",
        May(DeviceWrite),
    ),
    (
        "GET",
        "/admin/devices/{device_id}/config/status",
        May(DeviceRead),
    ),
    (
        "POST",
        "/admin/devices/{device_id}/config/retry-push",
        May(DeviceWrite),
    ),
    ("GET", "/admin/config/fleet", May(DeviceRead)),
    ("PATCH", "/admin/config/fleet", May(DeviceWrite)),
    ("GET", "/admin/config/drift", May(DeviceRead)),
    (
        "GET",
        "/admin/merchants/{merchant_id}/config",
        May(DeviceRead),
    ),
    (
        "PATCH",
        "/admin/merchants/{merchant_id}/config",
        May(DeviceWrite),
    ),
    ("GET", "/admin/outlets/{outlet_id}/config", May(DeviceRead)),
    (
        "PATCH",
        "/admin/outlets/{outlet_id}/config",
        May(DeviceWrite),
    ),
    ("GET", "/admin/bulk-commands", May(CommandRead)),
    ("POST", "/admin/bulk-commands", May(CommandWrite)),
    (
        "GET",
        "/admin/bulk-commands/{bulk_command_id}",
        May(CommandRead),
    ),
    (
        "GET",
        "/admin/bulk-commands/{bulk_command_id}/devices",
        May(CommandRead),
    ),
    (
        "POST",
        "/admin/bulk-commands/{bulk_command_id}/pause",
        May(CommandWrite),
    ),
    (
        "POST",
        "/admin/bulk-commands/{bulk_command_id}/resume",
        May(CommandWrite),
    ),
    (
        "POST",
        "/admin/bulk-commands/{bulk_command_id}/cancel",
        May(CommandWrite),
    ),
    ("GET", "/admin/firmware", May(FirmwareRead)),
    ("POST", "/admin/firmware", May(FirmwareWrite)),
    ("GET", "/admin/firmware/{firmware_id}", May(FirmwareRead)),
    (
        "GET",
        "/admin/firmware/{firmware_id}/rollouts",
        May(FirmwareRead),
    ),
    (
        "POST",
        "/admin/firmware/{firmware_id}/rollouts",
        May(FirmwareWrite),
    ),
    ("GET", "/admin/devices/summary", May(DeviceRead)),
    ("GET", "/admin/alerts", May(DeviceRead)),
    (
        "POST",
        "/admin/alerts/{alert_id}/acknowledge",
        May(DeviceWrite),
    ),
    ("GET", "/admin/stats", May(DeviceRead)),
    ("GET", "/admin/transactions", May(TransactionRead)),
    ("GET", "/admin/transactions.csv", May(TransactionRead)),
    (
        "GET",
        "/admin/transactions/{transaction_id}",
        May(TransactionRead),
    ),
    (
        "GET",
        "/admin/transactions/{transaction_id}/events",
        May(TransactionRead),
    ),
    (
        "POST",
        "/admin/transactions/{transaction_id}/retry-notification",
        May(TransactionWrite),
    ),
    (
        "POST",
        "/admin/transactions/{transaction_id}/refund",
        May(TransactionWrite),
    ),
    (
        "POST",
        "/admin/transactions/{transaction_id}/cancel",
        May(TransactionWrite),
    ),
    ("POST", "/device/provision/activate", Anyone),
    ("POST", "/device/provision/refresh-credential", Box),
    ("POST", "/device/heartbeat", Box),
    ("GET", "/device/config", Box),
    ("POST", "/device/config/ack", Box),
    ("POST", "/device/commands/ack", Box),
    ("POST", "/device/notifications/ack", Box),
    ("POST", "/device/transactions/dynamic-qr", Box),
    ("GET", "/admin/settlements", May(SettlementRead)),
    ("POST", "/admin/settlements/run", May(SettlementWrite)),
    (
        "GET",
        "/admin/settlements/{settlement_id}",
        May(SettlementRead),
    ),
    (
        "POST",
        "/admin/settlements/{settlement_id}/retry-payout",
        May(SettlementWrite),
    ),
    (
        "POST",
        "/admin/settlements/{settlement_id}/mark-paid",
        May(SettlementWrite),
    ),
    (
        "POST",
        "/admin/settlements/{settlement_id}/mark-returned",
        May(SettlementWrite),
    ),
    ("POST", "/integrations/bank/payout-callback", Partner),
    ("GET", "/admin/fee-profiles", May(FeeRead)),
    ("POST", "/admin/fee-profiles", May(FeeWrite)),
    ("GET", "/admin/fee-profiles/{fee_profile_id}", May(FeeRead)),
    (
        "POST",
        "/admin/fee-profiles/{fee_profile_id}/versions",
        May(FeeWrite),
    ),
    ("GET", "/admin/approvals", May(ApprovalRead)),
    ("GET", "/admin/approvals/{approval_id}", May(ApprovalRead)),
    (
        "POST",
        "/admin/approvals/{approval_id}/approve",
        May(ApprovalWrite),
    ),
    (
        "POST",
        "/admin/approvals/{approval_id}/reject",
        May(ApprovalWrite),
    ),
    ("GET", "/admin/reconciliations", May(LedgerRead)),
    ("POST", "/admin/reconciliations", May(LedgerWrite)),
    (
        "GET",
        "/admin/reconciliations/{reconciliation_id}",
        May(LedgerRead),
    ),
    (
        "GET",
        "/admin/reconciliations/{reconciliation_id}/lines",
        May(LedgerRead),
    ),
    (
        "GET",
        "/admin/reconciliations/{reconciliation_id}/lines.csv",
        May(LedgerRead),
    ),
    ("GET", "/admin/ledger-entries", May(LedgerRead)),
    ("GET", "/admin/ledger/trial-balance", May(LedgerRead)),
    (
        "GET",
        "/admin/settlements/{settlement_id}/statement.csv",
        May(SettlementRead),
    ),
    (
        "GET",
        "/admin/settlements/{settlement_id}/statement.html",
        May(SettlementRead),
    ),
    (
        "GET",
        "/merchant/settlements/{settlement_id}/statement.csv",
        May(PortalRead),
    ),
    (
        "GET",
        "/merchant/settlements/{settlement_id}/statement.html",
        May(PortalRead),
    ),
    ("GET", "/merchant/settlements", May(PortalRead)),
    (
        "GET",
        "/merchant/settlements/{settlement_id}",
        May(PortalRead),
    ),
    ("GET", "/merchant/me", May(PortalRead)),
    ("GET", "/merchant/dashboard/summary", May(PortalRead)),
    ("GET", "/merchant/transactions", May(PortalRead)),
    ("GET", "/merchant/transactions.csv", May(PortalRead)),
    (
        "GET",
        "/merchant/transactions/{transaction_id}",
        May(PortalRead),
    ),
    ("GET", "/merchant/devices", May(PortalRead)),
    ("GET", "/merchant/outlets", May(PortalRead)),
    ("POST", "/integrations/qris/callback", Partner),
    ("POST", "/v1.0/access-token/b2b", SnapPartner),
    ("POST", "/v1.0/qr/qr-mpm-notify", SnapPartner),
    ("GET", "/admin/incidents", May(IncidentRead)),
    (
        "POST",
        "/admin/incidents/{incident_id}/resolve",
        May(IncidentWrite),
    ),
    ("GET", "/admin/callbacks", May(IncidentRead)),
    ("GET", "/admin/callbacks/{callback_id}", May(IncidentRead)),
    ("GET", "/admin/unmatched-payments", May(IncidentRead)),
    (
        "POST",
        "/admin/unmatched-payments/{unmatched_payment_id}/assign",
        May(TransactionWrite),
    ),
];

/// Somebody who asks.
struct Caller {
    name: String,
    api: Api,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// No token, or one that is none.
    Stranger,
    /// A box at the own merchant, by its token.
    Box,
    /// The same by its certificate, which is nothing at all outside of boxes' routes.
    Certificate,
    /// Staff, and users of the own merchant.
    Own(Role),
    /// Users of another merchant.
    Other(Role),
}

/// What a route must do with a caller.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    In,
    Out(u16, &'static str),
    /// Refused, in the form of SNAP BI.
    OutBySnap,
}

fn verdict(who: Who, kind: Kind) -> Verdict {
    match (who, kind) {
        (Anyone, _) => Verdict::In,
        (Partner, _) => Verdict::Out(401, "INVALID_SIGNATURE"),
        (SnapPartner, _) => Verdict::OutBySnap,
        (AnyRole, Kind::Stranger | Kind::Certificate) => Verdict::Out(401, "UNAUTHENTICATED"),
        (AnyRole, Kind::Own(_) | Kind::Other(_)) => Verdict::In,
        (AnyRole, Kind::Box) => Verdict::Out(403, "FORBIDDEN"),
        (Box, Kind::Box | Kind::Certificate) => Verdict::In,
        (Box, _) => Verdict::Out(401, "DEVICE_UNAUTHORIZED"),
        (May(_), Kind::Stranger | Kind::Certificate) => Verdict::Out(401, "UNAUTHENTICATED"),
        (May(permission), Kind::Own(role) | Kind::Other(role)) if role.may(permission) => {
            Verdict::In
        }
        (May(_), _) => Verdict::Out(403, "FORBIDDEN"),
    }
}

/// The ids that stand in paths: all of one merchant.
struct Place {
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

impl Place {
    async fn of(world: &World, shop: Shop, credentials: &Credentials) -> Self {
        let admin = world.admin();
        let transaction = credentials.sell(world, 10_000).await;
        let user = json!({
            "email": format!("owner@{}", shop.nmid), "role": "merchant_owner", "merchant_id": shop.merchant_id,
        });
        let user = admin.post("/admin/users", &user).await.expect(201).data();
        let token =
            json!({ "role": "merchant_owner", "merchant_id": shop.merchant_id, "name": "till" });
        let token = admin.post("/admin/tokens", &token).await.expect(201).data();
        world.later(1);
        let settled = admin
            .post_with(
                "/admin/settlements/run",
                &[("idempotency-key", &shop.nmid)],
                &json!({ "merchant_id": shop.merchant_id }),
            )
            .await
            .expect(200)
            .data();
        let command = admin
            .post_with(
                &format!("/admin/devices/{}/commands", credentials.device_id),
                &[("idempotency-key", "reboot")],
                &json!({ "type": "reboot" }),
            )
            .await
            .expect(201)
            .data();
        let firmware = json!({
            "version": shop.nmid, "model": "SB-1", "url": "https://firmware.example/1.bin", "sha256": "ab".repeat(32),
        });
        let firmware = admin
            .post("/admin/firmware", &firmware)
            .await
            .expect(201)
            .data();
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

    /// The parameters that paths have, with this place's ids.
    fn ids(&self) -> Vec<(&'static str, String)> {
        vec![
            ("{merchant_id}", self.shop.merchant_id.to_string()),
            ("{outlet_id}", self.shop.outlet_id.to_string()),
            ("{terminal_id}", self.shop.till().id.to_string()),
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
            // Nobody's: all merchants have this one, and there is no such other one.
            .replace("{fee_profile_id}", "fee_basic")
            .replace(
                "{reconciliation_id}",
                "rec_0190f3a1c0de7abc8def0123456789ab",
            )
            .replace("{approval_id}", "apr_0190f3a1c0de7abc8def0123456789ab");
        assert!(
            !filled.contains('{'),
            "which id stands in {path}? Place::ids must say"
        );
        filled
    }
}

/// A bulk command in which nothing goes on any more.
async fn ended_bulk_command(world: &World, credentials: &Credentials) -> String {
    let admin = world.admin();
    let body = json!({
        "type": "reboot", "query": { "device_ids": [credentials.device_id] },
        "rollout": { "rate_per_minute": 60, "abort_threshold_percent": 50, "min_sample": 1 },
    });
    let key = credentials.device_id.to_string();
    let made = admin
        .post_with("/admin/bulk-commands", &[("idempotency-key", &key)], &body)
        .await
        .expect(201)
        .data();
    let path = format!("/admin/bulk-commands/{}", text(&made, "id"));
    let _ = admin
        .post(&format!("{path}/cancel"), &json!({}))
        .await
        .expect(200);
    eventually("the end of a bulk command", || async {
        let now = admin.get(&path).await.data();
        (!now["ended_at"].is_null()).then_some(())
    })
    .await;
    text(&made, "id")
}

/// Two shops and everybody who might ask.
struct Town {
    world: World,
    own: Place,
    callers: Vec<Caller>,
}

impl Town {
    async fn new() -> Self {
        let world = World::new().await;
        let own = Shop::open(&world, "Warung Sari", 1).await;
        let other = Shop::open(&world, "Kopi Fajar", 1).await;
        let own_box = Credentials::at(&world, own.till().id).await;
        let other_box = Credentials::at(&world, other.till().id).await;
        let own = Place::of(&world, own, &own_box).await;
        let other = Place::of(&world, other, &other_box).await;
        let anonymous = world.anonymous();
        let caller = |name: &str, api: Api, kind| Caller {
            name: name.to_owned(),
            api,
            kind,
        };
        let mut callers = vec![
            caller("nobody", anonymous.clone(), Kind::Stranger),
            caller(
                "a wrong token",
                anonymous.with_token("sbt_nonsense"),
                Kind::Stranger,
            ),
            caller("a box", own_box.api(&world), Kind::Box),
            caller(
                "a box by certificate",
                own_box.api_by_certificate(&world),
                Kind::Certificate,
            ),
        ];
        for role in Role::ALL.iter().copied() {
            if !role.is_of_merchant() {
                callers.push(caller(
                    role.as_str(),
                    world.staff(role).await,
                    Kind::Own(role),
                ));
                continue;
            }
            for (place, kind) in [(&own, Kind::Own(role)), (&other, Kind::Other(role))] {
                let hour = TimeDelta::hours(1);
                let token = world
                    .token_for(role, Some(place.shop.merchant_id), hour)
                    .await;
                let name = format!("{role} of {}", place.shop.nmid);
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

/// Asks with a body that nothing can be made of: whoever is let in changes nothing either.
async fn ask(api: &Api, method: &str, path: &str) -> Answer {
    let method: Method = method.parse().unwrap();
    let body = (method != Method::GET).then(|| b"nonsense".to_vec());
    api.call(method, path, &[], body).await
}

#[tokio::test]
async fn every_route_is_in_the_table() {
    let town = Town::new().await;
    let stranger = town.world.anonymous();
    let mut found = BTreeSet::new();
    let paths: BTreeSet<&str> = platform::http::endpoints()
        .iter()
        .map(|endpoint| endpoint.path)
        .collect();
    for path in paths {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let answer = ask(&stranger, method, &town.own.fill(path)).await;
            assert_ne!(answer.status, 404, "{method} {path}");
            if answer.status != 405 {
                found.insert((method, path));
            }
        }
    }
    let table: BTreeSet<(&str, &str)> = TABLE
        .iter()
        .map(|(method, path, _)| (*method, *path))
        .collect();
    let missing: Vec<_> = found.difference(&table).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    let gone: Vec<_> = table.difference(&found).collect();
    assert!(gone.is_empty(), "in the table and not there: {gone:?}");
    assert_eq!(
        TABLE.len(),
        table.len(),
        "a route stands in the table twice"
    );
}

#[tokio::test]
async fn every_route_lets_in_whom_it_is_for_and_nobody_else() {
    let town = Town::new().await;
    let books = Books::open(&town.world.pool).await;
    for (method, path, who) in TABLE.iter().copied() {
        let path = town.own.fill(path);
        for caller in &town.callers {
            let answer = ask(&caller.api, method, &path).await;
            let asked = format!("{method} {path} by {}: {answer}", caller.name);
            match verdict(who, caller.kind) {
                Verdict::Out(status, code) => {
                    assert_eq!(answer.refusal(), (status, code.to_owned()), "{asked}");
                }
                Verdict::OutBySnap => {
                    let code = text(&answer.json(), "responseCode");
                    assert!(["4015200", "4007302"].contains(&code.as_str()), "{asked}");
                }
                Verdict::In => {
                    assert!(
                        ![401, 403].contains(&answer.status) && answer.status < 500,
                        "{asked}"
                    );
                }
            }
        }
    }
    // Tokens and certificates were used, and unsigned callbacks are kept.
    let changed = books.changes(&town.world.pool).await;
    let expected = ["rejected_callbacks", "device_credentials", "tokens"];
    let surprising: Vec<_> = changed
        .keys()
        .filter(|table| !expected.contains(&table.as_str()))
        .collect();
    assert!(surprising.is_empty(), "changed by nonsense: {surprising:?}");
}

#[tokio::test]
async fn a_merchant_never_sees_another() {
    let town = Town::new().await;
    let secrets: Vec<String> = town.own.ids().into_iter().map(|(_, id)| id).collect();
    let others: Vec<&Caller> = town
        .callers
        .iter()
        .filter(|caller| matches!(caller.kind, Kind::Other(_)))
        .collect();
    assert!(!others.is_empty());
    for (method, path, _) in TABLE.iter().copied() {
        let filled = town.own.fill(path);
        for caller in &others {
            let answer = ask(&caller.api, method, &filled).await;
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            let told = secrets.iter().any(|id| body.contains(id.as_str()));
            let asked = format!("{method} {filled} by {}: {answer}", caller.name);
            assert!(!told, "{asked}");
            if filled != path {
                assert!((400..500).contains(&answer.status), "{asked}");
            }
        }
    }
}
