//! A message of another maker's box: read by the profile, then handled as the contract's own.
//!
//! The device is that of the session; what a message says about whose it is has no weight.

use broker::{Unavailable, Uplink};
use chrono::{DateTime, Utc};
use domain::announcement::NotificationStatus;
use domain::box_profile::{Confirmation, VendorHeartbeat, VendorUplink};
use service::Context;
use service::fleet::box_profile::VendorBox;
use service::fleet::command;
use service::retry::retried;
use service::secret;
use store::fleet::heartbeat::Beat;
use store::payment::notification::Ack;
use wire::ids::{CommandId, DeviceId, EventId};
use wire::message::{CommandAck, CommandAckStatus, DynamicQrRequest};
use wire::rupiah::Rupiah;

use super::carrier::Carrier;
use super::uplink::{answer_qr, fail, impossible, reject};
use super::uplink_batcher::UplinkBatchers;

/// The currency of every amount.
const CURRENCY: &str = "IDR";

pub(super) async fn take<C: Carrier>(
    context: &Context,
    batchers: &UplinkBatchers,
    carrier: &C,
    vendor: &VendorBox,
    topic: &str,
    uplink: &Uplink,
) -> Result<(), Unavailable> {
    let device_id = uplink.session.device_id;
    let ack = |event_id, status, reason| Ack {
        event_id,
        device_id,
        status,
        played_at: None,
        reason,
        is_final: vendor.profile.confirmation() != Confirmation::Played,
    };
    match vendor.profile.read(topic, &uplink.payload, &vendor.values) {
        // That it is there is known from its session.
        VendorUplink::Nothing | VendorUplink::Online | VendorUplink::Offline => Ok(()),
        VendorUplink::Heartbeat(stated) => {
            let beat = beat(context.clock().now(), device_id, stated);
            match batchers.heartbeats.store(beat).await? {
                Ok(()) => Ok(()),
                Err(problem) => reject(context, uplink, &impossible(&problem)).await,
            }
        }
        VendorUplink::Received { event_id, amount } => {
            let ack = ack(event_id, NotificationStatus::Received, None);
            acknowledge(context, batchers, uplink, ack).await?;
            check_amount(context, uplink, event_id, amount).await
        }
        VendorUplink::Played { event_id } => {
            let ack = ack(event_id, NotificationStatus::Played, None);
            acknowledge(context, batchers, uplink, ack).await
        }
        VendorUplink::Failed { event_id, reason } => {
            let ack = ack(event_id, NotificationStatus::Failed, reason);
            acknowledge(context, batchers, uplink, ack).await
        }
        VendorUplink::CommandDone { command_id } => {
            let status = CommandAckStatus::Delivered;
            end_command(context, uplink, command_id, status, None).await
        }
        VendorUplink::CommandFailed { command_id, reason } => {
            let status = CommandAckStatus::Failed;
            end_command(context, uplink, command_id, status, reason).await
        }
        VendorUplink::QrRequest { amount } => {
            let request = DynamicQrRequest {
                // The box names no request, so each message is one. A repetition costs a code that nobody pays.
                request_id: secret::token("qr"),
                device_id,
                terminal_id: None,
                amount: Some(amount),
                currency: CURRENCY.to_owned(),
                created_at: None,
            };
            match answer_qr(context, carrier, device_id, request).await {
                Ok(()) => Ok(()),
                Err(error) => fail(context, uplink, error).await,
            }
        }
        VendorUplink::Unreadable { reason } => reject(context, uplink, reason).await,
    }
}

fn beat(received_at: DateTime<Utc>, device_id: DeviceId, stated: VendorHeartbeat) -> Beat {
    Beat {
        device_id,
        received_at,
        device_time: None,
        clock_skew_ms: None,
        firmware_version: stated.firmware_version,
        state: stated.state,
        network_strength: stated.network_strength.map(i16::from),
        battery_level: stated.battery_level.map(i16::from),
        extras: None,
    }
}

async fn acknowledge(
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

/// A box that states the amount it read says whether it read ours. Another one is kept as a rejected message, for whoever
/// looks for the reason; the notification has been heard and cannot be taken back.
async fn check_amount(
    context: &Context,
    uplink: &Uplink,
    event_id: EventId,
    stated: Option<Rupiah>,
) -> Result<(), Unavailable> {
    let Some(stated) = stated else { return Ok(()) };
    let device_id = uplink.session.device_id;
    let announced =
        service::payment::notification::announced_amount(context, device_id, event_id).await;
    match announced {
        Ok(Some(amount)) if amount != stated => {
            let reason = format!("the box read {stated}, and the notification says {amount}");
            tracing::warn!(%device_id, %event_id, reason, "a box read another amount");
            reject(context, uplink, &reason).await
        }
        Ok(_) => Ok(()),
        Err(error) => fail(context, uplink, error).await,
    }
}

async fn end_command(
    context: &Context,
    uplink: &Uplink,
    command_id: CommandId,
    status: CommandAckStatus,
    reason: Option<String>,
) -> Result<(), Unavailable> {
    let device_id = uplink.session.device_id;
    let ack = CommandAck {
        device_id,
        command_id,
        status,
        reason,
        result_payload: None,
    };
    match retried(|| command::acknowledge(context, device_id, &ack)).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => reject(context, uplink, "no such command was sent").await,
        Err(error) => fail(context, uplink, error).await,
    }
}
