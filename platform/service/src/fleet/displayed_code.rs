//! What a box may show: only codes that pay its own merchant.

use domain::command::displayed_code;
use domain::qris::{NotIts, Payee};
use serde_json::{Map, Value};
use store::Scope;
use wire::ids::DeviceId;

use crate::{Error, Result, UnitOfWork};

/// Refuses an order to show a code that is not of the merchant and the terminal at which the box stands now: neither
/// issued there and open to be paid, nor naming that merchant alone. The caller holds the device's lock.
///
/// # Errors
/// Wrong fields; [`Error::DeviceNotBound`]; [`Error::InvalidState`] for a merchant that takes no payments.
pub(super) async fn check(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    payload: &Map<String, Value>,
) -> Result<()> {
    judge(unit, device_id, payload).await?.map_err(refused)
}

/// The same for the merchant of the box alone: the code may be of another of its terminals.
///
/// # Errors
/// As [`check`].
pub(super) async fn check_merchant(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    payload: &Map<String, Value>,
) -> Result<()> {
    match judge(unit, device_id, payload).await? {
        Err(error @ NotIts::Payee) => Err(refused(error)),
        Ok(()) | Err(NotIts::Terminal) => Ok(()),
    }
}

fn refused(error: NotIts) -> Error {
    Error::field("payload.qr_payload", error.to_string())
}

async fn judge(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    payload: &Map<String, Value>,
) -> Result<std::result::Result<(), NotIts>> {
    let code = displayed_code(payload).map_err(Error::Validation)?;
    let binding = store::fleet::binding::find_active(unit.conn(), device_id)
        .await?
        .ok_or(Error::DeviceNotBound)?;
    let scope = Scope::Merchant(binding.merchant_id);
    let terminal = store::shop::terminal::find(unit.conn(), scope, binding.terminal_id)
        .await?
        .ok_or_else(|| anyhow::anyhow!("{} has no terminal", binding.id))?;
    let merchant = store::shop::merchant::find(unit.conn(), scope, binding.merchant_id)
        .await?
        .ok_or_else(|| anyhow::anyhow!("{} has no merchant", binding.id))?;
    let (true, Some(nmid), Some(pan)) = (
        merchant.status.takes_payments(),
        &merchant.nmid,
        &merchant.merchant_pan,
    ) else {
        return Err(Error::InvalidState {
            current: merchant.status.to_string(),
            message: "only an approved merchant takes payments".into(),
        });
    };
    let text = code.to_string();
    if store::payment::transaction::is_payable(unit.conn(), terminal.id, &text).await? {
        return Ok(Ok(()));
    }
    let payee = Payee {
        nmid: nmid.parse().map_err(anyhow::Error::from)?,
        pan: pan.parse().map_err(anyhow::Error::from)?,
    };
    Ok(code.check_payee(&payee, &terminal.terminal_label))
}
