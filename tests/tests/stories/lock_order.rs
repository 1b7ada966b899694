//! Every writing use case against every other, on the same rows: no two of them deadlock.
//!
//! Postgres counts deadlocks; there may be none, and no answer may be a 5xx. Each pair meets once, then rounds of several
//! use cases at once, chosen by a seed: `LOCK_ORDER_ROUNDS` (10), `LOCK_ORDER_SEED` (a random one, which is printed).
//!
//! Over 600 lines in one file: it is one list of use cases, of which every pair is made.

use std::sync::Mutex;
use std::time::Instant;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use service::fleet::session::{Connect, Ending};
use service::fleet::{
    bulk_command, command, config, config_layer, heartbeat, heartbeat_hour, presence, provisioning,
    session,
};
use service::money::payout;
use service::payment::{notification, transaction};
use service::{Actor, Context, alert, housekeeping, outbox};
use store::fleet::command::DueCommand;
use store::fleet::config::DueConfig;
use store::payment::notification::DueNotification;
use tests::acquirer::static_success;
use tests::credentials::new_key;
use tests::deadlocks;
use tests::payout_partner::{Behaviour, payout_callback};
use tests::prelude::*;
use wire::message::{CommandAck, CommandAckStatus, ConfigAck, ConfigAckStatus, PaymentAck};
use wire::{EventId, TransactionId};

/// How many use cases run at once in a round.
const AT_ONCE: usize = 8;
const ROUNDS_DEFAULT: u64 = 10;

/// One shop with two terminals and two boxes, which all use cases share.
struct Scene {
    shop: Shop,
    boxes: [Credentials; 2],
    admin: Api,
    finance: Api,
    acquirer: Acquirer,
    anonymous: Api,
    context: Context,
    clock: service::clock::Clock,
    world: World,
    /// Payments that were made, with their callbacks.
    paid: Mutex<Vec<(TransactionId, Value)>>,
    settlements: Mutex<Vec<String>>,
    commands: Mutex<Vec<String>>,
}

fn fine(what: &str, answer: &Answer) {
    assert!(answer.status < 500, "{what}: {answer}");
}

fn one_of<T>(these: &[T], n: u64) -> &T {
    let count = u64::try_from(these.len()).unwrap();
    &these[usize::try_from(n % count).unwrap()]
}

fn reverse_if_even<T>(these: &mut [T], n: u64) {
    if n.is_multiple_of(2) {
        these.reverse();
    }
}

fn last<T: Clone>(of: &Mutex<Vec<T>>) -> Option<T> {
    of.lock().unwrap().last().cloned()
}

impl Scene {
    async fn open() -> Self {
        let partner = PayoutPartner::open(Behaviour::Accepts).await;
        let world = World::with(|config| {
            partner.configure_callbacks_only(config);
            config.database.connections_max = 24;
        })
        .await;
        let shop = Shop::open(&world, "Warung Sari", 2).await;
        let boxes = [
            Credentials::at(&world, shop.terminals[0].id).await,
            Credentials::at(&world, shop.terminals[1].id).await,
        ];
        Self {
            admin: world.admin().unchecked(),
            finance: world.staff(Role::Finance).await.unchecked(),
            acquirer: world.acquirer(),
            anonymous: world.anonymous(),
            context: world.app().context().clone(),
            clock: world.clock.clone(),
            shop,
            boxes,
            world,
            paid: Mutex::default(),
            settlements: Mutex::default(),
            commands: Mutex::default(),
        }
    }

    fn soundbox(&self, n: u64) -> &Credentials {
        one_of(&self.boxes, n)
    }

    fn terminal(&self, n: u64) -> &Terminal {
        one_of(&self.shop.terminals, n)
    }

    async fn post(&self, path: &str, body: Value) {
        fine(path, &self.admin.post(path, &body).await);
    }

    async fn post_once(&self, path: &str, body: Value) -> Answer {
        let answer = self.admin.post_once(path, &body).await;
        fine(path, &answer);
        answer
    }

    async fn patch(&self, path: &str, body: Value) {
        fine(path, &self.admin.patch(path, &body).await);
    }

    async fn callback(&self, body: &Value) -> Answer {
        let answer = self.acquirer.send(body).await;
        fine("a callback", &answer);
        answer
    }

    fn device(&self, n: u64) -> String {
        format!("/admin/devices/{}", self.soundbox(n).device_id)
    }

    /// Restores what use cases revoke for good: credentials and the status of the boxes.
    async fn restore_boxes(&self) {
        for statement in [
            "UPDATE devices SET status = 'active' WHERE status <> 'active'",
            "UPDATE device_credentials SET revoked_at = NULL, revoked_reason = NULL, first_used_at = NULL, superseded_until = NULL",
        ] {
            self.world.execute(statement).await;
        }
    }

    /// The callback about a payment of a printed code.
    fn static_payment(&self, n: u64) -> Value {
        let label = &self.terminal(n).label;
        static_success(
            &self.shop.nmid,
            label,
            10_000,
            &reference(),
            self.clock.now(),
        )
    }

    async fn sell(&self, n: u64) -> Value {
        let body = self.static_payment(n);
        let answer = self.callback(&body).await;
        if let Some(id) = answer.json()["data"]["transaction_id"].as_str() {
            self.paid
                .lock()
                .unwrap()
                .push((id.parse().unwrap(), body.clone()));
        }
        body
    }
}

/// All use cases that write.
const USE_CASES: &[&str] = &[
    "static payment",
    "dynamic code and its payment",
    "reversal",
    "the same payment again",
    "bind",
    "unbind",
    "suspend",
    "device patch",
    "revoke credentials",
    "activation code",
    "refresh credential",
    "session",
    "heartbeats",
    "command",
    "cancel command",
    "command acknowledgement",
    "device layer",
    "merchant layer",
    "outlet layer",
    "fleet layer",
    "configuration acknowledgement",
    "push again",
    "outbox",
    "payment acknowledgements",
    "retry notification",
    "merchant patch",
    "merchant keys and review",
    "outlet patch",
    "terminal patch",
    "new terminal",
    "new device",
    "unmatched money",
    "settlement run",
    "payout callback",
    "payout job",
    "fee version",
    "bulk command",
    "jobs that end things",
    "jobs that look and clean up",
    "an unsigned callback",
];

/// Runs a use case; by `n` it chooses among the same few rows.
async fn run(s: &Scene, use_case: &str, n: u64) {
    let device = s.device(n);
    let merchant = s.shop.path();
    let outlet = format!("/admin/outlets/{}", s.shop.outlet_id);
    match use_case {
        "static payment" => drop(s.sell(n).await),
        "dynamic code and its payment" => {
            let request_id = reference();
            let soundbox = s.soundbox(n);
            let body = json!({
                "device_id": soundbox.device_id, "amount": 7_000, "currency": "IDR", "request_id": request_id,
            });
            let key = [("idempotency-key", request_id.as_str())];
            let path = "/device/transactions/dynamic-qr";
            let api = soundbox.api(&s.world).unchecked();
            let asked = api.post_with(path, &key, &body).await;
            fine("dynamic-qr", &asked);
            if let Some(id) = asked.json()["transaction_id"].as_str() {
                let id = id.parse().unwrap();
                s.callback(&success(id, 7_000, &reference(), s.clock.now()))
                    .await;
            }
        }
        "reversal" => {
            let before = last(&s.paid).map(|(_, body)| body);
            let body = match before {
                Some(body) if n.is_multiple_of(2) => body,
                _ => s.sell(n).await,
            };
            s.callback(&but_status(body, "reversed")).await;
        }
        "the same payment again" => match last(&s.paid) {
            Some((_, body)) => drop(s.callback(&body).await),
            None => drop(s.sell(n).await),
        },
        "bind" => {
            let to = json!({ "terminal_id": s.terminal(n / 2).id });
            s.post(&format!("{device}/bind"), to).await;
        }
        "unbind" => s.post(&format!("{device}/unbind"), json!({})).await,
        "suspend" => {
            for status in ["suspended", "active"] {
                s.patch(&device, json!({ "status": status })).await;
            }
        }
        "device patch" => {
            let mode = one_of(&["http", "mqtt"], n);
            s.patch(&device, json!({ "communication_mode": mode }))
                .await;
        }
        "revoke credentials" => {
            s.post(&format!("{device}/credentials/revoke"), json!({}))
                .await;
        }
        "activation code" => {
            s.post(&format!("{device}/activation-code"), json!({}))
                .await;
        }
        "refresh credential" => refresh_credential(s, n).await,
        "session" => admit_and_end(s, n).await,
        "heartbeats" => {
            let heartbeat = |one: &Credentials| {
                let heartbeat = json!({
                    "message_type": "heartbeat", "device_id": one.device_id, "firmware_version": "1", "state": "idle",
                });
                heartbeat::beat(
                    s.clock.now(),
                    one.device_id,
                    serde_json::from_value(heartbeat).unwrap(),
                )
            };
            let mut heartbeats: Vec<_> = s.boxes.iter().map(heartbeat).collect();
            reverse_if_even(&mut heartbeats, n);
            heartbeat::store_batch(&s.context, &heartbeats)
                .await
                .unwrap();
        }
        "command" => {
            let kinds = [
                json!({ "type": "sync_config" }),
                json!({ "type": "announce_text", "payload": { "text": "Selamat pagi" } }),
            ];
            let answer = s
                .post_once(&format!("{device}/commands"), one_of(&kinds, n).clone())
                .await;
            if let Some(id) = answer.json()["data"]["id"].as_str() {
                s.commands.lock().unwrap().push(id.to_owned());
            }
        }
        "cancel command" => {
            if let Some(id) = last(&s.commands) {
                s.post(&format!("{device}/commands/{id}/cancel"), json!({}))
                    .await;
            }
        }
        "command acknowledgement" => {
            if let Some(id) = last(&s.commands) {
                let device_id = s.soundbox(n).device_id;
                let ack = CommandAck {
                    device_id,
                    command_id: id.parse().unwrap(),
                    status: CommandAckStatus::Delivered,
                    reason: None,
                    result_payload: None,
                };
                command::acknowledge(&s.context, device_id, &ack)
                    .await
                    .unwrap();
            }
        }
        "device layer" => {
            s.patch(&format!("{device}/config"), json!({ "volume": n % 10 }))
                .await;
        }
        "merchant layer" => {
            s.patch(
                &format!("{merchant}/config"),
                json!({ "display_brightness": n % 100 }),
            )
            .await;
            config_layer::spread(&s.context).await.unwrap();
        }
        "outlet layer" => {
            s.patch(
                &format!("{outlet}/config"),
                json!({ "reconnect_jitter_s": n % 100 }),
            )
            .await;
            config_layer::spread(&s.context).await.unwrap();
        }
        "fleet layer" => {
            s.patch("/admin/config/fleet", json!({ "volume": n % 10 }))
                .await;
            config_layer::spread(&s.context).await.unwrap();
        }
        "configuration acknowledgement" => {
            let ack = ConfigAck {
                version: i64::try_from(n % 5 + 1).unwrap(),
                status: ConfigAckStatus::Applied,
                reason: None,
            };
            config::acknowledge(&s.context, s.soundbox(n).device_id, &ack)
                .await
                .unwrap();
        }
        "push again" => {
            s.post(&format!("{device}/config/retry-push"), json!({}))
                .await
        }
        "outbox" => {
            let devices = s.boxes.each_ref().map(|one| one.device_id);
            let all = n.is_multiple_of(2);
            let configs = outbox::due::<DueConfig>(&s.context, &devices, all)
                .await
                .unwrap();
            outbox::mark_sent(&s.context, &configs).await.unwrap();
            let notifications = outbox::due::<DueNotification>(&s.context, &devices, all)
                .await
                .unwrap();
            outbox::mark_sent(&s.context, &notifications).await.unwrap();
            let commands = outbox::due::<DueCommand>(&s.context, &devices, all)
                .await
                .unwrap();
            outbox::mark_sent(&s.context, &commands).await.unwrap();
        }
        "payment acknowledgements" => {
            let newest =
                "SELECT event_id, device_id FROM notifications ORDER BY created_at DESC LIMIT 6";
            let rows: Vec<(uuid::Uuid, uuid::Uuid)> = s.world.table(newest).await;
            let ack = |(event_id, device_id)| {
                let event_id = EventId::from_uuid(event_id);
                let ack = json!({ "message_type": "payment_ack", "event_id": event_id, "status": "received" });
                let ack: PaymentAck = serde_json::from_value(ack).unwrap();
                notification::ack(wire::DeviceId::from_uuid(device_id), ack)
            };
            let mut acks: Vec<_> = rows.into_iter().map(ack).collect();
            reverse_if_even(&mut acks, n);
            let acknowledged = notification::acknowledge(&s.context, s.context.pool(), &acks).await;
            acknowledged.unwrap();
        }
        "retry notification" => {
            if let Some((id, _)) = last(&s.paid) {
                let path = format!("/admin/transactions/{id}/retry-notification");
                fine("retry", &s.finance.post(&path, &json!({})).await);
            }
        }
        "merchant patch" => {
            s.patch(&merchant, json!({ "brand_name": format!("Warung {n}") }))
                .await;
        }
        "merchant keys and review" => {
            // Both are refused, and lock the row first.
            s.patch(&merchant, json!({ "nmid": "ID1020000000009" }))
                .await;
            s.post(&format!("{merchant}/approve"), json!({})).await;
        }
        "outlet patch" => {
            s.patch(&outlet, json!({ "name": format!("Pusat {n}") }))
                .await
        }
        "terminal patch" => {
            let terminal = s.terminal(n);
            let path = format!("/admin/terminals/{}", terminal.id);
            let label = format!("X{}", n % 1000);
            s.patch(&path, json!({ "name": format!("Kasir {n}") }))
                .await;
            s.patch(&path, json!({ "terminal_label": label })).await;
            s.patch(&path, json!({ "terminal_label": terminal.label }))
                .await;
        }
        "new terminal" => {
            let label = format!("N{}", reference().get(4..16).unwrap());
            let terminal = json!({ "name": "Kasir", "terminal_label": label });
            s.post(&format!("{outlet}/terminals"), terminal).await;
        }
        "new device" => {
            let device = json!({ "serial_number": reference(), "model": "SB-1", "capabilities": ["speaker"] });
            s.post("/admin/devices", device).await;
        }
        "unmatched money" => {
            let mut stray = s.static_payment(n);
            stray["terminal_label"] = json!("NOWHERE");
            s.callback(&stray).await;
            let open = s
                .finance
                .get("/admin/unmatched-payments?status=open&limit=1")
                .await;
            fine("list", &open);
            if let Some(id) = open.json()["data"][0]["id"].as_str() {
                let path = format!("/admin/unmatched-payments/{id}/assign");
                let to = json!({ "terminal_id": s.terminal(n).id });
                fine("assign", &s.finance.post(&path, &to).await);
            }
        }
        "settlement run" => {
            let only = json!({ "merchant_id": s.shop.merchant_id });
            let body = one_of(&[json!({}), only], n).clone();
            let answer = s.finance.post_once("/admin/settlements/run", &body).await;
            fine("run", &answer);
            if let Some(id) = answer.json()["data"]["settlements"][0].as_str() {
                s.settlements.lock().unwrap().push(id.to_owned());
            }
        }
        "payout callback" => {
            if let Some(id) = last(&s.settlements) {
                let path = format!("/admin/settlements/{id}");
                let shown = s.finance.get(&path).await;
                fine("settlement", &shown);
                let net = shown.json()["data"]["net"].as_i64().unwrap_or(1);
                let status = one_of(&["paid", "failed", "returned"], n);
                let body = payout_callback(&id, status, net, &reference());
                fine(
                    "payout callback",
                    &PayoutPartner::send(&s.world, &body).await,
                );
                let retry = format!("{path}/retry-payout");
                fine(
                    "retry payout",
                    &s.finance.post_once(&retry, &json!({})).await,
                );
            }
        }
        "payout job" => {
            payout::enqueue_missing(&s.context, 100).await.unwrap();
            payout::work(&s.context, 100).await.unwrap();
        }
        "fee version" => {
            let from = s.clock.now() + chrono::TimeDelta::days(1);
            let version = json!({ "effective_from": from, "rules": [{ "basis_points": 30 }] });
            let path = "/admin/fee-profiles/fee_basic/versions";
            fine("fee version", &s.finance.post(path, &version).await);
        }
        "bulk command" => {
            let kind = one_of(&["sync_config", "play_test"], n);
            let devices = s.boxes.each_ref().map(|one| one.device_id);
            let rollout = json!({ "rate_per_minute": 60_000, "abort_threshold_percent": 100, "min_sample": 1 });
            let body = json!({
                "type": kind, "payload": {}, "query": { "device_ids": devices }, "rollout": rollout,
            });
            let made = s.post_once("/admin/bulk-commands", body).await;
            bulk_command::advance(&s.context).await.unwrap();
            if let Some(id) = made.json()["data"]["id"].as_str() {
                s.post(&format!("/admin/bulk-commands/{id}/cancel"), json!({}))
                    .await;
            }
            bulk_command::advance(&s.context).await.unwrap();
        }
        "jobs that end things" => {
            transaction::expire_overdue(&s.context, 100).await.unwrap();
            notification::end_stale(&s.context, 100).await.unwrap();
            command::end_overdue(&s.context, 100).await.unwrap();
            presence::end_silent(&s.context, 100).await.unwrap();
        }
        "jobs that look and clean up" => {
            alert::check(&s.context, 100).await.unwrap();
            heartbeat_hour::roll_up(&s.context, 30, 2).await.unwrap();
            housekeeping::forget_expired(&s.context, 100).await.unwrap();
        }
        "an unsigned callback" => {
            let body = json!({ "event_id": "e" });
            let answer = s.anonymous.post(tests::acquirer::PATH, &body).await;
            fine("unsigned", &answer);
        }
        other => panic!("no such use case: {other}"),
    }
}

async fn refresh_credential(s: &Scene, n: u64) {
    let device_id = s.soundbox(n).device_id;
    let csr = new_key().csr_pem().to_owned();
    let mut unit = s.context.begin(Actor::system()).await.unwrap();
    let renewal = provisioning::Renewal { csr };
    // A box that is suspended meanwhile is refused.
    if provisioning::refresh(&mut unit, device_id, renewal)
        .await
        .is_ok()
    {
        unit.commit().await.unwrap();
    }
}

async fn admit_and_end(s: &Scene, n: u64) {
    let connects = [n, n + 1].map(|n| {
        let soundbox = s.soundbox(n);
        Connect {
            device_id: soundbox.device_id,
            certificate_serial: soundbox.certificate_serial(),
            clean_start: n.is_multiple_of(3),
            expiry_s: 600,
        }
    });
    let admitted = session::admit(&s.context, &connects).await.unwrap();
    let endings: Vec<Ending> = connects
        .iter()
        .zip(admitted)
        .filter_map(|(connect, admitted)| {
            Some(Ending {
                device_id: connect.device_id,
                epoch: admitted?.epoch,
                forget: false,
                expiry_s: None,
                reason: "test",
            })
        })
        .collect();
    session::end(&s.context, &endings).await.unwrap();
}

fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_use_cases_deadlock() {
    let rounds = number_of("LOCK_ORDER_ROUNDS").unwrap_or(ROUNDS_DEFAULT);
    let seed = number_of("LOCK_ORDER_SEED").unwrap_or_else(rand::random);
    println!("LOCK_ORDER_SEED={seed} LOCK_ORDER_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);
    let scene = Scene::open().await;
    scene.sell(0).await;
    let began = Instant::now();
    let mut pairs = 0_u64;
    for (number, first) in USE_CASES.iter().enumerate() {
        scene.restore_boxes().await;
        for second in &USE_CASES[number..] {
            // The same rows for both, then crosswise.
            let n = random.random_range(0..1_000_000_u64) * 2;
            tokio::join!(
                run(&scene, first, n),
                run(&scene, second, n),
                run(&scene, second, n + 1),
                run(&scene, first, n + 1),
            );
            pairs += 1;
        }
    }
    for _ in 0..rounds {
        scene.restore_boxes().await;
        let chosen = (0..AT_ONCE).map(|_| {
            let use_case = USE_CASES[random.random_range(0..USE_CASES.len())];
            run(&scene, use_case, random.random_range(0..1_000_000))
        });
        join_all(chosen.collect::<Vec<_>>()).await;
    }
    println!(
        "{} use cases, {pairs} pairs, {rounds} rounds of {AT_ONCE} at once, {:.1} s",
        USE_CASES.len(),
        began.elapsed().as_secs_f64()
    );
    let Scene {
        mut world, context, ..
    } = scene;
    drop(context);
    world.stop().await;
    let deadlocks = deadlocks::of_all_who_left(&world.pool).await;
    assert_eq!(deadlocks, 0, "LOCK_ORDER_SEED={seed}");
}
