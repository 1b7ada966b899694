//! Outlets.

use domain::attribution::PartnerName;
use serde::Deserialize;
use serde_json::{Value, json};
use store::shop::outlet::Outlet;
use store::{Page, Scope};
use utoipa::ToSchema;
use wire::ids::{MerchantId, OutletId};

use crate::merge::Field;
use crate::{Checks, Context, Error, Noun, Result, UnitOfWork};

/// What an outlet is created from.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct NewOutlet {
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    #[serde(default)]
    #[schema(min_length = 1, max_length = 300)]
    pub address: Option<String>,
    #[serde(default)]
    #[schema(min_length = 1, max_length = 60)]
    pub city: Option<String>,
    #[serde(default)]
    #[schema(min_length = 1, max_length = 10)]
    pub postal_code: Option<String>,
    #[serde(default)]
    #[schema(example = "Asia/Jakarta")]
    pub timezone: Option<String>,
    /// The QR partner's own name for the outlet, where its messages name stores.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    pub partner_store_id: Option<String>,
}

/// Indonesia's three time zones, by their IANA names.
const TIMEZONES: [&str; 4] = [
    "Asia/Jakarta",
    "Asia/Pontianak",
    "Asia/Makassar",
    "Asia/Jayapura",
];

/// Creates an outlet of a merchant.
///
/// # Errors
/// Wrong fields; no such merchant; a store name that another outlet of the merchant has.
pub async fn create(
    unit: &mut UnitOfWork,
    merchant_id: MerchantId,
    new: NewOutlet,
) -> Result<Outlet> {
    let now = unit.now();
    let mut outlet = Outlet {
        id: OutletId::from_uuid(unit.uuid()),
        merchant_id,
        name: new.name,
        address: new.address,
        city: new.city,
        postal_code: new.postal_code,
        timezone: new.timezone.unwrap_or_else(|| TIMEZONES[0].to_owned()),
        partner_store_id: new.partner_store_id,
        created_at: now,
        updated_at: now,
    };
    let mut checks = Checks::default();
    checks.name("name", &mut outlet.name);
    check(&mut checks, &outlet);
    checks.finish()?;
    store::shop::outlet::insert(unit.conn(), &outlet)
        .await
        .map_err(|error| {
            if Error::breaks(&error, "outlets_merchant") {
                Error::NotFound(Noun::Merchant)
            } else {
                known(error)
            }
        })?;
    unit.audit("outlet.create", outlet.id, None, Some(json!(outlet)))
        .await?;
    Ok(outlet)
}

fn known(error: sqlx::Error) -> Error {
    if Error::breaks(&error, "outlets_partner_store_id_unique") {
        Error::duplicate("this partner_store_id is another outlet's of the merchant")
    } else {
        error.into()
    }
}

fn check(checks: &mut Checks, outlet: &Outlet) {
    if let Some(text) = &outlet.partner_store_id {
        let _: Option<PartnerName> = checks.parse("partner_store_id", text);
    }
    checks.optional_text("address", outlet.address.as_deref(), 300);
    checks.optional_text("city", outlet.city.as_deref(), 60);
    checks.optional_text("postal_code", outlet.postal_code.as_deref(), 10);
    if !TIMEZONES.contains(&outlet.timezone.as_str()) {
        checks.refuse("timezone", format!("one of {}", TIMEZONES.join(", ")));
    }
}

/// What an operator changes of an outlet: a merge patch.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct OutletPatch {
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    pub name: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 300)]
    pub address: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 60)]
    pub city: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 10)]
    pub postal_code: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "Asia/Jakarta")]
    pub timezone: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    pub partner_store_id: Field<String>,
}

/// Changes an outlet.
///
/// # Errors
/// Wrong fields; no such outlet; a store name that another outlet of the merchant has.
pub async fn patch(unit: &mut UnitOfWork, id: OutletId, patch: OutletPatch) -> Result<Outlet> {
    let mut outlet = store::shop::outlet::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Outlet))?;
    unit.refresh_now();
    let before = json!(outlet);
    let mut checks = Checks::default();
    let renamed = !patch.name.is_keep();
    patch
        .name
        .apply_required(&mut checks, "name", &mut outlet.name);
    if renamed {
        checks.name("name", &mut outlet.name);
    }
    patch
        .timezone
        .apply_required(&mut checks, "timezone", &mut outlet.timezone);
    patch.address.apply(&mut outlet.address);
    patch.city.apply(&mut outlet.city);
    patch.postal_code.apply(&mut outlet.postal_code);
    patch.partner_store_id.apply(&mut outlet.partner_store_id);
    check(&mut checks, &outlet);
    checks.finish()?;
    outlet.updated_at = unit.now();
    write(unit, &outlet, before).await?;
    Ok(outlet)
}

/// Writes a change of an outlet, and audits it.
///
/// # Errors
/// A store name that another outlet of the merchant has.
pub(crate) async fn write(unit: &mut UnitOfWork, outlet: &Outlet, before: Value) -> Result<()> {
    store::shop::outlet::update(unit.conn(), outlet)
        .await
        .map_err(known)?;
    unit.audit("outlet.patch", outlet.id, Some(before), Some(json!(outlet)))
        .await
}

/// One outlet.
///
/// # Errors
/// [`Noun::Outlet`] not found, or not for this scope.
pub async fn get(context: &Context, scope: Scope, id: OutletId) -> Result<Outlet> {
    let mut conn = context.pool().acquire().await?;
    store::shop::outlet::find(&mut conn, scope, id)
        .await?
        .ok_or(Error::NotFound(Noun::Outlet))
}

/// Outlets, newest first.
pub async fn list(context: &Context, scope: Scope, page: Page) -> Result<Vec<Outlet>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::shop::outlet::list(&mut conn, scope, page).await?)
}
