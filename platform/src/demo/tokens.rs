//! A token for every role, kept from run to run while it is valid.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use domain::role::Role;
use service::people::token::{self, Principal};
use service::{Actor, Context};
use wire::MerchantId;

const LIFETIME: TimeDelta = TimeDelta::days(90);

/// The token for `role`: the earlier one if it is still valid for the same merchant, otherwise a new one.
pub(super) async fn ensure(
    context: &Context,
    earlier: &BTreeMap<String, String>,
    role: Role,
    merchant_id: Option<MerchantId>,
) -> anyhow::Result<String> {
    if let Some(token) = earlier.get(role.as_str()) {
        match token::authenticate(context, token).await {
            Ok(Principal::Role {
                role: its_role,
                merchant_id: its_merchant,
                ..
            }) if its_role == role && its_merchant == merchant_id => return Ok(token.clone()),
            Ok(_) | Err(service::Error::Unauthenticated) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut unit = context.begin(Actor::system()).await?;
    let name = format!("demo {}", role.as_str());
    let created = token::create(&mut unit, role, merchant_id, &name, LIFETIME).await?;
    unit.commit().await?;
    Ok(created.token)
}
