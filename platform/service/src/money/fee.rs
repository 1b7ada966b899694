//! Fee profiles: what a payment costs.

use chrono::{DateTime, Utc};
use domain::fee::{
    FEE_BASIC, Fee, FeeProfile, FeeRule, FeeVersion, MerchantCategory, ProfileError, fee_basic,
};
use domain::qris::Mcc;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Page;
use store::money::fee::VersionView;
use store::payment::payee::Payee;
use utoipa::ToSchema;
use wire::Rupiah;

use crate::{Checks, Context, Error, Noun, Result, UnitOfWork};

/// Makes sure that the profile `fee_basic` exists, as the contract promises.
pub async fn ensure_basic(context: &Context) -> Result<()> {
    let mut unit = context.begin(crate::Actor::system()).await?;
    let now = unit.now();
    for version in fee_basic().versions() {
        let rates = serde_json::to_value(version).map_err(anyhow::Error::from)?;
        store::money::fee::ensure(unit.conn(), FEE_BASIC, "Bank Indonesia MDR", &rates, now)
            .await?;
    }
    unit.commit().await
}

/// The fee of a payment to a merchant, by the version of its profile that held when it was paid.
///
/// # Errors
/// A payee that does not read as what it must be.
pub(crate) fn of_payment(payee: &Payee, amount: Rupiah, paid_at: DateTime<Utc>) -> Result<Fee> {
    let version = FeeVersion::deserialize(&payee.rates).map_err(anyhow::Error::from)?;
    let profile = FeeProfile::new(vec![version]).map_err(anyhow::Error::from)?;
    let mcc: Mcc = payee.mcc.parse().map_err(anyhow::Error::from)?;
    let (criteria, category) = (payee.merchant_criteria, MerchantCategory::of(&mcc));
    Ok(profile.fee(amount, criteria, category, paid_at))
}

/// A new fee profile: its first version holds from the beginning.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFeeProfile {
    /// What merchants refer to.
    #[schema(pattern = "^fee_[a-z0-9_]{1,40}$")]
    pub id: String,
    /// For people.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// Tried in order, the first that fits decides; the last, and only the last, has no conditions.
    #[schema(min_items = 1, max_items = 100)]
    pub rules: Vec<FeeRule>,
}

/// New rates of a fee profile.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFeeVersion {
    /// Payments from this instant on; now, unless it says otherwise. Never in the past: what was charged stays charged.
    #[serde(default)]
    pub effective_from: Option<DateTime<Utc>>,
    /// As for a new profile.
    #[schema(min_items = 1, max_items = 100)]
    pub rules: Vec<FeeRule>,
}

/// A fee profile with everything that ever held.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeeProfile)]
pub struct FeeProfileView {
    /// What merchants refer to.
    pub id: String,
    /// For people.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The oldest first.
    pub versions: Vec<VersionView>,
}

/// Makes a fee profile. `maker` proposed it, when the actor confirms it.
///
/// # Errors
/// Wrong fields, an id that is taken.
pub async fn create(
    unit: &mut UnitOfWork,
    new: NewFeeProfile,
    maker: Option<&str>,
) -> Result<FeeProfileView> {
    let mut checks = Checks::default();
    checks.text("name", &new.name, 100);
    let has_form = new.id.strip_prefix("fee_").is_some_and(|name| {
        (1..=40).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    });
    if !has_form {
        checks.refuse("id", "fee_ and 1 to 40 of a-z, 0-9 and _");
    }
    checks.finish()?;
    let version = FeeVersion {
        version: 1,
        effective_from: DateTime::UNIX_EPOCH,
        rules: new.rules,
    };
    FeeProfile::new(vec![version.clone()]).map_err(wrong_rules)?;
    let profile = store::money::fee::Profile {
        id: new.id,
        name: new.name,
        created_at: unit.now(),
    };
    store::money::fee::insert(unit.conn(), &profile)
        .await
        .map_err(|error| {
            if Error::breaks(&error, "fee_profiles_pkey") {
                Error::duplicate("there is a fee profile with this id")
            } else {
                error.into()
            }
        })?;
    keep_version(unit, &profile.id, &version, maker).await?;
    let view = view(unit, profile).await?;
    unit.audit("fee_profile.create", &view.id, None, Some(json!(view)))
        .await?;
    Ok(view)
}

/// Gives a fee profile new rates. `maker` proposed them, when the actor confirms them.
///
/// # Errors
/// No such profile; rates for the past, or before those that are known for later; rules that leave a payment without one.
pub async fn add_version(
    unit: &mut UnitOfWork,
    profile_id: &str,
    new: NewFeeVersion,
    maker: Option<&str>,
) -> Result<FeeProfileView> {
    let profile = store::money::fee::lock(unit.conn(), profile_id)
        .await?
        .ok_or(Error::NotFound(Noun::FeeProfile))?;
    unit.refresh_now();
    let now = unit.now();
    let effective_from = match new.effective_from {
        // Confirmed later than it was to hold: it holds from now on.
        Some(at) if at < now && maker.is_some() => now,
        Some(at) if at < now => {
            return Err(Error::field("effective_from", "must not be in the past"));
        }
        Some(at) => at,
        None => now,
    };
    let before = view(unit, profile.clone()).await?;
    let mut versions = before
        .versions
        .iter()
        .map(|version| serde_json::from_value(version.rates.clone()))
        .collect::<std::result::Result<Vec<FeeVersion>, _>>()
        .map_err(anyhow::Error::from)?;
    let number = versions.last().map_or(1, |last| last.version + 1);
    let version = FeeVersion {
        version: number,
        effective_from,
        rules: new.rules,
    };
    versions.push(version.clone());
    FeeProfile::new(versions).map_err(wrong_rules)?;
    keep_version(unit, profile_id, &version, maker).await?;
    let after = view(unit, profile).await?;
    unit.audit(
        "fee_profile.version",
        profile_id,
        Some(json!(before)),
        Some(json!(after)),
    )
    .await?;
    Ok(after)
}

async fn keep_version(
    unit: &mut UnitOfWork,
    profile_id: &str,
    version: &FeeVersion,
    maker: Option<&str>,
) -> Result<()> {
    let actor = unit.actor_name().to_owned();
    let row = VersionView {
        profile_id: profile_id.to_owned(),
        version: version.version,
        effective_from: version.effective_from,
        rates: serde_json::to_value(version).map_err(anyhow::Error::from)?,
        created_by: maker.unwrap_or(&actor).to_owned(),
        approved_by: maker.is_some().then_some(actor),
        created_at: unit.now(),
    };
    store::money::fee::insert_version(unit.conn(), &row).await?;
    Ok(())
}

async fn view(
    unit: &mut UnitOfWork,
    profile: store::money::fee::Profile,
) -> Result<FeeProfileView> {
    let ids = [profile.id.clone()];
    Ok(FeeProfileView {
        versions: store::money::fee::versions(unit.conn(), &ids).await?,
        id: profile.id,
        name: profile.name,
        created_at: profile.created_at,
    })
}

fn wrong_rules(error: ProfileError) -> Error {
    let field = match error {
        ProfileError::Order(_) => "effective_from",
        ProfileError::Empty | ProfileError::Rules(_) | ProfileError::Rate(_) => "rules",
    };
    Error::field(field, error.to_string())
}

/// One fee profile.
///
/// # Errors
/// No such profile.
pub async fn get(context: &Context, id: &str) -> Result<FeeProfileView> {
    let mut conn = context.pool().acquire().await?;
    let profile = store::money::fee::find(&mut conn, id)
        .await?
        .ok_or(Error::NotFound(Noun::FeeProfile))?;
    let versions =
        store::money::fee::versions(&mut conn, std::slice::from_ref(&profile.id)).await?;
    Ok(FeeProfileView {
        id: profile.id,
        name: profile.name,
        created_at: profile.created_at,
        versions,
    })
}

/// Fee profiles, newest first.
pub async fn list(context: &Context, page: Page) -> Result<Vec<FeeProfileView>> {
    let mut conn = context.lists().acquire().await?;
    let profiles = store::money::fee::list(&mut conn, page).await?;
    let ids: Vec<String> = profiles.iter().map(|profile| profile.id.clone()).collect();
    let mut versions = store::money::fee::versions(&mut conn, &ids).await?;
    let views = profiles.into_iter().map(|profile| FeeProfileView {
        versions: versions
            .extract_if(.., |version| version.profile_id == profile.id)
            .collect(),
        id: profile.id,
        name: profile.name,
        created_at: profile.created_at,
    });
    Ok(views.collect())
}
