//! A person for every role, who can log in to the pages; their passwords are kept from run to run.

use std::collections::BTreeMap;

use domain::role::Role;
use service::people::password;
use service::people::user::{self, NewUser, UserPatch};
use service::{Actor, Context};
use store::people::user::Filter;
use store::{Page, Scope};
use wire::MerchantId;

use super::demo_file::Login;

/// The login for `role`: the earlier one while its user is there, otherwise a new one.
pub(super) async fn ensure(
    context: &Context,
    earlier: &BTreeMap<String, Login>,
    role: Role,
    merchant_id: Option<MerchantId>,
) -> anyhow::Result<Login> {
    let login = earlier.get(role.as_str()).cloned();
    let email = format!("{}@demo.example", role.as_str());
    let filter = Filter {
        email: Some(email.clone()),
        ..Filter::default()
    };
    let one = Page {
        limit: 1,
        after: None,
    };
    let known = user::list(context, Scope::All, &filter, one).await?.pop();
    if let (Some(login), Some(_)) = (&login, &known) {
        return Ok(login.clone());
    }
    let new = login.map_or_else(password::generate, |login| login.password);
    let mut unit = context.begin(Actor::system()).await?;
    match known {
        Some(known) => {
            let patch = UserPatch {
                status: None,
                role: None,
                password: Some(new.clone()),
            };
            user::patch(&mut unit, known.id, patch).await?;
        }
        None => {
            let person = NewUser {
                email: email.clone(),
                role: role.to_string(),
                merchant_id,
                password: Some(new.clone()),
            };
            user::create(&mut unit, person).await?;
        }
    }
    unit.commit().await?;
    Ok(Login {
        email,
        password: new,
    })
}
