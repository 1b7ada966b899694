//! People are told of alerts where they are: once when something begins, once when it is over.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Json, Path, State};
use axum::routing::post;
use platform::config::{AlertChannel, AlertChannelKind, Config};
use tempfile::NamedTempFile;
use tests::prelude::*;
use tests::webhook_receiver::WebhookReceiver;

use crate::view::open_alerts;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const KIND: &str = "unannounced_payment";

fn channel(kind: AlertChannelKind, url: &str) -> AlertChannel {
    AlertChannel {
        kind,
        kinds: vec![KIND.into()],
        merchants: Vec::new(),
        quiet_hours: String::new(),
        urgent: Vec::new(),
        url: url.into(),
        secret_file: std::path::PathBuf::new(),
        user: String::new(),
        from: String::new(),
        to: Vec::new(),
        chat_id: String::new(),
    }
}

/// A platform that tells a receiver of payments without a box, a shop with this many terminals, which have none, and the file
/// of the channel's secret.
async fn scene(
    terminals: usize,
    change: impl FnOnce(&mut AlertChannel),
) -> (World, Shop, WebhookReceiver, NamedTempFile) {
    let receiver = WebhookReceiver::open().await;
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SECRET).unwrap();
    let mut ops = channel(AlertChannelKind::Webhook, &receiver.url());
    ops.secret_file = file.path().to_owned();
    change(&mut ops);
    let world = World::with(|config| add(config, ops)).await;
    let shop = Shop::open(&world, "Warung Sari", terminals).await;
    (world, shop, receiver, file)
}

fn add(config: &mut Config, channel: AlertChannel) {
    config.health.check_interval_s = 1;
    config.alert_channels.insert("ops".into(), channel);
}

/// Payments of every terminal's printed code.
async fn pay_all(world: &World, shop: &Shop) {
    for place in 0..shop.terminals.len() {
        let body = shop.printed_payment_at(world, place, 10_000);
        let _ = world.acquirer().send(&body).await.expect(200);
    }
}

/// Acknowledges every open alert of the kind, which ends it.
async fn acknowledge_all(world: &World) {
    for alert in open_alerts(world, KIND).await {
        let path = format!("/admin/alerts/{}/acknowledge", text(&alert, "id"));
        world.admin().act(&path, &json!({})).await;
    }
    eventually("the end of the alerts", || async {
        open_alerts(world, KIND).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_goes_together_is_told_of_once_and_once_when_it_is_over() {
    let (world, shop, receiver, _secret) = scene(3, |_| {}).await;
    pay_all(&world, &shop).await;
    assert_eq!(open_alerts(&world, KIND).await.len(), 3);
    world.later(20);
    let first = receiver.has_taken(1).await.remove(0);
    assert!(first.is_signed_with(SECRET));
    assert_eq!(first.body["phase"], "began");
    let title = text(&first.body, "title");
    assert!(
        title.starts_with("3 places where no box can announce payments, all in "),
        "{title}"
    );
    acknowledge_all(&world).await;
    let second = receiver.has_taken(2).await.remove(1);
    assert_eq!(second.body["phase"], "ended");
    assert_eq!(text(&second.body, "title"), format!("Over: {title}"));
    assert!(text(&second.body, "body").contains("3 alerts in all"));
    assert_eq!(world.rows("alert_messages").await, 2);
}

#[tokio::test]
async fn what_comes_soon_after_joins_and_a_restart_says_nothing_twice() {
    let (mut world, shop, receiver, _secret) = scene(1, |_| {}).await;
    pay_all(&world, &shop).await;
    world.later(20);
    receiver.has_taken(1).await;
    world.crash();
    world.start().await;
    let neighbour = Shop::open(&world, "Kopi Fajar", 1).await;
    pay_all(&world, &neighbour).await;
    world.later(20);
    world.wait_for_rows("alert_group_members", 2).await;
    acknowledge_all(&world).await;
    // What the crash cut off is said again, under the same id.
    let taken = receiver.has_taken_by(&world, 2).await;
    assert_eq!(taken[1].body["phase"], "ended");
    assert_eq!(taken.len(), 2);
}

#[tokio::test]
async fn what_is_over_before_the_quiet_hours_end_wakes_nobody() {
    // All of the day but the minute that the clock of the test is not in.
    let (world, shop, receiver, _secret) =
        scene(1, |ops| ops.quiet_hours = "00:00-23:59".into()).await;
    pay_all(&world, &shop).await;
    world.later(20);
    world.wait_for_rows("alert_messages", 1).await;
    acknowledge_all(&world).await;
    world
        .wait_for_rows("alert_groups WHERE ended_at IS NOT NULL", 1)
        .await;
    world.later(86_400);
    pay_all(&world, &shop).await;
    world.later(20);
    world.wait_for_rows("alert_messages", 2).await;
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn what_is_urgent_has_no_quiet_hours() {
    let quiet = |ops: &mut AlertChannel| {
        ops.quiet_hours = "00:00-23:59".into();
        ops.urgent = vec![KIND.into()];
    };
    let (world, shop, receiver, _secret) = scene(1, quiet).await;
    pay_all(&world, &shop).await;
    world.later(20);
    receiver.has_taken(1).await;
}

#[tokio::test]
async fn a_channel_that_fails_is_tried_again() {
    let (world, shop, receiver, _secret) = scene(1, |_| {}).await;
    receiver.answer(500);
    pay_all(&world, &shop).await;
    world.later(20);
    eventually("a failure", || async {
        receiver.received().first().map(|_| ())
    })
    .await;
    receiver.answer(200);
    receiver.has_taken_by(&world, 1).await;
}

#[derive(Clone, Default)]
struct Chat(Arc<Mutex<Vec<(String, Value)>>>);

#[tokio::test]
async fn a_telegram_chat_is_told() {
    let chat = Chat::default();
    let router = Router::new()
        .route(
            "/{bot}/sendMessage",
            post(
                |State(chat): State<Chat>, Path(bot): Path<String>, Json(body): Json<Value>| async move {
                    let mut said = chat.0.lock().unwrap_or_else(PoisonError::into_inner);
                    said.push((bot, body));
                    Json(json!({ "ok": true }))
                },
            ),
        )
        .with_state(chat.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let token = NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "123:abc\n").unwrap();
    let mut ops = channel(AlertChannelKind::Telegram, &url);
    ops.secret_file = token.path().to_owned();
    ops.chat_id = "-100200".into();
    let world = World::with(|config| add(config, ops)).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    pay_all(&world, &shop).await;
    world.later(20);
    let (bot, body) = eventually("the message", || async {
        let said = chat.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.first().cloned()
    })
    .await;
    assert_eq!(bot, "bot123:abc");
    assert_eq!(body["chat_id"], "-100200");
    assert!(text(&body, "text").starts_with("A payment has no box to announce it: "));
}

/// The mail server of Python's library (until 3.11), which prints what it takes. None where there is none.
fn mail_server() -> Option<(std::process::Child, u16)> {
    let has_it = Command::new("python3")
        .args(["-W", "ignore", "-c", "import smtpd"])
        .stderr(Stdio::null())
        .status();
    if !has_it.is_ok_and(|status| status.success()) {
        eprintln!("left out: Python has no smtpd here");
        return None;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = port.local_addr().unwrap().port();
    let server = Command::new("python3")
        .args([
            "-W",
            "ignore",
            "-u",
            "-m",
            "smtpd",
            "-n",
            "-c",
            "DebuggingServer",
        ])
        .arg(format!("127.0.0.1:{port}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    Some((server, port))
}

#[tokio::test]
async fn a_mail_is_sent_by_smtp() {
    let Some((mut server, port)) = mail_server() else {
        return;
    };
    let mut ops = channel(AlertChannelKind::Smtp, &format!("smtp://127.0.0.1:{port}"));
    ops.from = "Soundbox <soundbox@example.com>".into();
    ops.to = vec!["ops@example.com".into(), "Duty <duty@example.com>".into()];
    let world = World::with(|config| add(config, ops)).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    pay_all(&world, &shop).await;
    world.later(20);
    world
        .wait_for_rows("alert_messages WHERE sent_at IS NOT NULL", 1)
        .await;
    let mut printed = BufReader::new(server.stdout.take().unwrap()).lines();
    let mut mail = String::new();
    for line in printed.by_ref().map_while(Result::ok) {
        mail.push_str(&line);
        mail.push('\n');
        if line.contains("END MESSAGE") {
            break;
        }
    }
    server.kill().unwrap();
    server.wait().unwrap();
    for expected in [
        "Subject: [soundbox] A payment has no box to announce it",
        "ops@example.com",
        "duty@example.com",
        "Since ",
    ] {
        assert!(mail.contains(expected), "{expected} in {mail}");
    }
}
