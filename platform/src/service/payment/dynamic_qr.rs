//! Dynamic QR: a box asks for a code for one amount.
//!
//! The box's own request id is a key: asking again with the same amount answers with the same code,
//! over HTTP and MQTT alike, so that a lost answer costs nothing.

use chrono::{DateTime, Utc};
use domain::device::Capability;
use domain::qris::{QrisCode, Reference, TerminalLabel};
use domain::transaction::{QrType, TransactionStatus};
use serde::Serialize;
use utoipa::ToSchema;
use wire::Rupiah;
use wire::ids::{DeviceId, TerminalId, TransactionId};

use crate::service::shop::merchant;
use crate::service::{Checks, Error, Noun, Result, Unit};
use crate::store::payment::transaction::{Cause, Transaction};
use crate::store::{self, Scope};

/// What a box asks for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The box's own id of the request.
    pub request_id: String,
    /// The terminal it believes to stand at; checked when it is given.
    pub terminal_id: Option<TerminalId>,
    /// How much.
    pub amount: Rupiah,
    /// IDR.
    pub currency: String,
}

/// The code, or what was answered before.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct DynamicQr {
    pub request_id: String,
    pub transaction_id: TransactionId,
    pub qr_type: &'static str,
    pub qr_payload: String,
    /// For the answer by MQTT: over HTTP a box gets the fields of the contract and no others.
    #[serde(skip_serializing)]
    #[schema(ignore)]
    pub amount: Rupiah,
    pub expires_at: DateTime<Utc>,
    #[schema(value_type = domain::transaction::TransactionStatus)]
    pub status: String,
}

/// Makes a transaction that awaits payment, with its code.
///
/// # Errors
/// Wrong fields or amount; [`Error::DeviceNotBound`]; [`Error::CapabilityNotSupported`]; a merchant that takes
/// no payments; [`Error::Duplicate`] when the request id was used for another amount.
pub async fn create(unit: &mut Unit, device_id: DeviceId, request: &Request) -> Result<DynamicQr> {
    check(unit, request)?;
    let device = store::fleet::device::find(unit.conn(), device_id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    if let Some(before) = find_before(unit, device_id, request).await? {
        return Ok(before);
    }
    let can = [Capability::DynamicQr, Capability::Display];
    if !device
        .capabilities
        .iter()
        .any(|has| can.iter().any(|capability| capability.as_str() == has))
    {
        return Err(Error::CapabilityNotSupported(
            Capability::DynamicQr.as_str(),
        ));
    }
    let binding = store::fleet::binding::find_active(unit.conn(), device_id)
        .await?
        .ok_or(Error::DeviceNotBound)?;
    if request
        .terminal_id
        .is_some_and(|terminal_id| terminal_id != binding.terminal_id)
    {
        return Err(Error::Forbidden("the device is not bound to this terminal"));
    }
    let terminal = store::shop::terminal::find(unit.conn(), Scope::All, binding.terminal_id)
        .await?
        .ok_or(Error::NotFound(Noun::Terminal))?;
    if terminal.qr_mode == QrType::Static.as_str() {
        return Err(Error::InvalidState {
            current: terminal.qr_mode,
            message: "the terminal takes static codes only".into(),
        });
    }
    let owner = store::shop::merchant::find(unit.conn(), Scope::All, binding.merchant_id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    let registration = merchant::registration(unit.context(), &owner)?;
    let id = TransactionId::from_uuid(unit.uuid());
    let reference = Reference::from_u128(id.as_uuid().as_u128());
    let label: TerminalLabel = terminal
        .terminal_label
        .parse()
        .map_err(anyhow::Error::from)?;
    let code = QrisCode::dynamic(&registration, request.amount, &reference, Some(&label))
        .map_err(|error| Error::InvalidAmount(error.to_string()))?;
    let now = unit.now();
    let expires_at = now + unit.context().settings().qr_lifetime;
    let transaction = Transaction {
        id,
        merchant_id: binding.merchant_id,
        outlet_id: binding.outlet_id,
        terminal_id: binding.terminal_id,
        device_id: Some(device_id),
        qr_type: QrType::Dynamic.to_string(),
        amount: request.amount,
        currency: "IDR".into(),
        status: TransactionStatus::AwaitingPayment.to_string(),
        late: false,
        fee: None,
        net: None,
        fee_profile_id: None,
        fee_version: None,
        partner_id: owner.qris_partner_id.clone().unwrap_or_default(),
        partner_reference: None,
        rrn: None,
        issuer: None,
        qr_reference: Some(reference.to_string()),
        qr_payload: Some(code.to_string()),
        request_id: Some(request.request_id.clone()),
        created_at: now,
        expires_at: Some(expires_at),
        paid_at: None,
        accepted_at: None,
        settlement_id: None,
    };
    let cause = Cause {
        at: now,
        cause: "dynamic_qr",
        callback_id: None,
    };
    store::payment::transaction::insert(unit.conn(), &transaction, cause)
        .await
        .map_err(|error| {
            if Error::breaks(&error, "transactions_device_request_unique") {
                Error::Duplicate {
                    message: "this request_id is being worked on".into(),
                    retry_after_s: Some(1),
                }
            } else {
                error.into()
            }
        })?;
    answer(transaction)
}

fn check(unit: &Unit, request: &Request) -> Result<()> {
    let mut checks = Checks::default();
    checks.text("request_id", &request.request_id, 64);
    if request.currency != "IDR" {
        checks.refuse("currency", "the currency is IDR");
    }
    checks.finish()?;
    request
        .amount
        .payable(unit.context().settings().amount_max)
        .map(drop)
        .map_err(|error| Error::InvalidAmount(error.to_string()))
}

async fn find_before(
    unit: &mut Unit,
    device_id: DeviceId,
    request: &Request,
) -> Result<Option<DynamicQr>> {
    let before =
        store::payment::transaction::find_by_request(unit.conn(), device_id, &request.request_id)
            .await?;
    match before {
        None => Ok(None),
        Some(before) if before.amount == request.amount => answer(before).map(Some),
        Some(_) => Err(Error::Duplicate {
            message: "this request_id was used for another amount".into(),
            retry_after_s: None,
        }),
    }
}

fn answer(transaction: Transaction) -> Result<DynamicQr> {
    let incomplete = || anyhow::anyhow!("{} is not a dynamic code", transaction.id);
    Ok(DynamicQr {
        request_id: transaction.request_id.clone().ok_or_else(incomplete)?,
        transaction_id: transaction.id,
        qr_type: QrType::Dynamic.as_str(),
        qr_payload: transaction.qr_payload.clone().ok_or_else(incomplete)?,
        amount: transaction.amount,
        expires_at: transaction.expires_at.ok_or_else(incomplete)?,
        status: transaction.status,
    })
}
