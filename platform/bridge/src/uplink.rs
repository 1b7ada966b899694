//! One message of a device, from bytes to a use case.
//!
//! `Ok` means that the device need not send it again: it took effect, or it broke a rule and is stored
//! as a rejected event. `Unavailable` means that the database is away; the device sends it again.

use broker::{Downlink, Unavailable, Uplink};
use bytes::Bytes;
use domain::box_profile::RenderError;
use service::fleet::{command, config, device, heartbeat};
use service::payment::device_request;
use service::payment::dynamic_qr::{self, Created, DynamicQr};
use service::payment::notification;
use service::retry::retried;
use service::{Actor, Context, Error, Noun};
use store::fleet::heartbeat::Beat;
use store::payment::notification::Ack;
use wire::ids::DeviceId;
use wire::message::{
    CommandAck, DynamicQrRequest, DynamicQrResponse, ErrorBody, OnlineState, QrOutcome, Status,
    Time,
};
use wire::{DownlinkMessage, UplinkMessage};

use super::carrier::Carrier;
use super::uplink_batcher::UplinkBatchers;

pub(super) async fn take<C: Carrier>(
    context: &Context,
    batchers: &UplinkBatchers,
    carrier: &C,
    uplink: Uplink,
) -> Result<(), Unavailable> {
    let device_id = uplink.session.device_id;
    let message = match UplinkMessage::decode(uplink.channel, &uplink.payload) {
        Ok((message, _)) => message,
        Err(error) => return reject(context, &uplink, &error.to_string()).await,
    };
    if message.device_id().is_some_and(|named| named != device_id) {
        return reject(context, &uplink, "device_id is another device's").await;
    }
    match message {
        UplinkMessage::Heartbeat(beat) => {
            let beat = heartbeat::beat(context.clock().now(), device_id, beat);
            store_beat(context, batchers, &uplink, beat).await
        }
        UplinkMessage::PaymentAck(ack) => {
            let ack = notification::ack(device_id, ack);
            store_ack(context, batchers, &uplink, ack).await
        }
        UplinkMessage::Status(status) => {
            match send_time(context, carrier, device_id, status).await {
                Ok(()) => Ok(()),
                Err(error) => fail(context, &uplink, error).await,
            }
        }
        UplinkMessage::DynamicQrRequest(request) => {
            match answer_qr(context, carrier, device_id, request).await {
                Ok(()) => Ok(()),
                Err(error) => fail(context, &uplink, error).await,
            }
        }
        UplinkMessage::ConfigAck(ack) => {
            match retried(|| config::acknowledge(context, device_id, &ack)).await {
                Ok(true) => Ok(()),
                Ok(false) => reject(context, &uplink, "no such version was pushed").await,
                Err(error) => fail(context, &uplink, error).await,
            }
        }
        UplinkMessage::CommandAck(ack) => end_command(context, &uplink, &ack).await,
        UplinkMessage::ReplayRequest(request) => {
            answer_button(context, &uplink, Button::Replay, &request.request_id).await
        }
        UplinkMessage::TotalRequest(request) => {
            answer_button(context, &uplink, Button::Total, &request.request_id).await
        }
    }
}

/// Stores a heartbeat.
pub(super) async fn store_beat(
    context: &Context,
    batchers: &UplinkBatchers,
    uplink: &Uplink,
    beat: Beat,
) -> Result<(), Unavailable> {
    match batchers.heartbeats.store(beat).await? {
        Ok(()) => Ok(()),
        Err(problem) => reject(context, uplink, &impossible(&problem)).await,
    }
}

/// Stores what became of an announcement.
pub(super) async fn store_ack(
    context: &Context,
    batchers: &UplinkBatchers,
    uplink: &Uplink,
    ack: Ack,
) -> Result<(), Unavailable> {
    match batchers.payment_acks.store(ack).await? {
        Ok(true) => Ok(()),
        Ok(false) => reject(context, uplink, "no such announcement to this device").await,
        Err(problem) => reject(context, uplink, &impossible(&problem)).await,
    }
}

/// Ends a command as its box says.
pub(super) async fn end_command(
    context: &Context,
    uplink: &Uplink,
    ack: &CommandAck,
) -> Result<(), Unavailable> {
    let device_id = uplink.session.device_id;
    match retried(|| command::acknowledge(context, device_id, ack)).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => reject(context, uplink, "no such command was sent").await,
        Err(error) => fail(context, uplink, error).await,
    }
}

/// A button of a box.
#[derive(Debug, Clone, Copy)]
pub(super) enum Button {
    /// The last payment again.
    Replay,
    /// The total of the day.
    Total,
}

/// Does what a person at the box asks for by a button.
pub(super) async fn answer_button(
    context: &Context,
    uplink: &Uplink,
    button: Button,
    request_id: &str,
) -> Result<(), Unavailable> {
    let device_id = uplink.session.device_id;
    let answering = || async move {
        match button {
            Button::Replay => replay(context, device_id, request_id).await,
            Button::Total => total(context, device_id, request_id).await,
        }
    };
    match retried(answering).await {
        Ok(()) => Ok(()),
        Err(error) => refuse(context, uplink, error).await,
    }
}

/// A request of a person at the box that is not granted. Asked too soon, it is only counted: a button is easily pressed
/// twice. Otherwise its reason is stored.
async fn refuse(context: &Context, uplink: &Uplink, error: Error) -> Result<(), Unavailable> {
    match error {
        Error::Database(_) | Error::Contended(_) | Error::Internal(_) => {
            fail(context, uplink, error).await
        }
        Error::RateLimited { .. } => {
            metrics::counter!("device_requests_limited_total").increment(1);
            Ok(())
        }
        error => reject(context, uplink, &error.to_string()).await,
    }
}

fn device_actor(device_id: DeviceId) -> Actor {
    Actor {
        name: device_id.to_string(),
        request_id: None,
    }
}

async fn replay(context: &Context, device_id: DeviceId, request_id: &str) -> Result<(), Error> {
    let mut unit = context.begin(device_actor(device_id)).await?;
    match device_request::replay(&mut unit, device_id, request_id).await {
        // Who presses a button and hears nothing takes the box for broken.
        Err(Error::NotFound(Noun::Transaction)) => {
            drop(unit);
            let mut unit = context.begin(device_actor(device_id)).await?;
            device_request::say_nothing_to_repeat(&mut unit, device_id, request_id).await?;
            unit.commit().await
        }
        Ok(_) => unit.commit().await,
        Err(error) => Err(error),
    }
}

async fn total(context: &Context, device_id: DeviceId, request_id: &str) -> Result<(), Error> {
    let mut unit = context.begin(device_actor(device_id)).await?;
    device_request::total(&mut unit, device_id, request_id).await?;
    unit.commit().await
}

/// An uplink that cannot be handled: stored as rejected when the cause is its content, so that it is not sent again for
/// ever.
pub(super) async fn fail(
    context: &Context,
    uplink: &Uplink,
    error: Error,
) -> Result<(), Unavailable> {
    if error.is_of_the_item() {
        reject(context, uplink, &impossible(&error.to_string())).await
    } else {
        Err(unavailable(error))
    }
}

/// The reason that is stored with an uplink that can be read and cannot be stored.
fn impossible(problem: &str) -> String {
    format!("it cannot be stored: {problem}")
}

pub(super) async fn reject(
    context: &Context,
    uplink: &Uplink,
    reason: &str,
) -> Result<(), Unavailable> {
    let device_id = uplink.session.device_id;
    heartbeat::reject(context, device_id, uplink.channel, &uplink.payload, reason)
        .await
        .map_err(unavailable)
}

fn unavailable(error: Error) -> Unavailable {
    tracing::warn!(%error, "an uplink could not be handled");
    Unavailable
}

async fn send_time<C: Carrier>(
    context: &Context,
    carrier: &C,
    device_id: DeviceId,
    status: Status,
) -> Result<(), Error> {
    let (OnlineState::Online, Some(nonce)) = (status.state, status.nonce) else {
        return Ok(());
    };
    let encoding = device::payload_encoding(context, device_id).await?;
    // Read as late as possible: the device counts on from it by its monotonic clock.
    let message = DownlinkMessage::Time(Time {
        nonce,
        server_time: context.clock().now(),
    });
    publish(context, carrier, device_id, &message, encoding)
}

pub(super) async fn answer_qr<C: Carrier>(
    context: &Context,
    carrier: &C,
    device_id: DeviceId,
    request: DynamicQrRequest,
) -> Result<(), Error> {
    let outcome = match retried(|| create_qr(context, device_id, &request)).await {
        Ok(code) => QrOutcome::Ready {
            transaction_id: code.transaction_id,
            amount: code.amount,
            status: code.status.to_string(),
            qr_payload: code.qr_payload,
            expires_at: code.expires_at,
        },
        Err(error @ (Error::Database(_) | Error::Contended(_) | Error::Internal(_))) => {
            return Err(error);
        }
        Err(error) => QrOutcome::Refused(ErrorBody::new(error.code().as_str(), &error.to_string())),
    };
    let message = DownlinkMessage::DynamicQrResponse(DynamicQrResponse {
        correlation_id: request.request_id,
        outcome,
    });
    let encoding = device::payload_encoding(context, device_id).await?;
    publish(context, carrier, device_id, &message, encoding)
}

async fn create_qr(
    context: &Context,
    device_id: DeviceId,
    request: &DynamicQrRequest,
) -> Result<DynamicQr, Error> {
    let amount = request
        .amount
        .ok_or_else(|| Error::InvalidAmount("an amount is whole rupiah".into()))?;
    let request = dynamic_qr::Request {
        request_id: request.request_id.clone(),
        terminal_id: request.terminal_id,
        amount,
        currency: request.currency.clone(),
    };
    let mut unit = context.begin(device_actor(device_id)).await?;
    let code = match dynamic_qr::create(&mut unit, device_id, &request).await? {
        Created::Ready(code) => code,
        Created::Ask(asking) => {
            let (resumed, code) = asking.ask(unit).await?;
            unit = resumed;
            code
        }
    };
    unit.commit().await?;
    Ok(code)
}

fn publish<C: Carrier>(
    context: &Context,
    carrier: &C,
    device_id: DeviceId,
    message: &DownlinkMessage,
    encoding: wire::Encoding,
) -> Result<(), Error> {
    let payload = match context.vendor_boxes().get(device_id) {
        None => context
            .signer()?
            .seal(message, device_id, encoding)
            .map_err(anyhow::Error::from)?,
        Some(vendor) => match vendor.render(message, context.clock().now()) {
            Ok(payload) => payload,
            // A refusal, to a box that cannot show one.
            Err(RenderError::Unsupported | RenderError::TooLate) => return Ok(()),
            Err(error) => return Err(anyhow::Error::from(error).into()),
        },
    };
    // Not durable: a device that gets no answer asks again.
    let _ = carrier.publish(Downlink {
        device_id,
        channel: message.channel(),
        payload: Bytes::from(payload),
        key: None,
        expires_s: None,
    });
    Ok(())
}
