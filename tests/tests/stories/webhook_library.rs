//! What is sent to webhook endpoints is verified by the libraries that Standard Webhooks publishes.

use std::process::Stdio;

use tests::installed;
use tests::prelude::*;
use tests::webhook_receiver::{Received, WebhookReceiver};
use tokio::io::AsyncWriteExt as _;

/// What a library needs to verify a message.
fn line(message: &Received, secret: &str) -> Value {
    json!({
        "secret": secret,
        "headers": {
            "Webhook-Id": message.id,
            "Webhook-Timestamp": message.timestamp,
            "Webhook-Signature": message.signature,
        },
        "body": String::from_utf8(message.raw.to_vec()).unwrap(),
    })
}

/// What the script in `tests/clients` prints for these lines.
async fn verify(interpreter: &str, script: &str, lines: &[Value]) -> Vec<String> {
    let path = format!("{}/clients/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut child = installed::program(interpreter)
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in lines {
        let line = format!("{line}\n");
        input.write_all(line.as_bytes()).await.unwrap();
    }
    drop(input);
    let output = within("the library", child.wait_with_output())
        .await
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.lines().map(str::to_owned).collect()
}

/// The messages of a payment, two of them changed on the way, and one while the secret is being replaced, verified.
async fn messages_are_verified(interpreter: &str, script: &str) {
    let world = World::with(WebhookReceiver::allow).await;
    let shop = Shop::open(&world, "Warung \u{201c}Sari\u{201d} ☕", 1).await;
    let receiver = WebhookReceiver::open().await;
    let endpoint = receiver
        .join(&world.admin(), &["payment.paid", "endpoint.test"])
        .await;
    let path = format!("/admin/webhook-endpoints/{}", text(&endpoint, "id"));
    let old = text(&endpoint, "secret");
    let body = shop.printed_payment(&world, 50_000);
    let _ = world.acquirer().send(&body).await.expect(200);
    receiver.has_taken(1).await;
    let rotate = format!("{path}/rotate-secret");
    let rotated = world.admin().post(&rotate, &json!({})).await.expect(200);
    let new = text(&rotated.data(), "secret");
    let _ = world
        .admin()
        .post(&format!("{path}/test"), &json!({}))
        .await
        .expect(202);
    let taken = receiver.has_taken(2).await;

    let mut other_amount = taken[0].clone();
    let changed = String::from_utf8(other_amount.raw.to_vec()).unwrap();
    other_amount.raw = changed.replace("50000", "90000").into();
    let mut other_id = taken[0].clone();
    other_id.id = taken[1].id.clone();
    let lines = [
        line(&taken[0], &old),
        line(&other_amount, &old),
        line(&other_id, &old),
        line(&taken[0], &new),
        line(&taken[1], &old),
        line(&taken[1], &new),
    ];
    let said = verify(interpreter, script, &lines).await;
    assert_eq!(
        said,
        [
            "taken payment.paid",
            "refused",
            "refused",
            "refused",
            "taken endpoint.test",
            "taken endpoint.test",
        ]
    );
}

#[tokio::test]
async fn the_library_of_npm_verifies_messages() {
    let found = installed::first(
        &["node", "/usr/bin/node"],
        &["-e", "require('standardwebhooks')"],
        "npm install --prefix target/clients standardwebhooks",
    );
    if let Some(node) = found {
        messages_are_verified(&node, "verify_webhook.js").await;
    }
}

#[tokio::test]
async fn the_library_of_pypi_verifies_messages() {
    let found = installed::first(
        &["/usr/bin/python3", "python3"],
        &["-c", "import standardwebhooks"],
        "pip install --target target/clients/python standardwebhooks",
    );
    if let Some(python) = found {
        messages_are_verified(&python, "verify_webhook.py").await;
    }
}
