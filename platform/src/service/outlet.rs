//! Outlets.

use serde::Deserialize;
use serde_json::json;
use wire::ids::{MerchantId, OutletId};

use super::{Checks, Context, Error, Noun, Result, Unit};
use crate::store::{self, Page, Scope, outlet::Outlet};

/// What an outlet is created from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct NewOutlet {
    pub name: String,
    #[serde(default)]
    pub address: Option<String>,
    #[serde(default)]
    pub city: Option<String>,
    #[serde(default)]
    pub postal_code: Option<String>,
    #[serde(default)]
    pub timezone: Option<String>,
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
/// Wrong fields; no such merchant.
pub async fn create(unit: &mut Unit, merchant_id: MerchantId, new: NewOutlet) -> Result<Outlet> {
    let mut checks = Checks::default();
    checks.text("name", &new.name, 100);
    checks.optional_text("address", new.address.as_deref(), 300);
    checks.optional_text("city", new.city.as_deref(), 60);
    checks.optional_text("postal_code", new.postal_code.as_deref(), 10);
    let timezone = new.timezone.unwrap_or_else(|| TIMEZONES[0].to_owned());
    if !TIMEZONES.contains(&timezone.as_str()) {
        checks.refuse("timezone", format!("one of {}", TIMEZONES.join(", ")));
    }
    checks.finish()?;
    let now = unit.now();
    let outlet = Outlet {
        id: OutletId::from_uuid(unit.uuid()),
        merchant_id,
        name: new.name,
        address: new.address,
        city: new.city,
        postal_code: new.postal_code,
        timezone,
        created_at: now,
        updated_at: now,
    };
    store::outlet::insert(unit.conn(), &outlet)
        .await
        .map_err(|error| {
            if Error::breaks(&error, "outlets_merchant") {
                Error::NotFound(Noun::Merchant)
            } else {
                error.into()
            }
        })?;
    unit.audit("outlet.create", outlet.id, None, Some(json!(outlet)))
        .await?;
    Ok(outlet)
}

/// One outlet.
///
/// # Errors
/// [`Noun::Outlet`] not found, or not for this scope.
pub async fn get(context: &Context, scope: Scope, id: OutletId) -> Result<Outlet> {
    let mut conn = context.pool().acquire().await?;
    store::outlet::find(&mut conn, scope, id)
        .await?
        .ok_or(Error::NotFound(Noun::Outlet))
}

/// Outlets, newest first.
///
/// # Errors
/// The database's.
pub async fn list(context: &Context, scope: Scope, page: Page) -> Result<Vec<Outlet>> {
    let mut conn = context.pool().acquire().await?;
    Ok(store::outlet::list(&mut conn, scope, page).await?)
}
