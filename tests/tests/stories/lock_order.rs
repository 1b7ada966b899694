//! Every writing use case against every other, on the same rows: none waits for another in a circle.
//!
//! Postgres counts deadlocks; here there may be none, and no answer may be a 5xx. Each pair meets once, then as many
//! rounds as are asked for each run several use cases at once, chosen by a seed. `LOCK_ORDER_ROUNDS` says how many rounds
//! (10), `LOCK_ORDER_SEED` with which seed (a random one, which is printed).

use std::sync::Mutex;
use std::time::Instant;

use domain::role::Role;
use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use platform::service::fleet::session::{Connect, Ending};
use platform::service::fleet::{
    bulk_command, command, config, config_layer, heartbeat, heartbeat_hour, presence, provisioning,
    session,
};
use platform::service::money::payout;
use platform::service::payment::{notification, transaction};
use platform::service::{Actor, Context, alert, housekeeping};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tests::acquirer::{but_status, reference};
use tests::bank::{Mood, word};
use tests::credentials::new_key;
use tests::{Acquirer, Answer, Api, Bank, Credentials, Shop, World, deadlocks, success};
use wire::message::{CommandAck, CommandAckStatus, ConfigAck, ConfigAckStatus, PaymentAck};
use wire::{EventId, TransactionId};

/// How many use cases run at once in a round.
const AT_ONCE: usize = 8;
const ROUNDS_DEFAULT: u64 = 10;

/// One shop with two terminals and two boxes, on which everything happens.
struct Scene {
    shop: Shop,
    boxes: [Credentials; 2],
    admin: Api,
    finance: Api,
    acquirer: Acquirer,
    anonymous: Api,
    context: Context,
    clock: platform::clock::Clock,
    world: World,
    /// Payments that were made, with the callback that said so.
    paid: Mutex<Vec<(TransactionId, Value)>>,
    settlements: Mutex<Vec<String>>,
    commands: Mutex<Vec<String>>,
}

type UseCase = (
    &'static str,
    for<'a> fn(&'a Scene, u64) -> BoxFuture<'a, ()>,
);

fn fine(what: &str, answer: &Answer) {
    assert!(answer.status < 500, "{what}: {answer}");
}

fn last<T: Clone>(of: &Mutex<Vec<T>>) -> Option<T> {
    of.lock().unwrap().last().cloned()
}

impl Scene {
    async fn open() -> Self {
        let bank = Bank::open(Mood::Busy).await;
        let world = World::with(|config| {
            bank.configure_deaf(config);
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
        &self.boxes[usize::try_from(n % 2).unwrap()]
    }

    fn device(&self, n: u64) -> String {
        format!("/admin/devices/{}", self.soundbox(n).device_id)
    }

    /// Puts back what use cases take away for good: credentials and the status of the boxes.
    async fn set_the_stage(&self) {
        for statement in [
            "UPDATE devices SET status = 'active' WHERE status <> 'active'",
            "UPDATE device_credentials SET revoked_at = NULL, revoked_reason = NULL, first_used_at = NULL, superseded_until = NULL",
        ] {
            sqlx::query(statement)
                .execute(&self.world.pool)
                .await
                .unwrap();
        }
    }

    async fn sell(&self, n: u64) -> Value {
        let reference = reference();
        let label = &self.shop.terminals[usize::try_from(n % 2).unwrap()].label;
        let body = json!({
            "event_id": reference, "nmid": self.shop.nmid, "terminal_label": label, "partner_reference": reference,
            "amount": 10_000, "currency": "IDR", "status": "success", "paid_at": self.clock.now(),
        });
        let answer = self.acquirer.tell(&body).await;
        fine("a payment", &answer);
        if let Some(id) = answer.json()["data"]["transaction_id"].as_str() {
            self.paid
                .lock()
                .unwrap()
                .push((id.parse().unwrap(), body.clone()));
        }
        body
    }
}

/// All that writes. Each takes a number, by which it chooses among the same few rows.
const USE_CASES: &[UseCase] = &[
    ("static payment", |s, n| {
        async move { drop(s.sell(n).await) }.boxed()
    }),
    ("dynamic code and its payment", |s, n| {
        async move {
        let request_id = reference();
        let body = json!({ "device_id": s.soundbox(n).device_id, "amount": 7_000, "currency": "IDR", "request_id": request_id });
        let asked = s.soundbox(n).api(&s.world).unchecked()
            .post_with("/device/transactions/dynamic-qr", &[("idempotency-key", &request_id)], &body).await;
        fine("dynamic-qr", &asked);
        if let Some(id) = asked.json()["transaction_id"].as_str() {
            let paid = success(id.parse().unwrap(), 7_000, &reference(), s.clock.now());
            fine("a payment", &s.acquirer.tell(&paid).await);
        }
    }.boxed()
    }),
    ("reversal", |s, n| {
        async move {
            let before = last(&s.paid).map(|(_, body)| body);
            let body = match before {
                Some(body) if n % 2 == 0 => body,
                _ => s.sell(n).await,
            };
            fine(
                "a reversal",
                &s.acquirer.tell(&but_status(body, "reversed")).await,
            );
        }
        .boxed()
    }),
    ("the same payment again", |s, n| {
        async move {
            match last(&s.paid) {
                Some((_, body)) => fine("a repetition", &s.acquirer.tell(&body).await),
                None => drop(s.sell(n).await),
            }
        }
        .boxed()
    }),
    ("bind", |s, n| {
        async move {
            let place =
                json!({ "terminal_id": s.shop.terminals[usize::try_from(n / 2 % 2).unwrap()].id });
            fine(
                "bind",
                &s.admin.post(&format!("{}/bind", s.device(n)), &place).await,
            );
        }
        .boxed()
    }),
    ("unbind", |s, n| {
        async move {
            fine(
                "unbind",
                &s.admin
                    .post(&format!("{}/unbind", s.device(n)), &json!({}))
                    .await,
            );
        }
        .boxed()
    }),
    ("suspend", |s, n| {
        async move {
            fine(
                "suspend",
                &s.admin
                    .patch(&s.device(n), &json!({ "status": "suspended" }))
                    .await,
            );
            fine(
                "reinstate",
                &s.admin
                    .patch(&s.device(n), &json!({ "status": "active" }))
                    .await,
            );
        }
        .boxed()
    }),
    ("device patch", |s, n| {
        async move {
            let mode = if n % 2 == 0 { "http" } else { "mqtt" };
            fine(
                "patch",
                &s.admin
                    .patch(&s.device(n), &json!({ "communication_mode": mode }))
                    .await,
            );
        }
        .boxed()
    }),
    ("revoke credentials", |s, n| {
        async move {
            fine(
                "revoke",
                &s.admin
                    .post(&format!("{}/credentials/revoke", s.device(n)), &json!({}))
                    .await,
            );
        }
        .boxed()
    }),
    ("activation code", |s, n| {
        async move {
            fine(
                "code",
                &s.admin
                    .post(&format!("{}/activation-code", s.device(n)), &json!({}))
                    .await,
            );
        }
        .boxed()
    }),
    ("refresh credential", |s, n| {
        async move {
            let context = s.context.clone();
            let device_id = s.soundbox(n).device_id;
            let csr = new_key().csr_pem().to_owned();
            let mut unit = context.begin(Actor::system()).await.unwrap();
            // Suspended meanwhile, it is refused.
            if provisioning::refresh(&mut unit, device_id, provisioning::Renewal { csr })
                .await
                .is_ok()
            {
                unit.commit().await.unwrap();
            }
        }
        .boxed()
    }),
    ("session", |s, n| {
        async move {
            let soundbox = s.soundbox(n);
            let serial = soundbox.certificate_serial();
            let connect = Connect {
                device_id: soundbox.device_id,
                certificate_serial: &serial,
                clean_start: n % 3 == 0,
                expiry_s: 600,
            };
            if let Some(admitted) = session::admit(&s.context, &connect).await.unwrap() {
                let ending = Ending {
                    device_id: soundbox.device_id,
                    epoch: admitted.epoch,
                    forget: false,
                    expiry_s: None,
                    reason: "test",
                };
                session::end(&s.context, &ending).await.unwrap();
            }
        }
        .boxed()
    }),
    ("heartbeats", |s, n| {
        async move {
        let mut beats: Vec<_> = s.boxes.iter().map(|one| {
            let beat = json!({ "message_type": "heartbeat", "device_id": one.device_id, "firmware_version": "1", "state": "idle" });
            heartbeat::beat(s.clock.now(), one.device_id, serde_json::from_value(beat).unwrap())
        }).collect();
        if n % 2 == 0 { beats.reverse(); }
        heartbeat::store_batch(&s.context, &beats).await.unwrap();
    }.boxed()
    }),
    ("command", |s, n| {
        async move {
            let kinds = [
                json!({ "type": "sync_config" }),
                json!({ "type": "announce_text", "payload": { "text": "Selamat pagi" } }),
            ];
            let path = format!("{}/commands", s.device(n));
            let answer = s
                .admin
                .post_once(&path, &kinds[usize::try_from(n % 2).unwrap()])
                .await;
            fine("command", &answer);
            if let Some(id) = answer.json()["data"]["id"].as_str() {
                s.commands.lock().unwrap().push(id.to_owned());
            }
        }
        .boxed()
    }),
    ("cancel command", |s, n| {
        async move {
            if let Some(id) = last(&s.commands) {
                fine(
                    "cancel",
                    &s.admin
                        .post(&format!("{}/commands/{id}/cancel", s.device(n)), &json!({}))
                        .await,
                );
            }
        }
        .boxed()
    }),
    ("command acknowledgement", |s, n| {
        async move {
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
        .boxed()
    }),
    ("device layer", |s, n| {
        async move {
            fine(
                "layer",
                &s.admin
                    .patch(
                        &format!("{}/config", s.device(n)),
                        &json!({ "volume": n % 10 }),
                    )
                    .await,
            );
        }
        .boxed()
    }),
    ("merchant layer", |s, n| {
        async move {
            let path = format!("/admin/merchants/{}/config", s.shop.merchant_id);
            fine(
                "layer",
                &s.admin
                    .patch(&path, &json!({ "display_brightness": n % 100 }))
                    .await,
            );
            config_layer::spread(&s.context).await.unwrap();
        }
        .boxed()
    }),
    ("outlet layer", |s, n| {
        async move {
            let path = format!("/admin/outlets/{}/config", s.shop.outlet_id);
            fine(
                "layer",
                &s.admin
                    .patch(&path, &json!({ "reconnect_jitter_s": n % 100 }))
                    .await,
            );
            config_layer::spread(&s.context).await.unwrap();
        }
        .boxed()
    }),
    ("fleet layer", |s, n| {
        async move {
            fine(
                "layer",
                &s.admin
                    .patch("/admin/fleet/config", &json!({ "volume": n % 10 }))
                    .await,
            );
            config_layer::spread(&s.context).await.unwrap();
        }
        .boxed()
    }),
    ("configuration acknowledgement", |s, n| {
        async move {
            let ack = ConfigAck {
                version: i64::try_from(n % 5 + 1).unwrap(),
                status: ConfigAckStatus::Applied,
                reason: None,
            };
            config::acknowledge(&s.context, s.soundbox(n).device_id, &ack)
                .await
                .unwrap();
        }
        .boxed()
    }),
    ("push again", |s, n| {
        async move {
            fine(
                "push",
                &s.admin
                    .post(&format!("{}/config/retry-push", s.device(n)), &json!({}))
                    .await,
            );
        }
        .boxed()
    }),
    ("outbox", |s, n| {
        async move {
            let devices = s.boxes.each_ref().map(|one| one.device_id);
            let all = n % 2 == 0;
            let pushes = config::due(&s.context, &devices, all).await.unwrap();
            config::mark_sent(&s.context, &pushes).await.unwrap();
            let sends = notification::due(&s.context, &devices, all).await.unwrap();
            notification::mark_sent(&s.context, &sends).await.unwrap();
            let orders = command::due(&s.context, &devices, all).await.unwrap();
            command::mark_sent(&s.context, &orders).await.unwrap();
        }
        .boxed()
    }),
    ("payment acknowledgements", |s, n| {
        async move {
        let rows: Vec<(uuid::Uuid, uuid::Uuid)> = sqlx::query_as("SELECT event_id, device_id FROM notifications ORDER BY created_at DESC LIMIT 6")
            .fetch_all(&s.world.pool).await.unwrap();
        let mut acks: Vec<_> = rows.into_iter().map(|(event_id, device_id)| {
            let ack = json!({ "message_type": "payment_ack", "event_id": EventId::from_uuid(event_id), "status": "received" });
            let ack: PaymentAck = serde_json::from_value(ack).unwrap();
            notification::ack(wire::DeviceId::from_uuid(device_id), ack)
        }).collect();
        if n % 2 == 0 { acks.reverse(); }
        notification::acknowledge(&s.context, &acks).await.unwrap();
    }.boxed()
    }),
    ("retry notification", |s, _| {
        async move {
            if let Some((id, _)) = last(&s.paid) {
                fine(
                    "retry",
                    &s.finance
                        .post(
                            &format!("/admin/transactions/{id}/retry-notification"),
                            &json!({}),
                        )
                        .await,
                );
            }
        }
        .boxed()
    }),
    ("merchant patch", |s, n| {
        async move {
            let path = format!("/admin/merchants/{}", s.shop.merchant_id);
            fine(
                "patch",
                &s.admin
                    .patch(&path, &json!({ "brand_name": format!("Warung {n}") }))
                    .await,
            );
        }
        .boxed()
    }),
    ("merchant keys and review", |s, _| {
        async move {
            let path = format!("/admin/merchants/{}", s.shop.merchant_id);
            // Both are refused, and lock the row for it.
            fine(
                "keys",
                &s.admin
                    .patch(&path, &json!({ "nmid": "ID1020000000009" }))
                    .await,
            );
            fine(
                "review",
                &s.admin.post(&format!("{path}/approve"), &json!({})).await,
            );
        }
        .boxed()
    }),
    ("outlet patch", |s, n| {
        async move {
            let path = format!("/admin/outlets/{}", s.shop.outlet_id);
            fine(
                "patch",
                &s.admin
                    .patch(&path, &json!({ "name": format!("Pusat {n}") }))
                    .await,
            );
        }
        .boxed()
    }),
    ("terminal patch", |s, n| {
        async move {
            let till = &s.shop.terminals[usize::try_from(n % 2).unwrap()];
            let path = format!("/admin/terminals/{}", till.id);
            fine(
                "name",
                &s.admin
                    .patch(&path, &json!({ "name": format!("Kasir {n}") }))
                    .await,
            );
            fine(
                "label",
                &s.admin
                    .patch(
                        &path,
                        &json!({ "terminal_label": format!("X{}", n % 1000) }),
                    )
                    .await,
            );
            fine(
                "label",
                &s.admin
                    .patch(&path, &json!({ "terminal_label": till.label }))
                    .await,
            );
        }
        .boxed()
    }),
    ("new terminal", |s, n| {
        async move {
        let path = format!("/admin/outlets/{}/terminals", s.shop.outlet_id);
        let terminal = json!({ "name": "Kasir", "terminal_label": format!("N{}", reference().get(4..16).unwrap()) });
        let _ = n;
        fine("terminal", &s.admin.post(&path, &terminal).await);
    }.boxed()
    }),
    ("new device", |s, _| {
        async move {
        let device = json!({ "serial_number": reference(), "model": "SB-1", "capabilities": ["speaker"] });
        fine("device", &s.admin.post("/admin/devices", &device).await);
    }.boxed()
    }),
    ("unmatched money", |s, n| {
        async move {
        let reference = reference();
        let stray = json!({
            "event_id": reference, "nmid": s.shop.nmid, "terminal_label": "NOWHERE", "partner_reference": reference,
            "amount": 5_000, "currency": "IDR", "status": "success", "paid_at": s.clock.now(),
        });
        fine("stray money", &s.acquirer.tell(&stray).await);
        let open = s.finance.get("/admin/unmatched-payments?status=open&limit=1").await;
        fine("list", &open);
        if let Some(id) = open.json()["data"][0]["id"].as_str() {
            let place = json!({ "terminal_id": s.shop.terminals[usize::try_from(n % 2).unwrap()].id });
            fine("assign", &s.finance.post(&format!("/admin/unmatched-payments/{id}/assign"), &place).await);
        }
    }.boxed()
    }),
    ("settlement run", |s, n| {
        async move {
            let run = if n % 2 == 0 {
                json!({})
            } else {
                json!({ "merchant_id": s.shop.merchant_id })
            };
            let answer = s.finance.post_once("/admin/settlements/run", &run).await;
            fine("run", &answer);
            if let Some(id) = answer.json()["data"]["settlements"][0].as_str() {
                s.settlements.lock().unwrap().push(id.to_owned());
            }
        }
        .boxed()
    }),
    ("payout callback", |s, n| {
        async move {
            if let Some(id) = last(&s.settlements) {
                let shown = s.finance.get(&format!("/admin/settlements/{id}")).await;
                fine("settlement", &shown);
                let net = shown.json()["data"]["net"].as_i64().unwrap_or(1);
                let status = ["paid", "failed", "returned"][usize::try_from(n % 3).unwrap()];
                fine(
                    "payout callback",
                    &Bank::tell(&s.world, &word(&id, status, net, &reference())).await,
                );
                fine(
                    "retry payout",
                    &s.finance
                        .post_once(&format!("/admin/settlements/{id}/retry-payout"), &json!({}))
                        .await,
                );
            }
        }
        .boxed()
    }),
    ("payout job", |s, _| {
        async move {
            payout::enqueue_missing(&s.context, 100).await.unwrap();
            payout::work(&s.context, 100).await.unwrap();
        }
        .boxed()
    }),
    ("fee version", |s, _| {
        async move {
        let version = json!({ "effective_from": s.clock.now() + chrono::TimeDelta::days(1), "rules": [{ "basis_points": 30 }] });
        fine("fee version", &s.finance.post("/admin/fee-profiles/fee_basic/versions", &version).await);
    }.boxed()
    }),
    ("bulk command", |s, n| {
        async move {
        let kind = if n % 2 == 0 { "sync_config" } else { "play_test" };
        let order = json!({
            "type": kind, "payload": {}, "query": { "device_ids": s.boxes.each_ref().map(|one| one.device_id) },
            "rollout": { "rate_per_minute": 60_000, "abort_threshold_percent": 100, "min_sample": 1 },
        });
        let made = s.admin.post_once("/admin/bulk-commands", &order).await;
        fine("bulk command", &made);
        bulk_command::advance(&s.context).await.unwrap();
        if let Some(id) = made.json()["data"]["id"].as_str() {
            fine("cancel", &s.admin.post(&format!("/admin/bulk-commands/{id}/cancel"), &json!({})).await);
        }
        bulk_command::advance(&s.context).await.unwrap();
    }.boxed()
    }),
    ("jobs that end things", |s, _| {
        async move {
            transaction::expire_overdue(&s.context, 100).await.unwrap();
            notification::end_stale(&s.context, 100).await.unwrap();
            command::end_overdue(&s.context, 100).await.unwrap();
            presence::end_silent(&s.context, 100).await.unwrap();
        }
        .boxed()
    }),
    ("jobs that look and clean up", |s, _| {
        async move {
            alert::check(&s.context, 100).await.unwrap();
            heartbeat_hour::roll_up(&s.context, 30, 2).await.unwrap();
            housekeeping::forget_expired(&s.context, 100).await.unwrap();
        }
        .boxed()
    }),
    ("an unsigned callback", |s, _| {
        async move {
            let answer = s
                .anonymous
                .post(tests::acquirer::PATH, &json!({ "event_id": "e" }))
                .await;
            fine("unsigned", &answer);
        }
        .boxed()
    }),
];

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
        scene.set_the_stage().await;
        for second in &USE_CASES[number..] {
            // The same rows for both, then crosswise.
            let n = random.random_range(0..1_000_000_u64) * 2;
            tokio::join!(
                (first.1)(&scene, n),
                (second.1)(&scene, n),
                (second.1)(&scene, n + 1),
                (first.1)(&scene, n + 1),
            );
            pairs += 1;
        }
    }
    for _ in 0..rounds {
        scene.set_the_stage().await;
        let chosen = (0..AT_ONCE).map(|_| {
            let (_, run) = USE_CASES[random.random_range(0..USE_CASES.len())];
            run(&scene, random.random_range(0..1_000_000))
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
