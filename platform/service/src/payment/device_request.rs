//! What a person at a box asks for by its button: the last payment once more, or the total of the day.
//!
//! Both speak of the terminal at which the box stands now, and of today. The answer to a replay is a notification for this
//! box alone; the answer to a total is a command.

use domain::device_request::{Decision, DeviceRequestKind, decide};
use domain::merchant::MerchantStatus;
use domain::transaction::TransactionStatus;
use serde::Serialize;
use store::Scope;
use store::fleet::command::Command;
use store::payment::notification::Notification;
use utoipa::ToSchema;
use wire::ids::DeviceId;

use super::notification::{self, Enqueued, Payment};
use crate::fleet::command::{self, NewCommand};
use crate::{Error, Noun, Result, UnitOfWork};

/// How long a command that answers a press is worth carrying out, seconds.
const EXPIRES_IN_S: u32 = 60;

/// The answer to a request for the last payment.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replay {
    /// The notification that repeats the payment; none when the request was answered before.
    pub notification: Option<Notification>,
}

/// The answer to a request for the total of the day.
#[derive(Debug, Serialize, ToSchema)]
pub struct DayTotalRequest {
    /// The command that says it; none when the request was answered before.
    pub command: Option<Command>,
}

/// Notes a request. `false`: it was carried out before.
///
/// # Errors
/// [`Error::RateLimited`] when the last one is a moment ago.
async fn is_new(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    kind: DeviceRequestKind,
    request_id: &str,
) -> Result<bool> {
    let now = unit.now();
    let last =
        store::payment::device_request::lock(unit.conn(), device_id, kind, request_id, now).await?;
    unit.refresh_now();
    let now = unit.now();
    let known = last
        .as_ref()
        .map(|last| (last.request_id.as_str(), last.requested_at));
    match decide(known, request_id, now) {
        Decision::New => {
            store::payment::device_request::save(unit.conn(), device_id, kind, request_id, now)
                .await?;
            Ok(true)
        }
        Decision::Repeated => Ok(false),
        Decision::TooSoon { retry_after_s } => Err(Error::RateLimited {
            message: "the box has asked for this a moment ago",
            retry_after_s,
        }),
    }
}

/// Announces the last payment of a box's terminal to this box once more, as a repetition. It is one of today that the box was
/// to announce in its present binding.
///
/// # Errors
/// [`Error::RateLimited`]; [`Error::DeviceNotBound`]; [`Noun::Transaction`] not found when nothing was paid today;
/// [`Error::InvalidState`] while the merchant is suspended.
pub async fn replay(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    request_id: &str,
) -> Result<Replay> {
    if !is_new(unit, device_id, DeviceRequestKind::Replay, request_id).await? {
        return Ok(Replay { notification: None });
    }
    let binding = store::fleet::binding::find_active(unit.conn(), device_id)
        .await?
        .ok_or(Error::DeviceNotBound)?;
    let now = unit.now();
    let id = store::payment::device_request::last_payment(unit.conn(), device_id, binding.id, now)
        .await?
        .ok_or(Error::NotFound(Noun::Transaction))?;
    let transaction = store::payment::transaction::lock(unit.conn(), id, None)
        .await?
        .ok_or(Error::NotFound(Noun::Transaction))?;
    unit.refresh_now();
    // It may have been taken back, or the box moved, before the locks were there.
    let (TransactionStatus::Paid, Some(paid_at)) = (transaction.status, transaction.paid_at) else {
        return Err(Error::NotFound(Noun::Transaction));
    };
    let terminal_id = transaction.terminal_id;
    let mut listeners =
        store::fleet::binding::listeners_for_share(unit.conn(), terminal_id).await?;
    listeners
        .retain(|listener| listener.device_id == device_id && listener.binding_id == binding.id);
    if listeners.is_empty() {
        return Err(Error::DeviceNotBound);
    }
    let merchant = store::shop::merchant::find(unit.conn(), Scope::All, transaction.merchant_id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    if merchant.status == MerchantStatus::Suspended {
        return Err(Error::InvalidState {
            current: merchant.status.to_string(),
            message: "the merchant is suspended: its boxes announce nothing".into(),
        });
    }
    let policy = unit.context().settings().announcement;
    let payment = Payment {
        transaction: &transaction,
        merchant_name: &merchant.brand_name,
        merchant_status: merchant.status,
        paid_at,
        window: policy.replay_window(unit.now()),
        replay: true,
        requested: true,
    };
    let mut announcements = Vec::new();
    let Enqueued { events, .. } =
        notification::prepare(unit, &payment, &listeners, &mut announcements);
    let [event_id] = events.as_slice() else {
        return Err(Error::DeviceNotBound);
    };
    store::payment::notification::insert(unit.conn(), &mut announcements).await?;
    store::payment::notification::mark_requested(unit.conn(), *event_id).await?;
    notification::enqueued(unit, announcements);
    let repeated =
        store::payment::notification::find_of_device(unit.conn(), device_id, *event_id).await?;
    Ok(Replay {
        notification: repeated,
    })
}

/// Has a box say that there is nothing to repeat, where [`replay`] found no payment.
///
/// # Errors
/// As [`total`].
pub async fn say_nothing_to_repeat(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    request_id: &str,
) -> Result<()> {
    let kind = DeviceRequestKind::NothingToRepeat;
    if is_new(unit, device_id, kind, request_id).await? {
        command::say_nothing_to_repeat(unit, device_id, EXPIRES_IN_S).await?;
    }
    Ok(())
}

/// Has a box say the total of the day of its terminal.
///
/// # Errors
/// [`Error::RateLimited`], and those of a command.
pub async fn total(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    request_id: &str,
) -> Result<DayTotalRequest> {
    if !is_new(unit, device_id, DeviceRequestKind::Total, request_id).await? {
        return Ok(DayTotalRequest { command: None });
    }
    let order = NewCommand {
        kind: domain::command::CommandType::AnnounceTotal.to_string(),
        payload: None,
        expires_in: Some(EXPIRES_IN_S),
    };
    let command = command::create(unit, device_id, order).await?;
    Ok(DayTotalRequest {
        command: Some(command),
    })
}
