//! `qr`: requests a dynamic QR as a box, over HTTPS or MQTT, and draws it.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use wire::message::{DynamicQrRequest, QrOutcome};
use wire::{Channel, DownlinkMessage, Rupiah, Topic, TransactionId, UplinkMessage};

use crate::api::{Api, ApiError};
use crate::clock;
use crate::credentials::{Credentials, Device};
use crate::link::timing::BACKOFF_MAX_SHORT;
use crate::link::{Link, LinkEvent, Transport};
use crate::output::Output;
use crate::qr_code::Code;
use crate::report::Event;

/// How long an answer by MQTT may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// The wait before the request is repeated. The platform does not store answers for offline boxes.
const REPEAT_AFTER: Duration = Duration::from_secs(5);

/// A dynamic QR.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DynamicQr {
    /// The id of the box's request.
    pub request_id: String,
    /// The transaction.
    pub transaction_id: TransactionId,
    /// The EMVCo payload.
    pub qr_payload: String,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
    /// The status of the transaction.
    pub status: String,
}

#[derive(Serialize)]
#[serde(tag = "event", rename = "qr")]
struct OutputEvent<'a> {
    device_id: wire::DeviceId,
    amount: Rupiah,
    #[serde(flatten)]
    qr: &'a DynamicQr,
}

/// Requests a QR and draws it.
pub async fn run(dir: &Path, amount: Rupiah, mqtt: bool, output: Output) -> anyhow::Result<()> {
    let credentials = Credentials::load(dir)?;
    let qr = if mqtt {
        by_mqtt(&credentials, amount).await?
    } else {
        by_http(&credentials.api()?, &credentials, amount).await?
    };
    let drawn = Code::of(&qr.qr_payload)?.painted();
    let event = OutputEvent {
        device_id: credentials.device.device_id,
        amount,
        qr: &qr,
    };
    output.emit(&event, || {
        format!(
            "{drawn}\nRp {amount}  {}  until {}\n{}",
            qr.transaction_id, qr.expires_at, qr.qr_payload
        )
    });
    Ok(())
}

/// Requests a QR as this box over HTTPS.
pub async fn by_http(
    api: &Api,
    credentials: &Credentials,
    amount: Rupiah,
) -> Result<DynamicQr, ApiError> {
    let device = &credentials.device;
    let request_id = format!("req_{}", clock::random_uuid().simple());
    let mut body = json!({
        "device_id": device.device_id,
        "amount": amount,
        "currency": "IDR",
        "request_id": request_id,
    });
    if let Some(terminal_id) = device.terminal_id {
        body["terminal_id"] = json!(terminal_id);
    }
    let key = clock::random_uuid().to_string();
    let headers = [("idempotency-key", key.as_str())];
    let answer = api
        .post(
            "/device/transactions/dynamic-qr",
            Some(&device.device_token),
            &headers,
            &body,
        )
        .await?;
    serde_json::from_value(answer).map_err(|error| ApiError::Unexpected {
        status: 200,
        problem: format!("not a dynamic QR: {error}"),
    })
}

/// A request for a QR by MQTT, with a new id.
pub fn request(device: &Device, amount: Rupiah) -> DynamicQrRequest {
    DynamicQrRequest {
        request_id: format!("req_{}", clock::random_uuid().simple()),
        device_id: device.device_id,
        terminal_id: device.terminal_id,
        amount: Some(amount),
        currency: "IDR".to_owned(),
        created_at: Some(wire::time::format(clock::now())),
    }
}

impl DynamicQr {
    /// The QR as an event of the box.
    pub fn event(self, amount: Rupiah) -> Event {
        Event::Qr {
            correlation_id: self.request_id,
            transaction_id: Some(self.transaction_id),
            qr_payload: Some(self.qr_payload),
            amount: Some(amount),
            expires_at: Some(self.expires_at),
            code: None,
        }
    }
}

/// Requests a QR as this box over MQTT, in the box's own session: it disconnects the box if that is running elsewhere.
/// Other messages stay unconfirmed, so that the box receives them later.
async fn by_mqtt(credentials: &Credentials, amount: Rupiah) -> anyhow::Result<DynamicQr> {
    let mut link = Link::open(
        Transport::Mqtt,
        credentials,
        Vec::new(),
        Duration::from_secs(30),
        BACKOFF_MAX_SHORT,
    )?;
    let result = request_by_mqtt(&mut link, credentials, amount).await;
    link.close().await;
    result
}

async fn request_by_mqtt(
    link: &mut Link,
    credentials: &Credentials,
    amount: Rupiah,
) -> anyhow::Result<DynamicQr> {
    let device = &credentials.device;
    let request = request(device, amount);
    let request_id = request.request_id.clone();
    let request = UplinkMessage::DynamicQrRequest(request);
    let own_topic = Topic::new(device.device_id, Channel::DynamicQrResponse).to_string();
    let end = Instant::now() + ANSWER_MAX;
    let mut connected = false;
    let mut last_problem = String::new();
    loop {
        let step = end.min(Instant::now() + REPEAT_AFTER);
        let event = match timeout_at(step, link.next()).await {
            Ok(event) => event.context("the connection's task has ended")?,
            Err(_) if Instant::now() >= end => {
                anyhow::bail!(
                    "no answer from {}:{} within {} s{last_problem}",
                    device.mqtt_host,
                    device.mqtt_port,
                    ANSWER_MAX.as_secs()
                )
            }
            Err(_) => {
                if connected {
                    link.publish(device.device_id, &request)?;
                }
                continue;
            }
        };
        match event {
            LinkEvent::Connected { session_present } => {
                connected = true;
                if !session_present {
                    link.subscribe();
                }
                link.publish(device.device_id, &request)?;
            }
            LinkEvent::Message(message) if message.topic() == own_topic => {
                let opened = device.announcement_keys.open(
                    device.device_id,
                    Channel::DynamicQrResponse,
                    message.payload(),
                );
                link.confirm(message);
                let DownlinkMessage::DynamicQrResponse(response) = opened? else {
                    continue;
                };
                if response.correlation_id != request_id {
                    continue;
                }
                return match response.outcome {
                    QrOutcome::Ready {
                        transaction_id,
                        status,
                        qr_payload,
                        expires_at,
                        ..
                    } => Ok(DynamicQr {
                        request_id,
                        transaction_id,
                        qr_payload,
                        expires_at,
                        status,
                    }),
                    QrOutcome::Refused(error) => Err(anyhow::anyhow!(
                        "refused: {}: {}",
                        error.code,
                        error.message
                    )),
                };
            }
            LinkEvent::Message(_)
            | LinkEvent::Subscribed
            | LinkEvent::Time(_)
            | LinkEvent::HeartbeatDue => {}
            LinkEvent::SubscriptionRefused => anyhow::bail!("the broker refused the subscription"),
            LinkEvent::Disconnected { reason, .. } => {
                connected = false;
                tracing::warn!(reason, "disconnected");
                last_problem = format!("; last problem: {reason}");
            }
        }
    }
}
