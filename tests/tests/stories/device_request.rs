//! What a person at a box asks for by its button: the last payment again, and the total of the day.

use tests::prelude::*;
use wire::message::{
    Command, CommandAck, CommandAckStatus, PaymentSuccess, ReplayRequest, TotalRequest,
};
use wire::{DeviceId, TransactionId, UplinkMessage};

use crate::view::command;

fn replay(device_id: DeviceId, request_id: &str) -> UplinkMessage {
    UplinkMessage::ReplayRequest(ReplayRequest {
        request_id: request_id.to_owned(),
        device_id,
        created_at: None,
    })
}

fn total(device_id: DeviceId, request_id: &str) -> UplinkMessage {
    UplinkMessage::TotalRequest(TotalRequest {
        request_id: request_id.to_owned(),
        device_id,
        created_at: None,
    })
}

/// Presses the button for the last payment.
async fn press_replay(soundbox: &mut Soundbox, request_id: &str) {
    let device_id = soundbox.credentials.device_id;
    soundbox.send(replay(device_id, request_id)).await;
}

/// Presses the button for the total, and returns what the box is to say.
async fn hear_total(soundbox: &mut Soundbox, request_id: &str) -> Command {
    let device_id = soundbox.credentials.device_id;
    soundbox.send(total(device_id, request_id)).await;
    obey(soundbox).await
}

/// Executes the next command.
async fn obey(soundbox: &mut Soundbox) -> Command {
    let command = soundbox.next_command().await;
    let done = UplinkMessage::CommandAck(CommandAck {
        device_id: soundbox.credentials.device_id,
        command_id: command.command_id,
        status: CommandAckStatus::Delivered,
        reason: None,
        result_payload: None,
    });
    soundbox.send(done).await;
    command
}

/// A payment that can be taken back: what its partner sent.
async fn sell(world: &World, soundbox: &Soundbox, amount: i64) -> Value {
    let id = soundbox.credentials.qr(world, amount).await.transaction_id;
    let body = success(id, amount, &reference(), world.clock.now());
    let _ = world.acquirer().send(&body).await.expect(200);
    body
}

async fn take_back(world: &World, success: Value) {
    let reversed = but_status(success, "reversed");
    let _ = world.acquirer().send(&reversed).await.expect(200);
}

/// Lets it be ten o'clock in Jakarta, so that no midnight is near.
fn in_the_morning(world: &World) {
    let into_the_day = world.clock.now().timestamp().rem_euclid(86_400);
    world.later((3 * 3_600 - into_the_day).rem_euclid(86_400));
}

/// Replays in the outbox.
async fn replays(world: &World) -> i64 {
    world.rows("notifications WHERE replay").await
}

fn is_repetition_of(heard: &PaymentSuccess, first: &PaymentSuccess) {
    assert_ne!(heard.event_id, first.event_id);
    assert_eq!(heard.transaction_id, first.transaction_id);
    assert_eq!(heard.amount, first.amount);
    assert!(heard.replay);
    assert_eq!(heard.speech.text, heard.speech.delayed_text);
}

#[tokio::test]
async fn the_last_payment_is_repeated_at_the_box_that_asks_and_marked_as_repeated() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let neighbour = Soundbox::at(&world, shop.terminal().id)
        .await
        .switch_off()
        .await;
    in_the_morning(&world);
    soundbox.credentials.sell(&world, 10_000).await;
    soundbox.play().await;
    world.later(1);
    soundbox.credentials.sell(&world, 50_000).await;
    let last = soundbox.play().await;

    press_replay(&mut soundbox, "press-1").await;
    let heard = soundbox.play().await;
    is_repetition_of(&heard, &last);
    assert_eq!(
        heard.speech.text,
        "Diulang, pembayaran terakhir, lima puluh ribu rupiah"
    );
    // The other box at the terminal is not disturbed.
    let others = "notifications WHERE replay AND device_id <> (SELECT device_id FROM notifications WHERE replay)";
    assert_eq!(world.rows(others).await, 0);
    assert_eq!(neighbour.credentials.notifications(&world).await.len(), 2);

    // A press that comes again is answered once; another one at once is not.
    press_replay(&mut soundbox, "press-1").await;
    press_replay(&mut soundbox, "press-2").await;
    assert_eq!(replays(&world).await, 1);
    world.later(6);
    press_replay(&mut soundbox, "press-3").await;
    is_repetition_of(&soundbox.play().await, &last);
    assert_eq!(replays(&world).await, 2);

    // In the language that the box has now.
    let path = format!("/admin/devices/{}/config", soundbox.credentials.device_id);
    world
        .admin()
        .change(&path, &json!({ "language": "jv" }))
        .await;
    world.later(6);
    press_replay(&mut soundbox, "press-4").await;
    let heard = soundbox.play().await;
    assert_eq!(
        heard.speech.text,
        "Dibaleni, pambayaran pungkasan, seket ewu rupiah"
    );
    // An operator's replay is said to be delayed, as before.
    let path = format!(
        "/admin/transactions/{}/retry-notification",
        last.transaction_id
    );
    let _ = world.admin().post(&path, &json!({})).await.expect(202);
    let delayed = soundbox.play().await.speech.delayed_text;
    assert_eq!(delayed, "Pambayaran kasep ditampa, seket ewu rupiah");
}

#[tokio::test]
async fn a_box_hears_nothing_of_another_binding_of_yesterday_or_of_what_was_taken_back() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    in_the_morning(&world);
    let device_id = soundbox.credentials.device_id;
    // Nothing was paid yet.
    press_replay(&mut soundbox, "press-0").await;
    assert_eq!(replays(&world).await, 0);

    let sold = soundbox.credentials.sell(&world, 50_000).await;
    soundbox.play().await;
    // At another merchant's terminal the former one's payments are not its own.
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    bind(&world, device_id, other.terminal().id).await;
    world.later(6);
    press_replay(&mut soundbox, "press-1").await;
    let http = |id: &str| json!({ "device_id": device_id, "request_id": id });
    let api = soundbox.credentials.api(&world);
    let answer = api
        .post("/device/notifications/replay-request", &http("press-2"))
        .await;
    answer.refused((404, "TRANSACTION_NOT_FOUND"));
    assert_eq!(replays(&world).await, 0);

    // A payment that was taken back is not repeated.
    bind(&world, device_id, shop.terminal().id).await;
    let body = sell(&world, &soundbox, 20_000).await;
    take_back(&world, body).await;
    world.later(6);
    let answer = api
        .post("/device/notifications/replay-request", &http("press-3"))
        .await;
    answer.refused((404, "TRANSACTION_NOT_FOUND"));

    // Neither is one of the day before.
    let today = soundbox.credentials.sell(&world, 30_000).await;
    assert_ne!(today, sold);
    world.later(24 * 3600);
    let answer = api
        .post("/device/notifications/replay-request", &http("press-4"))
        .await;
    answer.refused((404, "TRANSACTION_NOT_FOUND"));
    assert_eq!(replays(&world).await, 0);
}

#[tokio::test]
async fn a_box_asks_only_for_itself() {
    let (world, shop, mut soundbox) = fixture::soundbox().await;
    let mut other = Soundbox::at(&world, shop.terminal().id).await;
    soundbox.credentials.sell(&world, 50_000).await;
    soundbox.play().await;
    other.play().await;
    let victim = soundbox.credentials.device_id;
    other.send(replay(victim, "press-1")).await;
    other.send(total(victim, "press-2")).await;
    let api = other.credentials.api(&world);
    for path in [
        "/device/notifications/replay-request",
        "/device/total-request",
    ] {
        let body = json!({ "device_id": victim, "request_id": "press-3" });
        api.post(path, &body).await.refused((403, "FORBIDDEN"));
    }
    assert_eq!(replays(&world).await, 0);
    assert_eq!(world.rows("commands").await, 0);
}

/// What the ledger has of these payments.
async fn ledger_figure(world: &World, transactions: &[TransactionId]) -> i64 {
    let mut sum = 0;
    for id in transactions {
        for (_, account, debit, credit) in ledger::ledger_of(&world.pool, *id).await {
            if account == "acquirer_held" {
                sum += debit - credit;
            }
        }
    }
    sum
}

#[tokio::test]
async fn the_total_of_the_day_is_the_ledgers_figure() {
    let (world, _, mut soundbox) = fixture::soundbox().await;
    let device_id = soundbox.credentials.device_id;
    let fajar = Shop::open(&world, "Kopi Fajar", 1).await;
    let elsewhere = Credentials::at(&world, fajar.terminal().id).await;
    in_the_morning(&world);
    let nothing = hear_total(&mut soundbox, "press-0").await;
    assert_eq!(
        nothing.payload["speech"]["text"],
        "Total hari ini, nol rupiah"
    );

    let mut sold = Vec::new();
    for amount in [10_000, 25_000, 1_500] {
        sold.push(soundbox.credentials.sell(&world, amount).await);
        soundbox.play().await;
    }
    // Another terminal's payments are not in it, and neither is what was taken back.
    elsewhere.sell(&world, 70_000).await;
    let body = sell(&world, &soundbox, 40_000).await;
    sold.push(soundbox.play().await.transaction_id);
    take_back(&world, body).await;

    world.later(6);
    let said = hear_total(&mut soundbox, "press-1").await;
    let figure = ledger_figure(&world, &sold).await;
    assert_eq!(figure, 36_500);
    assert_eq!(said.kind, "announce_total");
    assert_fields!(said.payload, { "amount": figure, "transaction_count": 3 });
    let speech = json!({ "language": "id", "text": "Total hari ini, tiga puluh enam ribu lima ratus rupiah" });
    assert_eq!(said.payload["speech"], speech);

    // An operator's command says the same, in the language of the box.
    let path = format!("/admin/devices/{device_id}/config");
    world
        .admin()
        .change(&path, &json!({ "language": "su" }))
        .await;
    let order = json!({ "type": "announce_total" });
    let _ = command(&world.admin(), device_id, &order).await.expect(201);
    let said = obey(&mut soundbox).await;
    assert_eq!(
        said.payload["speech"]["text"],
        "Jumlah poe ieu, tilu puluh genep rebu lima ratus rupiah"
    );
    let order = json!({ "type": "play_test" });
    let _ = command(&world.admin(), device_id, &order).await.expect(201);
    let said = obey(&mut soundbox).await;
    assert_eq!(said.payload["speech"]["text"], "Ieu sora percobaan");

    // The next day begins with nothing.
    world.later(24 * 3600);
    let said = hear_total(&mut soundbox, "press-2").await;
    assert_fields!(said.payload, { "amount": 0, "transaction_count": 0 });
}

#[tokio::test]
async fn a_box_on_http_asks_too() {
    let (world, shop) = fixture::shop().await;
    in_the_morning(&world);
    let mut soundbox = HttpBox::at(&world, shop.terminal().id).await;
    let device_id = soundbox.credentials.device_id;
    soundbox.credentials.sell(&world, 25_000).await;
    assert_eq!(soundbox.play(25).await, 1);
    let api = soundbox.credentials.api(&world);
    let body = json!({ "device_id": device_id, "request_id": "press-1" });
    let path = "/device/notifications/replay-request";
    let answer = api.post(path, &body).await.expect(202).data();
    assert_fields!(answer["notification"], { "replay": true, "amount": 25_000 });
    let again = api.post(path, &body).await.expect(202).data();
    assert_eq!(again["notification"], Value::Null);
    let soon = json!({ "device_id": device_id, "request_id": "press-2" });
    api.post(path, &soon).await.refused((429, "RATE_LIMITED"));
    assert_eq!(soundbox.play(25).await, 1);

    let answer = api
        .post("/device/total-request", &body)
        .await
        .expect(202)
        .data();
    assert_fields!(answer["command"], { "type": "announce_total", "status": "queued" });
    assert_fields!(answer["command"]["payload"], { "amount": 25_000 });
}

#[tokio::test]
async fn only_a_bound_box_with_a_speaker_says_a_total() {
    let world = World::new().await;
    let soundbox = Soundbox::unbound(&world).await;
    let device_id = soundbox.credentials.device_id;
    let order = json!({ "type": "announce_total" });
    let answer = command(&world.admin(), device_id, &order).await;
    answer.refused((409, "DEVICE_NOT_BOUND"));
    let odd = json!({ "type": "announce_total", "payload": { "amount": 1_000_000 } });
    let answer = command(&world.admin(), device_id, &odd).await;
    answer.refused_field("payload");
    let many = json!({ "type": "announce_total", "query": {}, "rollout": {
        "rate_per_minute": 60_000, "abort_threshold_percent": 100, "min_sample": 1 } });
    let answer = world.admin().post_once("/admin/bulk-commands", &many).await;
    answer.refused_field("type");
}
