//! The merchant portal: what a merchant's people see of their own shop.

use chrono::{DateTime, Days, FixedOffset, NaiveDate, TimeDelta, Utc};
use domain::command::CommandType;
use domain::role::Role;
use domain::total::Total;
use serde::Serialize;
use serde_json::{Map, json};
use store::Scope;
use store::fleet::command::Command;
use store::shop::merchant::Merchant;
use store::shop::portal::{Boxes, Takings, Times};
use utoipa::ToSchema;
use wire::ids::{DeviceId, MerchantId, OutletId};

use crate::fleet::command::{self, NewCommand};
use crate::people::token::Principal;
use crate::shop::merchant;
use crate::{Context, Error, Noun, Result, UnitOfWork};

/// Jakarta's time: UTC+7, without daylight saving since 1964.
const JAKARTA_S: i32 = 7 * 3600;
/// Today and the six days before.
const WEEK_DAYS: u64 = 7;

/// Who asks, and for which merchant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PortalMerchant)]
pub struct Me {
    /// The merchant.
    #[serde(flatten)]
    pub merchant: Merchant,
    /// What the caller is there.
    pub role: Option<Role>,
}

/// The caller's own merchant.
pub async fn me(context: &Context, principal: &Principal, id: MerchantId) -> Result<Me> {
    let role = match principal {
        Principal::Role { role, .. } => Some(*role),
        Principal::Device(_) => None,
    };
    Ok(Me {
        merchant: merchant::get(context, Scope::Merchant(id), id).await?,
        role,
    })
}

/// A command to one of the merchant's own boxes: to say its test sentence, or how loud it is.
///
/// # Errors
/// A box that is not at one of this merchant's terminals is not found; otherwise as [`command::create`].
pub async fn command(
    unit: &mut UnitOfWork,
    merchant_id: MerchantId,
    device_id: DeviceId,
    wanted: OwnCommand,
) -> Result<Command> {
    store::fleet::device::lock(unit.conn(), device_id)
        .await?
        .ok_or(Error::NotFound(Noun::Device))?;
    let binding = store::fleet::binding::find_active(unit.conn(), device_id).await?;
    if binding.is_none_or(|binding| binding.merchant_id != merchant_id) {
        return Err(Error::NotFound(Noun::Device));
    }
    command::create(unit, device_id, wanted.into()).await
}

/// What a merchant may have its box do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnCommand {
    /// Say its test sentence.
    Test,
    /// Be this loud, 0 to 10.
    Volume(u8),
}

impl From<OwnCommand> for NewCommand {
    fn from(wanted: OwnCommand) -> Self {
        let (kind, payload) = match wanted {
            OwnCommand::Test => (CommandType::PlayTest, None),
            OwnCommand::Volume(volume) => {
                let volume = Map::from_iter([("volume".to_owned(), json!(volume))]);
                (CommandType::SetVolume, Some(volume))
            }
        };
        Self {
            kind: kind.to_string(),
            payload,
            expires_in: None,
        }
    }
}

/// What was taken in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "gross = fee + net, of so many transactions")]
pub struct Sum {
    pub count: i64,
    pub gross: Total,
    pub fee: Total,
    pub net: Total,
}

/// The times that a dashboard shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct Sums {
    pub today: Sum,
    pub yesterday: Sum,
    pub last_7_days: Sum,
}

/// The sums of one outlet.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutletSums {
    /// Which outlet.
    pub outlet_id: OutletId,
    /// Its name.
    pub name: String,
    /// What it took.
    #[serde(flatten)]
    pub sums: Sums,
}

/// A merchant's day in numbers. Days are Jakarta's; a transaction belongs to the day on which it was paid.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DashboardSummary)]
pub struct Summary {
    /// The zone of its days.
    pub timezone: &'static str,
    /// Today's date there.
    pub date: NaiveDate,
    /// What all outlets took.
    #[serde(flatten)]
    pub sums: Sums,
    /// What each took.
    pub by_outlet: Vec<OutletSums>,
    /// Its boxes.
    pub devices: Boxes,
}

/// Adds up a merchant's last days.
pub async fn summary(context: &Context, id: MerchantId) -> Result<Summary> {
    let zone = FixedOffset::east_opt(JAKARTA_S)
        .ok_or_else(|| anyhow::anyhow!("UTC+7 is not a time zone"))?;
    let date = context.clock().now().with_timezone(&zone).date_naive();
    let midnight = |date: NaiveDate| -> DateTime<Utc> {
        date.and_time(chrono::NaiveTime::MIN).and_utc() - TimeDelta::seconds(i64::from(JAKARTA_S))
    };
    let times = Times {
        from: midnight(date - Days::new(WEEK_DAYS - 1)),
        yesterday: midnight(date - Days::new(1)),
        today: midnight(date),
        to: midnight(date + Days::new(1)),
    };
    let mut conn = context.lists().acquire().await?;
    let takings = store::shop::portal::takings(&mut conn, id, times).await?;
    let devices = store::shop::portal::boxes(&mut conn, id).await?;
    let sums = takings.iter().map(Sums::of).sum();
    let by_outlet = takings
        .into_iter()
        .map(|one| OutletSums {
            outlet_id: one.outlet_id,
            sums: Sums::of(&one),
            name: one.name,
        })
        .collect();
    Ok(Summary {
        timezone: "Asia/Jakarta",
        date,
        sums,
        by_outlet,
        devices,
    })
}

impl Sums {
    fn of(takings: &Takings) -> Self {
        Self {
            today: Sum::of(takings.today_count, takings.today_gross, takings.today_fee),
            yesterday: Sum::of(
                takings.yesterday_count,
                takings.yesterday_gross,
                takings.yesterday_fee,
            ),
            last_7_days: Sum::of(takings.all_count, takings.all_gross, takings.all_fee),
        }
    }
}

impl std::iter::Sum for Sums {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        let nothing = Sum::of(0, Total::ZERO, Total::ZERO);
        let nothing = Self {
            today: nothing,
            yesterday: nothing,
            last_7_days: nothing,
        };
        all.fold(nothing, |sums, one| Self {
            today: sums.today.and(one.today),
            yesterday: sums.yesterday.and(one.yesterday),
            last_7_days: sums.last_7_days.and(one.last_7_days),
        })
    }
}

impl Sum {
    /// What is left after the fee is the net, of each transaction and so of many.
    fn of(count: i64, gross: Total, fee: Total) -> Self {
        Self {
            count,
            gross,
            fee,
            net: gross - fee,
        }
    }

    fn and(self, other: Self) -> Self {
        Self::of(
            self.count + other.count,
            self.gross + other.gross,
            self.fee + other.fee,
        )
    }
}
