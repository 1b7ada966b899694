//! Proposals: changes that wait for a second person, as they are stored. [`super::approval`] decides and carries them out.

use domain::approval::{ApprovalKind, ApprovalStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::money::approval::Approval;
use wire::ids::{ApprovalId, DeviceId, MerchantId, SettlementId, UnmatchedPaymentId, UserId};

use super::fee::{NewFeeProfile, NewFeeVersion};
use crate::fleet::bulk_command::NewBulkCommand;
use crate::fleet::command::NewCommand;
use crate::payment::unmatched_payment::Assignment;
use crate::people::token::TokenRequest;
use crate::people::user::{NewUser, UserPatch};
use crate::shop::merchant::MerchantPatch;
use crate::{Result, UnitOfWork};

/// A change that can be proposed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    FeeProfile(NewFeeProfile),
    FeeVersion {
        profile_id: String,
        version: NewFeeVersion,
    },
    Merchant {
        merchant_id: MerchantId,
        patch: Box<MerchantPatch>,
    },
    ApproveMerchant {
        merchant_id: MerchantId,
    },
    MarkPaid {
        settlement_id: SettlementId,
        bank_reference: String,
    },
    Assign {
        unmatched_payment_id: UnmatchedPaymentId,
        assignment: Assignment,
    },
    NewUser {
        user: NewUser,
        /// The hash of the proposer's half of the code, in hex.
        first_half_sha256: String,
    },
    User {
        user_id: UserId,
        patch: UserPatch,
    },
    ResetUser {
        user_id: UserId,
        first_half_sha256: String,
    },
    NewToken(TokenRequest),
    Command {
        device_id: DeviceId,
        command: NewCommand,
    },
    BulkCommand(Box<NewBulkCommand>),
    PayoutAccount {
        merchant_id: MerchantId,
        destination: String,
    },
}

impl Change {
    /// As it is stored.
    pub(super) fn request(&self) -> Result<Value> {
        Ok(serde_json::to_value(self).map_err(anyhow::Error::from)?)
    }
}

/// Proposes that a merchant is paid at an account, unless that waits already. Here alone the maker may be the platform or
/// a program: a person takes the proposal over before another confirms it.
pub(super) async fn propose_account(
    unit: &mut UnitOfWork,
    merchant_id: MerchantId,
    destination: &str,
) -> Result<()> {
    let pending =
        store::money::approval::is_account_pending(unit.conn(), merchant_id, destination).await?;
    if pending {
        return Ok(());
    }
    let change = Change::PayoutAccount {
        merchant_id,
        destination: destination.to_owned(),
    };
    let request = change.request()?;
    let entity = merchant_id.to_string();
    keep(unit, ApprovalKind::PayoutAccount, entity, request).await?;
    Ok(())
}

/// Keeps a proposal.
pub(super) async fn keep(
    unit: &mut UnitOfWork,
    kind: ApprovalKind,
    entity: String,
    request: Value,
) -> Result<Approval> {
    let approval = Approval {
        id: ApprovalId::from_uuid(unit.uuid()),
        kind,
        entity,
        request,
        status: ApprovalStatus::Pending,
        requested_by: unit.actor_name().to_owned(),
        created_at: unit.now(),
        decided_by: None,
        decided_at: None,
        reason: None,
    };
    store::money::approval::insert(unit.conn(), &approval).await?;
    unit.audit("approval.propose", approval.id, None, Some(json!(approval)))
        .await?;
    Ok(approval)
}
