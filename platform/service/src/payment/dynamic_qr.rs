//! Dynamic QR: a box asks for a code for one amount.
//!
//! A code that is built here comes in one database transaction. One that a partner issues takes three steps: the
//! transaction is noted (initiated, the idempotency key and the order reserved with a lease), the partner is asked outside
//! of any database transaction, and the code is noted with the answer. If the process dies in between, it is followed by the box's
//! repetition, which asks the partner for the same order again.
//!
//! The box's own request id is a key: asking again with the same amount answers with the same code,
//! over HTTP and MQTT alike, so that a lost answer costs nothing.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::device::Capability;
use domain::dialect::request::PayeeNames;
use domain::qris::{QrisCode, TerminalLabel, TipMode};
use domain::transaction::{QrType, TransactionStatus};
use serde::Serialize;
use store::Scope;
use store::payment::transaction::{Cause, Code, Transaction};
use store::shop::terminal::Terminal;
use utoipa::ToSchema;
use wire::Rupiah;
use wire::ids::{DeviceId, TerminalId, TransactionId};

use super::qr_partner::{Issued, Order, PartnerError};
use crate::shop::merchant;
use crate::span;
use crate::{Checks, Error, Noun, Result, UnitOfWork};

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
    pub status: TransactionStatus,
}

/// How a request goes on.
pub enum Created {
    /// This is the code.
    Ready(DynamicQr),
    /// A partner is to be asked for it.
    Ask(Box<Asking>),
}

/// A transaction whose code a partner is to be asked for.
pub struct Asking {
    transaction: Transaction,
    order: Order,
}

/// Makes a transaction, with its code when that is built here.
///
/// # Errors
/// Wrong fields or amount; [`Error::DeviceNotBound`]; [`Error::CapabilityNotSupported`]; a merchant that takes
/// no payments; [`Error::Duplicate`] when the request id was used for another amount, or is being worked on.
pub async fn create(
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    request: &Request,
) -> Result<Created> {
    check(unit, request)?;
    let device = store::fleet::device::find(unit.conn(), device_id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    if let Some(before) = find_before(unit, device_id, request).await? {
        return go_on(unit, before).await;
    }
    let can = [Capability::DynamicQr, Capability::Display];
    if !device.capabilities.iter().any(|has| can.contains(has)) {
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
    if !terminal.qr_mode.takes(QrType::Dynamic) {
        return Err(Error::InvalidState {
            current: terminal.qr_mode.to_string(),
            message: "the terminal takes static codes only".into(),
        });
    }
    let owner = store::shop::merchant::find(unit.conn(), Scope::All, binding.merchant_id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    let partner_id = owner.qris_partner_id.clone().unwrap_or_default();
    let now = unit.now();
    let partner = Arc::clone(unit.context().qr_partner(&partner_id));
    let id = TransactionId::from_uuid(unit.uuid());
    let order = Order {
        id,
        name: partner.reference().write(id),
        amount: request.amount,
        registration: merchant::registration(unit.context(), &owner)?,
        terminal_label: label(&terminal)?,
        // A code that is built here names nobody to a partner.
        payee: match partner.is_local() {
            true => PayeeNames::default(),
            false => names(unit, terminal.id).await?,
        },
        expires_at: now + unit.context().settings().qr_lifetime,
    };
    let mut transaction = Transaction {
        id: order.id,
        merchant_id: binding.merchant_id,
        outlet_id: binding.outlet_id,
        terminal_id: binding.terminal_id,
        device_id: Some(device_id),
        qr_type: QrType::Dynamic,
        amount: request.amount,
        tip_mode: None,
        amount_due: None,
        tip: None,
        refunded_amount: Rupiah::ZERO,
        currency: "IDR".into(),
        status: TransactionStatus::Initiated,
        late: false,
        fee: None,
        net: None,
        fee_profile_id: None,
        fee_version: None,
        partner_id,
        partner_reference: None,
        rrn: None,
        issuer: None,
        qr_reference: None,
        qr_payload: None,
        request_id: Some(request.request_id.clone()),
        created_at: now,
        expires_at: Some(order.expires_at),
        paid_at: None,
        accepted_at: None,
        settlement_id: None,
    };
    if partner.is_local() {
        let issued = partner
            .generate(&order)
            .await
            .map_err(|error| Error::InvalidAmount(error.to_string()))?;
        transaction.status = TransactionStatus::AwaitingPayment;
        transaction.qr_payload = Some(issued.qr_payload);
        transaction.qr_reference = issued.qr_reference;
        insert(unit, &transaction).await?;
        return answer(transaction).map(Created::Ready);
    }
    insert(unit, &transaction).await?;
    let leased_until = now + unit.context().settings().partner_lease;
    store::payment::partner_order::insert(
        unit.conn(),
        transaction.id,
        &transaction.partner_id,
        &order.name,
        leased_until,
    )
    .await?;
    Ok(Created::Ask(Box::new(Asking { transaction, order })))
}

fn label(terminal: &Terminal) -> Result<TerminalLabel> {
    Ok(terminal
        .terminal_label
        .parse()
        .map_err(anyhow::Error::from)?)
}

/// What the partner calls the merchant, outlet and terminal.
async fn names(unit: &mut UnitOfWork, id: TerminalId) -> Result<PayeeNames> {
    Ok(store::shop::terminal::payee_names(unit.conn(), id).await?)
}

async fn insert(unit: &mut UnitOfWork, transaction: &Transaction) -> Result<()> {
    span::set_transaction(transaction.id);
    span::set_merchant(transaction.merchant_id);
    let cause = Cause {
        at: unit.now(),
        cause: "dynamic_qr",
        callback_id: None,
    };
    store::payment::transaction::insert(unit.conn(), transaction, cause)
        .await
        .map_err(|error| {
            if Error::breaks(&error, "transactions_device_request_unique") {
                working_on_it()
            } else {
                error.into()
            }
        })
}

fn working_on_it() -> Error {
    Error::Duplicate {
        message: "this request_id is being worked on".into(),
        retry_after_s: Some(1),
    }
}

/// The box asks again: for a code that was given, or for one that the partner did not give in time.
async fn go_on(unit: &mut UnitOfWork, before: Transaction) -> Result<Created> {
    span::set_transaction(before.id);
    span::set_merchant(before.merchant_id);
    if before.qr_payload.is_some() {
        return answer(before).map(Created::Ready);
    }
    if before.status != TransactionStatus::Initiated {
        return Err(Error::InvalidState {
            current: before.status.to_string(),
            message: "the partner gave no code for this request".into(),
        });
    }
    let now = unit.now();
    let leased_until = now + unit.context().settings().partner_lease;
    let name = store::payment::partner_order::lease(unit.conn(), before.id, now, leased_until)
        .await?
        .ok_or_else(working_on_it)?;
    let terminal = store::shop::terminal::find(unit.conn(), Scope::All, before.terminal_id)
        .await?
        .ok_or(Error::NotFound(Noun::Terminal))?;
    let owner = store::shop::merchant::find(unit.conn(), Scope::All, before.merchant_id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    let order = Order {
        id: before.id,
        name,
        amount: before.amount,
        registration: merchant::registration(unit.context(), &owner)?,
        terminal_label: label(&terminal)?,
        payee: names(unit, terminal.id).await?,
        expires_at: before.expires_at.unwrap_or(now),
    };
    Ok(Created::Ask(Box::new(Asking {
        transaction: before,
        order,
    })))
}

impl Asking {
    /// Commits what there is, asks the partner, and goes on in another unit of work, which holds the code and is the
    /// caller's to commit.
    ///
    /// # Errors
    /// [`Error::PartnerTimeout`]: the box may ask again, under the same key; [`Error::InvalidState`] when the partner
    /// refuses, or gives a code that asks for something else.
    pub async fn ask(self, unit: UnitOfWork) -> Result<(UnitOfWork, DynamicQr)> {
        let Self { transaction, order } = self;
        let context = unit.context().clone();
        let leased_until = unit.now() + context.settings().partner_lease;
        let paused = unit.pause(leased_until).await?;
        let partner = Arc::clone(context.qr_partner(&transaction.partner_id));
        let amount_max = context.settings().amount_max;
        let issued = partner.generate(&order).await.and_then(|issued| {
            let due = vouch(&order, &issued, amount_max)?;
            Ok((issued, due))
        });
        let mut unit = paused.resume().await?;
        // Before the order, as a callback does it.
        store::payment::transaction::lock(unit.conn(), transaction.id, None).await?;
        unit.refresh_now();
        let cause = |at| Cause {
            at,
            cause: "partner",
            callback_id: None,
        };
        let now = unit.now();
        let id = transaction.id;
        match issued {
            Ok((issued, due)) => {
                let code = Code {
                    qr_payload: &issued.qr_payload,
                    qr_reference: issued.qr_reference.as_deref(),
                    tip_mode: due.map(|(mode, _)| mode),
                    amount_due: due.map(|(_, amount)| amount),
                };
                store::payment::transaction::show(unit.conn(), id, code, cause(now)).await?;
                let query_at = order.expires_at - context.settings().query_before_expiry;
                let name = issued.reference_no.as_deref();
                let external_id = issued.external_id.as_deref();
                let conn = unit.conn();
                store::payment::partner_order::issued(conn, id, name, external_id, query_at)
                    .await?;
                let shown = store::payment::transaction::find(unit.conn(), Scope::All, id)
                    .await?
                    .ok_or(Error::NotFound(Noun::Transaction))?;
                Ok((unit, answer(shown)?))
            }
            Err(error) => {
                tracing::warn!(transaction_id = %id, partner_id = transaction.partner_id, %error, "a partner gave no code");
                store::payment::partner_order::release(unit.conn(), id).await?;
                if !matches!(error, PartnerError::Away(_)) {
                    let (from, to) = (TransactionStatus::Initiated, TransactionStatus::Failed);
                    let (conn, cause) = (unit.conn(), cause(now));
                    let ended =
                        store::payment::transaction::set_status(conn, id, from, to, cause).await;
                    // It may have run out meanwhile, which is an end too.
                    match ended {
                        Ok(()) | Err(sqlx::Error::RowNotFound) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                unit.release_key().await?;
                unit.commit().await?;
                Err(error.told(TransactionStatus::Failed))
            }
        }
    }
}

/// What a box shows must be a code, and must ask for what was asked for. It may ask for a tip besides: then the answer
/// is how, and how much is due in all (with a free tip, at least).
fn vouch(
    order: &Order,
    issued: &Issued,
    amount_max: Rupiah,
) -> std::result::Result<Option<(TipMode, Rupiah)>, PartnerError> {
    let wrong = |what: &str| Err(PartnerError::Unreadable(format!("its code {what}")));
    let code = match issued.qr_payload.parse::<QrisCode>() {
        Ok(code) => code,
        Err(error) => return wrong(&format!("is none: {error}")),
    };
    if code.amount() != Some(order.amount.as_decimal()) {
        return wrong("asks for another amount");
    }
    if code
        .nmid()
        .is_some_and(|nmid| *nmid != order.registration.nmid)
    {
        return wrong("is another merchant's");
    }
    let Some(tip) = code.tip() else {
        return Ok(None);
    };
    match tip.due(order.amount) {
        Some(due) if due <= amount_max => Ok(Some((tip.mode(), due))),
        _ => wrong("asks for more than a payment may be, with its tip"),
    }
}

fn check(unit: &UnitOfWork, request: &Request) -> Result<()> {
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
    unit: &mut UnitOfWork,
    device_id: DeviceId,
    request: &Request,
) -> Result<Option<Transaction>> {
    let before =
        store::payment::transaction::find_by_request(unit.conn(), device_id, &request.request_id)
            .await?;
    match before {
        None => Ok(None),
        Some(before) if before.asked() == request.amount => Ok(Some(before)),
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
        amount: transaction.asked(),
        expires_at: transaction.expires_at.ok_or_else(incomplete)?,
        status: transaction.status,
    })
}
