//! A connected box: takes the time of each payment, then acknowledges it as a box does.

use chrono::{DateTime, Utc};
use serde_json::json;
use service::clock::Clock;
use tests::api::Api;
use tests::connection::Connection;
use tests::provision::{Provisioned, answer_to};
use tests::text;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::{DeviceId, DownlinkMessage, Encoding, EventId, Topic, TransactionId, VerifyingKeys};

/// A payment that reached a box.
pub(crate) struct Heard {
    pub(crate) transaction_id: TransactionId,
    pub(crate) event_id: EventId,
    pub(crate) at: DateTime<Utc>,
}

/// A connected box; its task owns the connection.
pub(crate) struct Listener {
    api: Api,
    device_id: DeviceId,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn connect(
        made: &Provisioned,
        heard: mpsc::UnboundedSender<Heard>,
    ) -> anyhow::Result<Self> {
        let connection = made.listen().await?;
        let (device_id, keys) = (made.device_id, made.keys.clone());
        Ok(Self {
            api: made.api.clone(),
            device_id,
            task: tokio::spawn(listen(connection, device_id, keys, heard)),
        })
    }

    /// Waits until the platform has ended its connection.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        Ok(self.task.await?)
    }

    /// A code that it requests.
    pub(crate) async fn code(&self) -> anyhow::Result<TransactionId> {
        let key = format!("{:032x}", rand::random::<u128>());
        let body = json!({ "device_id": self.device_id, "amount": 50_000, "currency": "IDR", "request_id": key });
        let headers = [("idempotency-key", key.as_str())];
        let answer = self
            .api
            .post_with("/device/transactions/dynamic-qr", &headers, &body)
            .await
            .expect(201);
        Ok(text(&answer.json(), "transaction_id").parse()?)
    }
}

async fn listen(
    mut connection: Connection,
    device_id: DeviceId,
    keys: VerifyingKeys,
    heard: mpsc::UnboundedSender<Heard>,
) {
    let clock = Clock::system();
    while let Some(publish) = connection.try_receive().await {
        let at = clock.now();
        let channel = publish.topic.parse::<Topic>().map(|topic| topic.channel);
        let opened = channel
            .ok()
            .and_then(|channel| keys.open(device_id, channel, &publish.payload).ok());
        connection.confirm(&publish).await;
        let Some(message) = opened else { continue };
        if let DownlinkMessage::PaymentSuccess(payment) = &message {
            let seen = Heard {
                transaction_id: payment.transaction_id,
                event_id: payment.event_id,
                at,
            };
            if heard.send(seen).is_err() {
                return;
            }
        }
        let Some(ack) = answer_to(&message) else {
            continue;
        };
        if let Ok(bytes) = ack.encode(Encoding::Json) {
            let topic = Topic::new(device_id, ack.channel()).to_string();
            connection.send(&topic, bytes).await;
        }
    }
}
