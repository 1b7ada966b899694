//! Merchants: registration, review, and what a QR code needs of them.

use std::collections::HashMap;

use domain::attribution::PartnerName;
use domain::merchant::{InvalidTransition, MerchantCode, MerchantStatus, PayoutMode};
use domain::qris::{Mcc, MerchantCriteria, MerchantPan, Nmid};
use domain::registration::{self, MCC_DEFAULT, Registration};
use domain::validation::FieldError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::shop::merchant::{Filter, Merchant};
use store::{Page, Scope};
use utoipa::ToSchema;
use wire::ids::MerchantId;

use super::suspension;
use crate::merge::Field;
use crate::{Checks, Context, Error, Noun, Result, UnitOfWork};

/// What a merchant is created from.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
#[schema(example = json!({
    "legal_name": "Toko Indo",
    "brand_name": "Toko Indo",
    "settlement_account_reference": "bank:9876543210",
    "settlement_account_type": "merchant_bank_account",
    "payout_mode": "merchant_direct",
    "fee_profile_id": "fee_basic"
}))]
pub struct NewMerchant {
    #[schema(min_length = 1, max_length = 100)]
    pub legal_name: String,
    #[schema(min_length = 1, max_length = 100)]
    pub brand_name: String,
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    pub settlement_account_reference: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<domain::merchant::SettlementAccountType>)]
    pub settlement_account_type: Option<String>,
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    pub payout_account_reference: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<domain::merchant::PayoutMode>)]
    pub payout_mode: Option<String>,
    #[serde(default)]
    pub fee_profile_id: Option<String>,
    #[serde(default)]
    #[schema(pattern = "^ID[0-9]{13}$")]
    pub nmid: Option<String>,
    /// 18 digits, where the partner has issued one.
    #[serde(default)]
    #[schema(pattern = "^[0-9]{18}$")]
    pub merchant_pan: Option<String>,
    /// The QR partner's own name for the merchant, where its messages name merchants so.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    pub partner_merchant_id: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<domain::qris::MerchantCriteria>)]
    pub merchant_criteria: Option<String>,
    #[serde(default)]
    #[schema(pattern = "^[0-9]{4}$")]
    pub mcc: Option<String>,
    #[serde(default)]
    #[schema(min_length = 1, max_length = 60)]
    pub city: Option<String>,
    #[serde(default)]
    #[schema(min_length = 1, max_length = 10)]
    pub postal_code: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub contact: Option<Value>,
}

/// Creates a merchant that waits for its review.
///
/// # Errors
/// Wrong fields; a fee profile that does not exist; an NMID that is another merchant's.
pub async fn create(unit: &mut UnitOfWork, new: NewMerchant) -> Result<Merchant> {
    create_with_code(
        unit,
        new,
        MerchantCode::from_random(rand::random()).to_string(),
    )
    .await
}

pub(crate) async fn create_with_code(
    unit: &mut UnitOfWork,
    new: NewMerchant,
    merchant_code: String,
) -> Result<Merchant> {
    let now = unit.now();
    let mut merchant = Merchant {
        id: MerchantId::from_uuid(unit.uuid()),
        merchant_code,
        legal_name: new.legal_name,
        brand_name: new.brand_name,
        status: MerchantStatus::PendingReview,
        status_reason: None,
        payout_mode: PayoutMode::default(),
        settlement_account_reference: new.settlement_account_reference,
        settlement_account_type: None,
        payout_account_reference: new.payout_account_reference,
        fee_profile_id: new
            .fee_profile_id
            .unwrap_or_else(|| domain::fee::FEE_BASIC.to_owned()),
        nmid: new.nmid,
        merchant_pan: new.merchant_pan,
        qris_partner_id: None,
        partner_merchant_id: new.partner_merchant_id,
        merchant_criteria: MerchantCriteria::Umi,
        mcc: new.mcc.unwrap_or_else(|| MCC_DEFAULT.to_owned()),
        city: new.city.unwrap_or_else(|| "JAKARTA".to_owned()),
        postal_code: new.postal_code,
        contact: new.contact,
        created_at: now,
        updated_at: now,
    };
    let mut words = Words::of(&merchant);
    words.settlement_account_type = new.settlement_account_type;
    words.payout_mode = new.payout_mode.unwrap_or(words.payout_mode);
    words.merchant_criteria = new.merchant_criteria.unwrap_or(words.merchant_criteria);
    let mut checks = Checks::default();
    checks.name("legal_name", &mut merchant.legal_name);
    checks.name("brand_name", &mut merchant.brand_name);
    check(&mut checks, &mut merchant, &words);
    checks.finish()?;
    store::shop::merchant::insert(unit.conn(), &merchant)
        .await
        .map_err(known)?;
    unit.audit("merchant.create", merchant.id, None, Some(json!(merchant)))
        .await?;
    Ok(merchant)
}

/// Fields of a merchant as they came in, before it is known whether they are words that exist.
struct Words {
    payout_mode: String,
    settlement_account_type: Option<String>,
    merchant_criteria: String,
}

impl Words {
    fn of(merchant: &Merchant) -> Self {
        Self {
            payout_mode: merchant.payout_mode.to_string(),
            settlement_account_type: merchant.settlement_account_type.map(|it| it.to_string()),
            merchant_criteria: merchant.merchant_criteria.to_string(),
        }
    }
}

/// The rules for the fields that people fill in, at the creation and at every change. Names have theirs beside it.
fn check(checks: &mut Checks, merchant: &mut Merchant, words: &Words) {
    checks.optional_text(
        "settlement_account_reference",
        merchant.settlement_account_reference.as_deref(),
        100,
    );
    checks.optional_text(
        "payout_account_reference",
        merchant.payout_account_reference.as_deref(),
        100,
    );
    checks.text("city", &merchant.city, 60);
    checks.optional_text("postal_code", merchant.postal_code.as_deref(), 10);
    if let Some(payout_mode) = checks.parse("payout_mode", &words.payout_mode) {
        merchant.payout_mode = payout_mode;
    }
    merchant.settlement_account_type = words
        .settlement_account_type
        .as_deref()
        .and_then(|text| checks.parse("settlement_account_type", text));
    if let Some(text) = &merchant.nmid {
        let _: Option<Nmid> = checks.parse("nmid", text);
    }
    if let Some(text) = &merchant.merchant_pan {
        let _: Option<MerchantPan> = checks.parse("merchant_pan", text);
    }
    if let Some(text) = &merchant.partner_merchant_id {
        let _: Option<PartnerName> = checks.parse("partner_merchant_id", text);
    }
    if let Some(criteria) = checks.parse("merchant_criteria", &words.merchant_criteria) {
        merchant.merchant_criteria = criteria;
    }
    let _: Option<Mcc> = checks.parse("mcc", &merchant.mcc);
    if merchant
        .contact
        .as_ref()
        .is_some_and(|contact| !contact.is_object() || contact.to_string().len() > 2000)
    {
        checks.refuse("contact", "an object of at most 2,000 bytes");
    }
}

/// What an operator changes of a merchant: a merge patch.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct MerchantPatch {
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    pub legal_name: Field<String>,
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    pub brand_name: Field<String>,
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    pub settlement_account_reference: Field<String>,
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<domain::merchant::SettlementAccountType>)]
    pub settlement_account_type: Field<String>,
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    pub payout_account_reference: Field<String>,
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<domain::merchant::PayoutMode>)]
    pub payout_mode: Field<String>,
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<String>)]
    pub fee_profile_id: Field<String>,
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<String>, pattern = "^ID[0-9]{13}$")]
    pub nmid: Field<String>,
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<String>, pattern = "^[0-9]{18}$")]
    pub merchant_pan: Field<String>,
    /// Payments of printed codes whose messages name the merchant so are its from now on.
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    pub partner_merchant_id: Field<String>,
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<domain::qris::MerchantCriteria>)]
    pub merchant_criteria: Field<String>,
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<String>, pattern = "^[0-9]{4}$")]
    pub mcc: Field<String>,
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 60)]
    pub city: Field<String>,
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 10)]
    pub postal_code: Field<String>,
    #[serde(default, skip_serializing_if = "Field::is_keep")]
    #[schema(value_type = Option<Object>)]
    pub contact: Field<Value>,
    /// `suspended`, or `approved` to reinstate a suspended one. The review has actions of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<domain::merchant::MerchantStatus>)]
    pub status: Option<String>,
    /// Why the status changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    pub reason: Option<String>,
}

impl MerchantPatch {
    /// Whether it says which money is the merchant's, where it goes, or what its payments cost.
    pub(crate) fn touches_money(&self) -> bool {
        !(self.settlement_account_reference.is_keep()
            && self.settlement_account_type.is_keep()
            && self.payout_account_reference.is_keep()
            && self.payout_mode.is_keep()
            && self.partner_merchant_id.is_keep()
            && self.fee_profile_id.is_keep()
            && self.merchant_criteria.is_keep())
    }
}

/// Changes a merchant. A fee profile or criteria that change hold for payments from now on.
///
/// # Errors
/// Wrong fields; [`Error::InvalidState`] for a step its standing does not have, or for another NMID or PAN once it
/// is registered; a fee profile that does not exist; an NMID, a PAN or a partner's name that is another merchant's.
pub async fn patch(
    unit: &mut UnitOfWork,
    id: MerchantId,
    patch: MerchantPatch,
) -> Result<Merchant> {
    let keys_stay = patch.nmid.is_keep() && patch.merchant_pan.is_keep();
    let locked = if keys_stay {
        store::shop::merchant::lock(unit.conn(), id).await?
    } else {
        store::shop::merchant::lock_with_keys(unit.conn(), id).await?
    };
    let mut merchant = locked.ok_or(Error::NotFound(Noun::Merchant))?;
    unit.refresh_now();
    let before = merchant.clone();
    let mut checks = Checks::default();
    let wanted: Option<MerchantStatus> = patch
        .status
        .as_deref()
        .and_then(|text| checks.parse("status", text));
    checks.optional_text("reason", patch.reason.as_deref(), 500);
    if patch.reason.is_some() && patch.status.is_none() {
        checks.refuse("reason", "goes with a status");
    }
    let mut words = Words::of(&merchant);
    let required = [
        ("legal_name", patch.legal_name, &mut merchant.legal_name),
        ("brand_name", patch.brand_name, &mut merchant.brand_name),
        ("payout_mode", patch.payout_mode, &mut words.payout_mode),
        (
            "fee_profile_id",
            patch.fee_profile_id,
            &mut merchant.fee_profile_id,
        ),
        (
            "merchant_criteria",
            patch.merchant_criteria,
            &mut words.merchant_criteria,
        ),
        ("mcc", patch.mcc, &mut merchant.mcc),
        ("city", patch.city, &mut merchant.city),
    ];
    for (field, change, value) in required {
        change.apply_required(&mut checks, field, value);
    }
    patch
        .settlement_account_reference
        .apply(&mut merchant.settlement_account_reference);
    patch
        .settlement_account_type
        .apply(&mut words.settlement_account_type);
    patch
        .payout_account_reference
        .apply(&mut merchant.payout_account_reference);
    patch.nmid.apply(&mut merchant.nmid);
    patch.merchant_pan.apply(&mut merchant.merchant_pan);
    patch
        .partner_merchant_id
        .apply(&mut merchant.partner_merchant_id);
    patch.postal_code.apply(&mut merchant.postal_code);
    patch.contact.apply(&mut merchant.contact);
    // A name that was stored under an earlier rule must not prevent the suspension of the merchant.
    if merchant.legal_name != before.legal_name {
        checks.name("legal_name", &mut merchant.legal_name);
    }
    if merchant.brand_name != before.brand_name {
        checks.name("brand_name", &mut merchant.brand_name);
    }
    check(&mut checks, &mut merchant, &words);
    checks.finish()?;

    let status = before.status;
    let identity = |of: &Merchant| (of.nmid.clone(), of.merchant_pan.clone());
    if identity(&merchant) != identity(&before) && status != MerchantStatus::PendingReview {
        // Codes with the old one are printed and out, and payments of them must find their merchant.
        return Err(Error::InvalidState {
            current: status.to_string(),
            message: "the NMID and the PAN of a merchant can be changed only before its review"
                .into(),
        });
    }
    let wanted = wanted.filter(|wanted| *wanted != status);
    if let Some(wanted) = wanted {
        merchant.status = match wanted {
            MerchantStatus::Suspended => status.suspend(),
            MerchantStatus::Approved => status.reinstate(),
            MerchantStatus::PendingReview | MerchantStatus::Rejected => Err(InvalidTransition {
                current: status,
                wanted,
            }),
        }?;
        merchant.status_reason = patch.reason;
    }
    merchant.updated_at = unit.now();
    write(unit, &merchant, json!(before)).await?;
    if let Some(wanted) = wanted {
        suspension::follow(unit, id, wanted).await?;
    }
    Ok(merchant)
}

/// Writes a change of a merchant, and audits it.
///
/// # Errors
/// A fee profile that does not exist; a name that is another merchant's.
pub(crate) async fn write(unit: &mut UnitOfWork, merchant: &Merchant, before: Value) -> Result<()> {
    store::shop::merchant::update(unit.conn(), merchant)
        .await
        .map_err(known)?;
    unit.audit(
        "merchant.patch",
        merchant.id,
        Some(before),
        Some(json!(merchant)),
    )
    .await
}

/// One merchant.
///
/// # Errors
/// [`Noun::Merchant`] not found, or not for this scope.
pub async fn get(context: &Context, scope: Scope, id: MerchantId) -> Result<Merchant> {
    let mut conn = context.pool().acquire().await?;
    store::shop::merchant::find(&mut conn, scope, id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))
}

/// What these merchants call themselves on signs, for lists that name them.
pub async fn names(
    context: &Context,
    ids: impl IntoIterator<Item = MerchantId>,
) -> Result<HashMap<MerchantId, String>> {
    let mut ids: Vec<MerchantId> = ids.into_iter().collect();
    ids.sort_unstable();
    ids.dedup();
    let mut conn = context.lists().acquire().await?;
    let names = store::shop::merchant::names(&mut conn, &ids).await?;
    Ok(names.into_iter().collect())
}

/// Merchants, newest first.
///
/// # Errors
/// The database's.
pub async fn list(context: &Context, filter: &Filter, page: Page) -> Result<Vec<Merchant>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::shop::merchant::list(&mut conn, filter, page).await?)
}

/// Approves a merchant and registers it with the QR partner, which here issues an NMID and a merchant PAN unless they were given.
///
/// # Errors
/// [`Error::InvalidState`] unless it waits for its review.
pub async fn approve(unit: &mut UnitOfWork, id: MerchantId) -> Result<Merchant> {
    step(unit, id, "merchant.approve", None, MerchantStatus::approve).await
}

/// Rejects a merchant, with a reason.
///
/// # Errors
/// [`Error::InvalidState`] unless it waits for its review.
pub async fn reject(unit: &mut UnitOfWork, id: MerchantId, reason: String) -> Result<Merchant> {
    let mut checks = Checks::default();
    checks.text("reason", &reason, 500);
    checks.finish()?;
    step(
        unit,
        id,
        "merchant.reject",
        Some(reason),
        MerchantStatus::reject,
    )
    .await
}

async fn step(
    unit: &mut UnitOfWork,
    id: MerchantId,
    action: &'static str,
    reason: Option<String>,
    transition: fn(MerchantStatus) -> std::result::Result<MerchantStatus, InvalidTransition>,
) -> Result<Merchant> {
    let mut merchant = store::shop::merchant::lock_with_keys(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    unit.refresh_now();
    let before = json!(merchant);
    let status = transition(merchant.status)?;
    let qr_partner = unit.context().settings().qr_partner.clone();
    if status.takes_payments() && (merchant.nmid.is_none() || merchant.merchant_pan.is_none()) {
        // Money for an invented identity would belong to no merchant: only a demonstration invents one.
        let context = unit.context();
        if !context.settings().demo || !context.qr_partner(&qr_partner).is_local() {
            return Err(no_identity(&merchant));
        }
        let number = store::shop::merchant::next_registration_number(unit.conn()).await?;
        let identity = registration::issue(number.unsigned_abs()).map_err(anyhow::Error::from)?;
        merchant
            .nmid
            .get_or_insert_with(|| identity.nmid.to_string());
        merchant
            .merchant_pan
            .get_or_insert_with(|| identity.pan.to_string());
    }
    if status.takes_payments() {
        merchant.qris_partner_id = Some(qr_partner);
    }
    merchant.status = status;
    merchant.status_reason = reason;
    merchant.updated_at = unit.now();
    store::shop::merchant::update(unit.conn(), &merchant)
        .await
        .map_err(known)?;
    unit.audit(action, id, Some(before), Some(json!(merchant)))
        .await?;
    Ok(merchant)
}

/// Names what the acquirer has to give before codes may ask for money.
fn no_identity(merchant: &Merchant) -> Error {
    let identity = [
        ("nmid", &merchant.nmid),
        ("merchant_pan", &merchant.merchant_pan),
    ];
    let missing = identity.iter().filter(|(_, value)| value.is_none());
    let refusals = missing.map(|(field, _)| {
        FieldError::new(
            *field,
            "the acquirer gives it; set it before the merchant is approved",
        )
    });
    Error::Validation(refusals.collect())
}

/// What a QR code says of a merchant.
///
/// # Errors
/// [`Error::InvalidState`] for a merchant that takes no payments.
pub(crate) fn registration(context: &Context, merchant: &Merchant) -> Result<Registration> {
    let (Some(nmid), Some(pan), true) = (
        &merchant.nmid,
        &merchant.merchant_pan,
        merchant.status.takes_payments(),
    ) else {
        return Err(Error::InvalidState {
            current: merchant.status.to_string(),
            message: "only an approved merchant takes payments".into(),
        });
    };
    Ok(Registration {
        acquirer_guid: context.settings().acquirer_guid.clone(),
        pan: pan.parse().map_err(anyhow::Error::from)?,
        // The acquirer's own number for a merchant of the local partner is the tail of its PAN.
        merchant_id: format!("{:0>15}", &pan[8..])
            .parse()
            .map_err(anyhow::Error::from)?,
        criteria: merchant.merchant_criteria,
        nmid: nmid.parse().map_err(anyhow::Error::from)?,
        mcc: merchant.mcc.parse().map_err(anyhow::Error::from)?,
        name: merchant.brand_name.clone(),
        city: merchant.city.clone(),
        postal_code: merchant.postal_code.clone(),
    })
}

fn known(error: sqlx::Error) -> Error {
    if Error::breaks(&error, "merchants_fee_profile") {
        Error::field("fee_profile_id", "no such fee profile")
    } else if Error::breaks(&error, "merchants_nmid_unique") {
        Error::duplicate("this NMID is another merchant's")
    } else if Error::breaks(&error, "merchants_pan_unique") {
        Error::duplicate("this merchant PAN is another merchant's")
    } else if Error::breaks(&error, "merchants_partner_merchant_id_unique") {
        Error::duplicate("this partner_merchant_id is another merchant's")
    } else {
        error.into()
    }
}
