//! What a payment costs the merchant (MDR), as data.
//!
//! A profile is a list of versions with the instant from which each holds; a version is a list of rules, tried
//! in order, the first that fits decides. Rates are basis points (1/100 of a percent) of the whole amount. The
//! fee is rounded half up to whole rupiah per transaction, and the net is what remains: so gross = fee + net,
//! always, and nothing is computed twice.
//!
//! Source of the rates in [`fee_basic`]: Bank Indonesia's QRIS merchant discount rates (micro merchants pay
//! nothing up to and including Rp500,000 and 0.3 % above; others 0.7 %; education 0.6 %; fuel 0.4 %; government
//! and donations nothing).

use chrono::{DateTime, Utc};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use wire::rupiah::Rupiah;

use crate::qris::{Mcc, MerchantCriteria};
use crate::text_enum::text_enum;

/// The profile that always exists.
pub const FEE_BASIC: &str = "fee_basic";
/// The whole amount, in basis points.
const BASIS_POINTS_MAX: u32 = 10_000;
/// More rules than any tariff needs.
const RULES_MAX: usize = 100;

text_enum! {
    /// Kinds of business that have a rate of their own.
    pub enum MerchantCategory as "merchant category" {
        /// Everything else.
        General = "general",
        /// Schools and universities.
        Education = "education",
        /// Filling stations.
        Fuel = "fuel",
        /// Taxes, fines, public services.
        Government = "government",
        /// Charities and places of worship.
        Donation = "donation",
    }
}

impl MerchantCategory {
    /// The category that a merchant category code (ISO 18245) belongs to.
    pub fn of(mcc: &Mcc) -> Self {
        match mcc.as_str() {
            "8211" | "8220" | "8241" | "8244" | "8249" | "8299" => Self::Education,
            "5541" | "5542" | "5983" => Self::Fuel,
            "9211" | "9222" | "9223" | "9311" | "9399" | "9402" | "9405" => Self::Government,
            "8398" | "8661" => Self::Donation,
            _ => Self::General,
        }
    }
}

/// One rate and whom it is for. What is absent does not restrict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FeeRule {
    /// Only merchants of this size and kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criteria: Option<MerchantCriteria>,
    /// Only this kind of business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<MerchantCategory>,
    /// Only amounts up to and including this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<Rupiah>,
    /// Hundredths of a percent of the whole amount, 0 to 10,000.
    pub basis_points: u32,
}

/// The rates that hold from an instant on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeeVersion {
    /// Stored with each transaction, so that its fee can be explained later.
    pub version: i32,
    /// Payments from this instant on.
    pub effective_from: DateTime<Utc>,
    /// Tried in order; the last has no conditions.
    pub rules: Vec<FeeRule>,
}

/// Why a list of versions is not a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No version at all.
    #[error("a fee profile needs at least one version")]
    Empty,
    /// Versions must rise in number and in time.
    #[error("version {0} does not follow the one before in number and in time")]
    Order(i32),
    /// Some payment would find no rate.
    #[error(
        "version {0} needs 1 to {RULES_MAX} rules of which the last, and only the last, has no conditions"
    )]
    Rules(i32),
    /// A rate above the whole amount.
    #[error("version {0} has a rate above {BASIS_POINTS_MAX} basis points")]
    Rate(i32),
}

/// A checked profile: every payment at any time has exactly one rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeProfile {
    versions: Vec<FeeVersion>,
}

/// What one payment costs, and what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fee {
    /// Kept by acquirer, switch and us.
    pub fee: Rupiah,
    /// Owed to the merchant.
    pub net: Rupiah,
    /// The version of the profile that said so.
    pub version: i32,
}

impl FeeProfile {
    /// Checks `versions`, oldest first.
    ///
    /// # Errors
    /// [`ProfileError`] names the version that breaks a rule.
    pub fn new(versions: Vec<FeeVersion>) -> Result<Self, ProfileError> {
        if versions.is_empty() {
            return Err(ProfileError::Empty);
        }
        for pair in versions.windows(2) {
            if pair[1].version <= pair[0].version
                || pair[1].effective_from <= pair[0].effective_from
            {
                return Err(ProfileError::Order(pair[1].version));
            }
        }
        for FeeVersion { version, rules, .. } in &versions {
            let first_for_all = rules.iter().position(FeeRule::is_for_all);
            if rules.len() > RULES_MAX || first_for_all.is_none_or(|place| place + 1 != rules.len())
            {
                return Err(ProfileError::Rules(*version));
            }
            if rules
                .iter()
                .any(|rule| rule.basis_points > BASIS_POINTS_MAX)
            {
                return Err(ProfileError::Rate(*version));
            }
        }
        Ok(Self { versions })
    }

    /// The versions, oldest first.
    pub fn versions(&self) -> &[FeeVersion] {
        &self.versions
    }

    /// The fee of one payment made `at`. Before the first version, the first holds.
    pub fn fee(
        &self,
        amount: Rupiah,
        criteria: MerchantCriteria,
        category: MerchantCategory,
        at: DateTime<Utc>,
    ) -> Fee {
        let version = self
            .versions
            .iter()
            .rev()
            .find(|version| version.effective_from <= at)
            .unwrap_or(&self.versions[0]);
        let basis_points = version
            .rules
            .iter()
            .find(|rule| rule.fits(amount, criteria, category))
            .map_or(0, |rule| rule.basis_points);
        let fee = half_up(amount, basis_points);
        // 0 ≤ rate ≤ 1, so the fee lies between nothing and the amount, and the difference is in range.
        let net = Rupiah::from_i64(amount.to_i64() - fee.to_i64());
        Fee {
            fee,
            net,
            version: version.version,
        }
    }
}

impl FeeRule {
    fn is_for_all(&self) -> bool {
        self.criteria.is_none() && self.category.is_none() && self.up_to.is_none()
    }

    fn fits(&self, amount: Rupiah, criteria: MerchantCriteria, category: MerchantCategory) -> bool {
        self.criteria.is_none_or(|only| only == criteria)
            && self.category.is_none_or(|only| only == category)
            && self.up_to.is_none_or(|limit| amount <= limit)
    }
}

/// `amount` × `basis_points` / 10,000, half up to whole rupiah.
fn half_up(amount: Rupiah, basis_points: u32) -> Rupiah {
    // 19 digits times 5 digits with four decimals: within the 28 digits of a Decimal, hence exact.
    let exact = Decimal::from(amount.to_i64()) * Decimal::new(i64::from(basis_points), 4);
    let rounded = exact.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
    Rupiah::from_decimal(rounded).expect("a whole number not larger than the amount")
}

/// The versions of the profile [`FEE_BASIC`].
pub fn fee_basic() -> FeeProfile {
    let category = |category, basis_points| FeeRule {
        criteria: None,
        category: Some(category),
        up_to: None,
        basis_points,
    };
    let criteria = |criteria, up_to: Option<i64>, basis_points| FeeRule {
        criteria: Some(criteria),
        category: None,
        up_to: up_to.map(Rupiah::from_i64),
        basis_points,
    };
    FeeProfile {
        versions: vec![FeeVersion {
            version: 1,
            effective_from: DateTime::UNIX_EPOCH,
            rules: vec![
                category(MerchantCategory::Government, 0),
                category(MerchantCategory::Donation, 0),
                category(MerchantCategory::Education, 60),
                category(MerchantCategory::Fuel, 40),
                criteria(MerchantCriteria::Umi, Some(500_000), 0),
                criteria(MerchantCriteria::Umi, None, 30),
                criteria(MerchantCriteria::Ure, None, 60),
                FeeRule {
                    criteria: None,
                    category: None,
                    up_to: None,
                    basis_points: 70,
                },
            ],
        }],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn basic(amount: i64, criteria: MerchantCriteria, category: MerchantCategory) -> i64 {
        fee_basic()
            .fee(
                Rupiah::from_i64(amount),
                criteria,
                category,
                at(1_800_000_000),
            )
            .fee
            .to_i64()
    }

    #[test]
    fn the_basic_profile_passes_its_own_check() {
        assert_eq!(
            FeeProfile::new(fee_basic().versions().to_vec()),
            Ok(fee_basic())
        );
    }

    #[test]
    fn micro_merchants_pay_nothing_up_to_half_a_million() {
        let umi = |amount| basic(amount, MerchantCriteria::Umi, MerchantCategory::General);
        assert_eq!(umi(1), 0);
        assert_eq!(umi(499_999), 0);
        assert_eq!(umi(500_000), 0);
        assert_eq!(umi(500_001), 1_500); // 1,500.003
        assert_eq!(umi(10_000_000), 30_000);
    }

    #[test]
    fn everyone_else_pays_the_published_rates() {
        let general = MerchantCategory::General;
        for criteria in [
            MerchantCriteria::Uke,
            MerchantCriteria::Ume,
            MerchantCriteria::Ube,
        ] {
            assert_eq!(basic(100_000, criteria, general), 700);
        }
        assert_eq!(basic(100_000, MerchantCriteria::Ure, general), 600);
        for criteria in MerchantCriteria::ALL.iter().copied() {
            assert_eq!(basic(100_000, criteria, MerchantCategory::Education), 600);
            assert_eq!(basic(100_000, criteria, MerchantCategory::Fuel), 400);
            assert_eq!(basic(100_000, criteria, MerchantCategory::Government), 0);
            assert_eq!(basic(100_000, criteria, MerchantCategory::Donation), 0);
        }
    }

    #[test]
    fn half_a_rupiah_rounds_up() {
        let uke = |amount| basic(amount, MerchantCriteria::Uke, MerchantCategory::General);
        assert_eq!(uke(71), 0); // 0.497
        assert_eq!(uke(72), 1); // 0.504
        assert_eq!(uke(500), 4); // 3.5
        assert_eq!(uke(1_500), 11); // 10.5, where bankers would say 10
    }

    #[test]
    fn a_merchant_category_code_names_its_category() {
        let of = |mcc: &str| MerchantCategory::of(&mcc.parse().unwrap());
        assert_eq!(of("8220"), MerchantCategory::Education);
        assert_eq!(of("5541"), MerchantCategory::Fuel);
        assert_eq!(of("9311"), MerchantCategory::Government);
        assert_eq!(of("8398"), MerchantCategory::Donation);
        assert_eq!(of("5812"), MerchantCategory::General);
    }

    fn flat(version: i32, from: i64, basis_points: u32) -> FeeVersion {
        FeeVersion {
            version,
            effective_from: at(from),
            rules: vec![FeeRule {
                criteria: None,
                category: None,
                up_to: None,
                basis_points,
            }],
        }
    }

    #[test]
    fn a_new_rate_holds_from_its_instant_on() {
        let profile = FeeProfile::new(vec![flat(1, 1_000, 100), flat(2, 2_000, 200)]).unwrap();
        let fee = |seconds| {
            let amount = Rupiah::from_i64(10_000);
            profile.fee(
                amount,
                MerchantCriteria::Uke,
                MerchantCategory::General,
                at(seconds),
            )
        };
        assert_eq!((fee(0).fee.to_i64(), fee(0).version), (100, 1));
        assert_eq!((fee(1_999).fee.to_i64(), fee(1_999).version), (100, 1));
        assert_eq!((fee(2_000).fee.to_i64(), fee(2_000).version), (200, 2));
    }

    #[test]
    fn profiles_with_gaps_are_refused() {
        assert_eq!(FeeProfile::new(vec![]), Err(ProfileError::Empty));
        assert_eq!(
            FeeProfile::new(vec![flat(2, 0, 0), flat(1, 1, 0)]),
            Err(ProfileError::Order(1))
        );
        assert_eq!(
            FeeProfile::new(vec![flat(1, 5, 0), flat(2, 5, 0)]),
            Err(ProfileError::Order(2))
        );
        assert_eq!(
            FeeProfile::new(vec![flat(1, 0, 10_001)]),
            Err(ProfileError::Rate(1))
        );
        let mut unreachable = flat(1, 0, 1);
        unreachable.rules.push(unreachable.rules[0].clone());
        assert_eq!(
            FeeProfile::new(vec![unreachable]),
            Err(ProfileError::Rules(1))
        );
        let mut conditional = flat(1, 0, 1);
        conditional.rules[0].up_to = Some(Rupiah::from_i64(5));
        assert_eq!(
            FeeProfile::new(vec![conditional]),
            Err(ProfileError::Rules(1))
        );
    }

    #[test]
    fn a_version_reads_back_from_its_json() {
        let text = serde_json::to_string(&fee_basic().versions()[0]).unwrap();
        let read: FeeVersion = serde_json::from_str(&text).unwrap();
        assert_eq!(&read, &fee_basic().versions()[0]);
    }

    proptest! {
        #[test]
        fn gross_is_fee_plus_net(
            amount in 0..=i64::MAX,
            basis_points in 0..=BASIS_POINTS_MAX,
            criteria in proptest::sample::select(MerchantCriteria::ALL),
            category in proptest::sample::select(MerchantCategory::ALL),
        ) {
            let profile = FeeProfile::new(vec![flat(1, 0, basis_points)]).unwrap();
            for profile in [profile, fee_basic()] {
                let Fee { fee, net, .. } = profile.fee(Rupiah::from_i64(amount), criteria, category, at(1));
                prop_assert!(fee.to_i64() >= 0 && net.to_i64() >= 0);
                prop_assert_eq!(fee.to_i64() + net.to_i64(), amount);
            }
        }

        #[test]
        fn the_fee_is_within_half_a_rupiah_of_the_rate(amount in 0_i64..=10_000_000, basis_points in 0..=BASIS_POINTS_MAX) {
            let profile = FeeProfile::new(vec![flat(1, 0, basis_points)]).unwrap();
            let fee = profile.fee(Rupiah::from_i64(amount), MerchantCriteria::Uke, MerchantCategory::General, at(1)).fee;
            // In ten-thousandths of a rupiah, with integers only: half up means −5,000 < fee − exact ≤ 5,000.
            let difference = fee.to_i64() * 10_000 - amount * i64::from(basis_points);
            prop_assert!(-5_000 < difference && difference <= 5_000);
        }
    }
}
