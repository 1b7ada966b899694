//! Acquirers as they are: each sends its own form to a running platform.

use device_sim::partner::Target;
use device_sim::partner::dialect::Message;
use tests::dialects::{self, PARTNER, SECRET, callback, post};
use tests::prelude::*;

use crate::view::{open_money, state};

/// What of a message is changed by one byte.
fn spoiled(name: &str, good: &Message) -> Vec<Message> {
    let mut all = Vec::new();
    if name == "xendit" {
        // It signs nothing: its token is all.
        let mut other = good.clone();
        other.headers[0].1.pop();
        all.push(other);
    } else if good.body.is_empty() {
        for (from, to) in [
            ("AMOUNT=50000", "AMOUNT=50001"),
            ("WORDS=", "WORDS=0"),
            ("TXNSTATUS=S", "TXNSTATUS=F"),
        ] {
            let mut other = good.clone();
            other.path = other.path.replace(from, to);
            assert_ne!(other.path, good.path);
            all.push(other);
        }
    } else {
        let text = String::from_utf8(good.body.clone()).unwrap();
        for (from, to) in [
            ("50000", "50001"),
            ("tx_0", "tx_1"),
            ("\"00\"", "\"04\""),
            ("\"03\"", "\"04\""),
        ] {
            if text.contains(from) {
                let mut other = good.clone();
                other.body = text.replace(from, to).into_bytes();
                all.push(other);
            }
        }
        for (at, (header, value)) in good.headers.iter().enumerate() {
            if matches!(*header, "x-signature" | "x-timestamp") {
                let mut other = good.clone();
                let flipped = if value.ends_with('0') { "1" } else { "0" };
                other.headers[at].1.replace_range(..1, flipped);
                if other.headers[at].1 != good.headers[at].1 {
                    all.push(other);
                }
            }
        }
    }
    assert!(!all.is_empty(), "{name}");
    all
}

async fn each_message_does_what_it_says(name: &str) {
    let (world, speaker) = dialects::world(name).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let id = soundbox.credentials.qr(&world, 50_000).await.transaction_id;
    let say = |status: &str| callback(&world, id, 50_000, "20261120777700009", status);

    // Nothing happened yet, and that never stands in the way.
    let pending = speaker.message(&say("pending")).await;
    assert_eq!(post(&world, &pending).await.status, 200, "{name}");
    assert_eq!(state(&world, id).await.0, "awaiting_payment");

    let paid = speaker.message(&say("success")).await;
    let before = Snapshot::take(&world.pool).await;
    for forged in spoiled(name, &paid) {
        let answer = post(&world, &forged).await;
        assert!(
            (400..500).contains(&answer.status),
            "{name}: {forged:?} {answer}"
        );
    }
    let moved = before.changes(&world.pool).await;
    assert!(
        !moved.contains_key("payments") && !moved.contains_key("callbacks"),
        "{name}: {moved:?}"
    );
    let credentials = "rejected_callbacks WHERE headers ?| ARRAY['x-signature', 'authorization', 'x-callback-token']";
    assert_eq!(world.rows(credentials).await, 0);

    let answer = post(&world, &paid).await;
    assert_eq!(answer.status, 200, "{name}: {answer}");
    let heard = soundbox.play().await;
    assert_eq!((heard.transaction_id, heard.amount.to_i64()), (id, 50_000));
    ledger::must_balance(&world.pool).await;

    // The same again, also under another external id, is the same payment.
    let before = Snapshot::take(&world.pool).await;
    assert_eq!(post(&world, &paid).await.status, 200, "{name}");
    let again = speaker.message(&say("success")).await;
    assert_eq!(post(&world, &again).await.status, 200, "{name}");
    let late = speaker.message(&say("pending")).await;
    assert_eq!(post(&world, &late).await.status, 200, "{name}");
    let changes = before.changes(&world.pool).await;
    assert_eq!(changes.get("callbacks"), Some(&3), "{name}");
    assert!(
        !changes.contains_key("payments") && !changes.contains_key("notifications"),
        "{name}"
    );
    assert_eq!(state(&world, id).await.0, "paid");

    // Another amount under the same reference.
    let more = dialects::callback(&world, id, 50_001, "20261120777700009", "success");
    let answer = post(&world, &speaker.message(&more).await).await;
    assert!((400..500).contains(&answer.status), "{name}: {answer}");

    let back = speaker.message(&say("reversed")).await;
    assert_eq!(post(&world, &back).await.status, 200, "{name}");
    match name {
        // Of these two nobody confirms what a refund looks like in what they send: it is held, and an incident.
        "manjo" | "midtrans" => {
            assert_eq!(state(&world, id).await.0, "paid");
            assert_eq!(
                world.rows("incidents WHERE kind = 'unknown_status'").await,
                1
            );
        }
        _ => assert_eq!(state(&world, id).await.0, "reversed", "{name}"),
    }
    ledger::must_balance(&world.pool).await;
}

macro_rules! each {
    ($($story:ident $name:literal;)+) => {
        $(#[tokio::test]
        async fn $story() {
            each_message_does_what_it_says($name).await;
        })+
    };
}

each! {
    a_payment_as_bri_sends_it_is_heard_once "bri";
    a_payment_as_manjo_sends_it_is_heard_once "manjo";
    a_payment_as_speedcash_sends_it_is_heard_once "speedcash";
    a_payment_as_bjb_sends_it_is_heard_once "bjb";
    a_payment_as_ocbc_sends_it_is_heard_once "ocbc";
    a_payment_as_yokke_sends_it_is_heard_once "yokke";
    a_payment_as_dana_sends_it_is_heard_once "dana";
    a_payment_as_shopeepay_sends_it_is_heard_once "shopeepay";
    a_payment_as_midtrans_snap_sends_it_is_heard_once "midtrans_snap";
    a_payment_as_midtrans_sends_it_is_heard_once "midtrans";
    a_payment_as_doku_sends_it_is_heard_once "doku";
    a_payment_as_xendit_sends_it_is_heard_once "xendit";
    a_payment_as_faspay_sends_it_is_heard_once "faspay";
    a_payment_as_winpay_sends_it_is_heard_once "winpay";
}

#[test]
fn there_is_a_story_of_every_built_in_dialect() {
    let mut spoken: Vec<_> = device_sim::partner::dialect::names().collect();
    spoken.extend(["hmac", "snap"]);
    spoken.sort_unstable();
    let mut known = domain::dialect::NAMES.to_vec();
    known.sort_unstable();
    assert_eq!(spoken, known);
}

#[tokio::test]
async fn a_partners_credentials_do_not_work_on_anothers_path() {
    let (world, speaker) = dialects::world("yokke").await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let id = soundbox.credentials.qr(&world, 50_000).await.transaction_id;
    let good = speaker
        .message(&callback(&world, id, 50_000, "ref-1", "success"))
        .await;
    for path in [
        "/integrations/qris/callback/acme",
        "/integrations/qris/callback/nobody",
        "/integrations/qris/callback/",
        "/v1.0/qr/qr-mpm-notify",
        "/v1.0/debit/notify",
        "/integrations/qris/callback/bank",
    ] {
        let elsewhere = Message {
            path: path.to_owned(),
            ..good.clone()
        };
        let answer = post(&world, &elsewhere).await;
        assert!(matches!(answer.status, 401 | 404), "{path}: {answer}");
    }
    // Ours, named by a path of the bank's.
    let ours = success(id, 50_000, "ref-2", world.clock.now());
    let signed = world
        .acquirer()
        .sign(ours.to_string().as_bytes(), world.clock.now());
    let headers = [
        ("x-partner-id", signed.partner.as_str()),
        ("x-partner-timestamp", signed.timestamp.as_str()),
        ("x-partner-signature", signed.signature.as_str()),
    ];
    for (path, status) in [
        ("/integrations/qris/callback/bank", 401),
        ("/integrations/qris/callback/another", 401),
    ] {
        let body = Some(ours.to_string().into_bytes());
        let api = world.anonymous().unchecked();
        let answer = api.call(reqwest::Method::POST, path, &headers, body).await;
        assert_eq!(answer.status, status, "{path}: {answer}");
    }
    assert_eq!(state(&world, id).await.0, "awaiting_payment");
    assert_eq!(post(&world, &good).await.status, 200);
    assert_eq!(state(&world, id).await.0, "paid");
}

/// An acquirer that nobody has heard of, by a file alone.
const MADE_UP: &str = r#"
name = "warungpay"
title = "WarungPay, which does not exist"
sources = ["this story"]

[inbound]
paths = ["/hooks/warungpay"]
signature = ["static_token"]
token_header = "x-warung-key"
partner_header = "none"
body = "form"

[fields]
order = ["/trx"]
reference = ["/ref"]
amount = ["/paid"]
status = ["/state"]
paid_at = ["/at"]
nmid = ["/nmid"]
terminal_label = ["/till"]

[times]
forms = ["%d/%m/%Y %H.%M"]

[statuses]

[statuses.notify]
LUNAS = "success"
MENUNGGU = "pending"
BATAL = "failed"

[statuses.query]
LUNAS = "success"

[answer]
form = "fixed"

[answer.success]
status = 202
body = { hasil = "oke" }

[answer.refusal]
status = 422
body = "tolak"

[answer.failure]
status = 503
body = "ulangi"
"#;

#[tokio::test]
async fn a_made_up_acquirer_is_added_by_a_file_alone() {
    let world = World::with(|config| {
        let file = config.data_dir.join("warungpay.toml");
        std::fs::write(&file, MADE_UP).unwrap();
        dialects::configure(config, &file.display().to_string(), "");
        let partner = config.qris_partners.get_mut(PARTNER).unwrap();
        partner.public_key_files.clear();
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let id = soundbox.credentials.qr(&world, 50_000).await.transaction_id;
    let say = |form: String, token: &str| Message {
        path: "/hooks/warungpay".to_owned(),
        headers: vec![("x-warung-key", token.to_owned())],
        body: form.into_bytes(),
    };
    // Its clock shows WIB and names no zone.
    let wib = world.clock.now() + chrono::TimeDelta::hours(7);
    let at = wib.format("%d%%2F%m%%2F%Y+%H.%M");
    let form = |reference: &str, state: &str| {
        format!("trx={id}&ref={reference}&paid=50000.00&state={state}&at={at}")
    };
    let refused = post(&world, &say(form("r-1", "lunas"), "another token")).await;
    assert_eq!((refused.status, &*refused.body), (422, &b"tolak"[..]));
    let pending = post(&world, &say(form("r-1", "MENUNGGU"), SECRET)).await;
    assert_eq!(pending.status, 202);
    let answer = post(&world, &say(form("r-1", "lunas"), SECRET)).await;
    assert_eq!(
        (answer.status, answer.json()),
        (202, json!({ "hasil": "oke" }))
    );
    assert_eq!(soundbox.play().await.amount.to_i64(), 50_000);
    // A field that decides and is there twice.
    let twice = post(&world, &say(form("r-2", "lunas") + "&paid=1", SECRET)).await;
    assert_eq!(twice.status, 422);
    // A printed code.
    let printed = format!(
        "ref=r-3&paid=7500&state=LUNAS&nmid={}&till={}",
        shop.nmid,
        shop.terminal().label
    );
    assert_eq!(post(&world, &say(printed, SECRET)).await.status, 202);
    assert_eq!(soundbox.play().await.amount.to_i64(), 7_500);
    assert_eq!(open_money(&world).await.len(), 0);
    // Its token is not kept with what it proves.
    assert_eq!(
        world
            .rows("callback_bodies WHERE headers ? 'x-warung-key'")
            .await,
        0
    );
}

#[tokio::test]
async fn a_file_that_is_wrong_is_refused_at_start() {
    let mut world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("wrong.toml");
    world.stop().await;
    for (text, line, key) in [
        (
            MADE_UP.replace("status = [\"/state\"]", "status = [\"state\"]"),
            "line 17",
            "status",
        ),
        (MADE_UP.replace("title", "titel"), "line 3", "titel"),
    ] {
        std::fs::write(&file, text).unwrap();
        let name = file.display().to_string();
        world.reconfigure(|config| dialects::configure(config, &name, ""));
        let error = format!("{:#}", world.try_start().await.unwrap_err());
        assert!(
            error.contains(&name) && error.contains(line) && error.contains(key),
            "{error}"
        );
    }
    world.reconfigure(|config| dialects::configure(config, "nobody", ""));
    let error = format!("{:#}", world.try_start().await.unwrap_err());
    assert!(
        error.contains("qris_partners.bank.dialect") && error.contains("shopeepay"),
        "{error}"
    );
}

#[tokio::test]
async fn a_success_without_an_amount_is_held_and_never_paid_by_itself() {
    let (world, speaker) = dialects::world("shopeepay").await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.terminal().id).await;
    let id = soundbox.credentials.qr(&world, 50_000).await.transaction_id;
    let unstated = speaker
        .message(&callback(&world, id, 0, "r-1", "success"))
        .await;
    assert_eq!(post(&world, &unstated).await.status, 200);
    assert_eq!(state(&world, id).await.0, "awaiting_payment");
    assert_eq!(
        world
            .rows("callbacks WHERE verdict = 'held' AND reason = 'amount_not_stated'")
            .await,
        1
    );
    // This platform cannot ask: the code was built here. A person needs to know.
    assert_eq!(
        world
            .rows("incidents WHERE kind = 'amount_not_stated'")
            .await,
        1
    );
    let stated = speaker
        .message(&callback(&world, id, 50_000, "r-1", "success"))
        .await;
    assert_eq!(post(&world, &stated).await.status, 200);
    assert_eq!(state(&world, id).await.0, "paid");
}

#[tokio::test]
async fn a_payment_of_a_printed_code_is_heard_whoever_sends_it() {
    for name in ["bri", "speedcash", "midtrans_snap"] {
        let (world, speaker) = dialects::world(name).await;
        let shop = Shop::open(&world, "Warung Sari", 1).await;
        let mut soundbox = Soundbox::at(&world, shop.terminal().id).await;
        let printed = device_sim::partner::Callback::new(
            Target::Static {
                nmid: shop.nmid.clone(),
                terminal_label: Some(shop.terminal().label.clone()),
            },
            wire::Rupiah::from_i64(7_500),
            "success",
            world.clock.now(),
        );
        let message = speaker.message(&printed).await;
        assert_eq!(post(&world, &message).await.status, 200, "{name}");
        assert_eq!(soundbox.play().await.amount.to_i64(), 7_500, "{name}");
    }
}
