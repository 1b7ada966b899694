//! What a proposal would change: what is there now beside what is asked for, field by field.

use domain::approval::ApprovalKind;
use domain::role::Permission;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use store::Scope;
use store::money::approval::Approval;
use utoipa::ToSchema;
use wire::ids::{ApprovalId, MerchantId, TerminalId, UserId};

use crate::money::proposal::Change;
use crate::people::token::Principal;
use crate::{Context, Error, Noun, Result};

/// A proposal with what it would change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ComparedApproval)]
pub struct Compared {
    /// The proposal.
    #[serde(flatten)]
    pub approval: Approval,
    /// What is there now: the fields that are asked for, and those that say what it is about. Null for what does not exist
    /// yet, and for a role that may neither confirm it nor see such things.
    #[schema(value_type = Option<Object>)]
    pub now: Option<Value>,
    /// The fields that are asked for.
    #[schema(value_type = Object)]
    pub asked: Value,
}

/// One proposal beside what is there now, as far as `reader` may see it.
///
/// # Errors
/// No such proposal.
pub async fn compare(context: &Context, id: ApprovalId, reader: &Principal) -> Result<Compared> {
    let mut conn = context.pool().acquire().await?;
    let approval = store::money::approval::find(&mut conn, id)
        .await?
        .ok_or(Error::NotFound(Noun::Approval))?;
    // One that was decided long ago may be written in another way than today.
    let Ok(change) = serde_json::from_value::<Change>(approval.request.clone()) else {
        let asked = approval.request.clone();
        return Ok(Compared {
            approval,
            now: None,
            asked,
        });
    };
    let may_see = reader.may(Permission::ApprovalWrite) || reader.may(needed(approval.kind));
    let asked = asked(&mut conn, &change).await?;
    let now = if may_see {
        now(&mut conn, &change, &asked).await?
    } else {
        None
    };
    Ok(Compared {
        approval,
        now,
        asked,
    })
}

/// What a role must be allowed to see of the thing itself.
const fn needed(kind: ApprovalKind) -> Permission {
    match kind {
        ApprovalKind::FeeProfileCreate | ApprovalKind::FeeProfileVersion => Permission::FeeRead,
        ApprovalKind::MerchantPatch | ApprovalKind::MerchantApprove => Permission::MerchantRead,
        ApprovalKind::SettlementMarkPaid | ApprovalKind::PayoutAccount => {
            Permission::SettlementRead
        }
        ApprovalKind::UnmatchedPaymentAssign => Permission::IncidentRead,
        ApprovalKind::UserCreate
        | ApprovalKind::UserPatch
        | ApprovalKind::UserReset
        | ApprovalKind::TokenCreate => Permission::UserRead,
        ApprovalKind::CommandCreate | ApprovalKind::BulkCommandCreate => Permission::CommandRead,
    }
}

async fn asked(conn: &mut PgConnection, change: &Change) -> Result<Value> {
    Ok(match change {
        Change::FeeProfile(new) => json!(new),
        Change::FeeVersion {
            profile_id,
            version,
        } => json!({
            "fee_profile_id": profile_id, "effective_from": version.effective_from, "rules": version.rules,
        }),
        Change::Merchant { patch, .. } => json!(patch),
        Change::ApproveMerchant { .. } => json!({ "status": "approved" }),
        Change::MarkPaid { bank_reference, .. } => {
            json!({ "status": "paid", "bank_reference": bank_reference })
        }
        Change::Assign { assignment, .. } => json!({
            "status": "assigned", "terminal_id": assignment.terminal_id, "remember": assignment.remember,
            "terminal": terminal(conn, assignment.terminal_id).await?,
        }),
        Change::NewUser { user, .. } => json!(user),
        Change::User { patch, .. } => json!(patch),
        Change::ResetUser { .. } => json!({ "has_password": false }),
        Change::NewToken(request) => json!(request),
        Change::Command { device_id, command } => {
            let mut asked = json!(command);
            asked["device_id"] = json!(device_id);
            asked
        }
        Change::BulkCommand(new) => json!(new),
        Change::PayoutAccount { destination, .. } => json!({ "payout_account": destination }),
    })
}

/// Where a till stands, in words.
async fn terminal(conn: &mut PgConnection, id: TerminalId) -> Result<Option<String>> {
    let Some(terminal) = store::shop::terminal::find(conn, Scope::All, id).await? else {
        return Ok(None);
    };
    let outlet = store::shop::outlet::find(conn, Scope::All, terminal.outlet_id).await?;
    let shop = store::shop::merchant::find(conn, Scope::All, terminal.merchant_id).await?;
    let outlet = outlet.map_or_else(String::new, |outlet| outlet.name);
    let shop = shop.map_or_else(String::new, |shop| shop.brand_name);
    Ok(Some(format!("{shop} · {outlet} · {}", terminal.name)))
}

async fn now(conn: &mut PgConnection, change: &Change, asked: &Value) -> Result<Option<Value>> {
    Ok(match change {
        Change::FeeVersion { profile_id, .. } => fee(conn, profile_id).await?,
        Change::Merchant { merchant_id, .. } => {
            let mut fields = vec!["brand_name"];
            fields.extend(
                asked
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, _)| &**name),
            );
            merchant(conn, *merchant_id, &fields).await?
        }
        Change::ApproveMerchant { merchant_id } => {
            let fields = [
                "brand_name",
                "legal_name",
                "status",
                "payout_mode",
                "settlement_account_reference",
                "settlement_account_type",
                "payout_account_reference",
                "fee_profile_id",
                "merchant_criteria",
                "mcc",
                "nmid",
                "city",
            ];
            merchant(conn, *merchant_id, &fields).await?
        }
        Change::MarkPaid { settlement_id, .. } => {
            let found = store::money::settlement::find(conn, Scope::All, *settlement_id).await?;
            let fields = [
                "status",
                "net",
                "transaction_count",
                "cutoff",
                "destination",
                "bank_reference",
            ];
            found.map(|settlement| only(&json!(settlement), &fields))
        }
        Change::Assign {
            unmatched_payment_id,
            ..
        } => {
            let found =
                store::payment::unmatched_payment::find(conn, *unmatched_payment_id).await?;
            let fields = [
                "status",
                "amount",
                "paid_at",
                "partner_id",
                "partner_reference",
                "nmid",
                "terminal_label",
                "reason",
            ];
            found.map(|money| only(&json!(money), &fields))
        }
        Change::User { user_id, .. } => user(conn, *user_id, &["email", "role", "status"]).await?,
        Change::ResetUser { user_id, .. } => {
            user(conn, *user_id, &["email", "role", "has_password"]).await?
        }
        Change::PayoutAccount { merchant_id, .. } => {
            let account = store::money::payout::last_account(conn, *merchant_id).await?;
            let mut now = merchant(conn, *merchant_id, &["brand_name", "payout_mode"]).await?;
            if let Some(now) = &mut now {
                now["payout_account"] = json!(account);
            }
            now
        }
        Change::FeeProfile(_)
        | Change::NewUser { .. }
        | Change::NewToken(_)
        | Change::Command { .. }
        | Change::BulkCommand(_) => None,
    })
}

/// The version of a profile that was made last.
async fn fee(conn: &mut PgConnection, profile_id: &str) -> Result<Option<Value>> {
    let versions = store::money::fee::versions(conn, &[profile_id.to_owned()]).await?;
    Ok(versions.last().map(|version| {
        json!({
            "fee_profile_id": profile_id, "effective_from": version.effective_from, "rules": version.rates["rules"],
        })
    }))
}

async fn merchant(
    conn: &mut PgConnection,
    id: MerchantId,
    fields: &[&str],
) -> Result<Option<Value>> {
    let found = store::shop::merchant::find(conn, Scope::All, id).await?;
    Ok(found.map(|merchant| only(&json!(merchant), fields)))
}

async fn user(conn: &mut PgConnection, id: UserId, fields: &[&str]) -> Result<Option<Value>> {
    let Some(user) = store::people::user::find(conn, Scope::All, id).await? else {
        return Ok(None);
    };
    let known = store::people::user::credentials(conn, &user.email).await?;
    let mut all = json!(user);
    all["has_password"] = known
        .is_some_and(|known| known.password_hash.is_some())
        .into();
    Ok(Some(only(&all, fields)))
}

/// These fields of an object, as far as it has them.
fn only(object: &Value, fields: &[&str]) -> Value {
    let kept: Map<String, Value> = fields
        .iter()
        .filter_map(|field| Some(((*field).to_owned(), object.get(*field)?.clone())))
        .collect();
    Value::Object(kept)
}
