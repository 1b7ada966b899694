//! A message of another maker's box: read by the profile, then handled as the contract's own.
//!
//! The device is that of the session; what a message says about whose it is has no weight.

use broker::{Unavailable, Uplink};
use chrono::{DateTime, Utc};
use domain::announcement::NotificationStatus;
use domain::box_profile::{Confirmation, VendorHeartbeat, VendorUplink};
use service::Context;
use service::fleet::box_profile::VendorBox;
use service::secret;
use store::fleet::heartbeat::Beat;
use store::payment::notification::Ack;
use wire::ids::{DeviceId, EventId};
use wire::message::{CommandAck, CommandAckStatus, DynamicQrRequest};
use wire::rupiah::Rupiah;

use super::carrier::Carrier;
use super::uplink::{
    Button, answer_button, answer_qr, end_command, fail, reject, store_ack, store_beat,
};
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
    let command_ack = |status, command_id, reason| CommandAck {
        device_id,
        command_id,
        status,
        reason,
        result_payload: None,
    };
    match vendor.profile.read(topic, &uplink.payload, &vendor.values) {
        // That it is there is known from its session.
        VendorUplink::Nothing | VendorUplink::Online | VendorUplink::Offline => Ok(()),
        VendorUplink::Heartbeat(stated) => {
            let beat = beat(context.clock().now(), device_id, stated);
            store_beat(context, batchers, uplink, beat).await
        }
        VendorUplink::Received { event_id, amount } => {
            let ack = ack(event_id, NotificationStatus::Received, None);
            store_ack(context, batchers, uplink, ack).await?;
            check_amount(context, uplink, event_id, amount).await
        }
        VendorUplink::Played { event_id } => {
            let ack = ack(event_id, NotificationStatus::Played, None);
            store_ack(context, batchers, uplink, ack).await
        }
        VendorUplink::Failed { event_id, reason } => {
            let ack = ack(event_id, NotificationStatus::Failed, reason);
            store_ack(context, batchers, uplink, ack).await
        }
        VendorUplink::CommandDone { command_id } => {
            let ack = command_ack(CommandAckStatus::Delivered, command_id, None);
            end_command(context, uplink, &ack).await
        }
        VendorUplink::CommandFailed { command_id, reason } => {
            let ack = command_ack(CommandAckStatus::Failed, command_id, reason);
            end_command(context, uplink, &ack).await
        }
        VendorUplink::ReplayRequest { request_id } => {
            answer_button(context, uplink, Button::Replay, &press(request_id)).await
        }
        VendorUplink::TotalRequest { request_id } => {
            answer_button(context, uplink, Button::Total, &press(request_id)).await
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

/// The id of a press. One without is new each time: a second within a few seconds is not answered anyway.
fn press(request_id: Option<String>) -> String {
    request_id.unwrap_or_else(|| secret::token("press"))
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
