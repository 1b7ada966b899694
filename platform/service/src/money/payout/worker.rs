//! The worker that sends payouts to the partner, queries them, and books what follows from each answer.

use std::sync::Arc;

use domain::alert::{AlertSubject, NewAlert};
use domain::ledger::Posting;
use domain::payout::{Decision, PayoutOutcome, PayoutStatus};
use futures_util::StreamExt as _;
use serde_json::json;
use store::money::payout::{Cause, Payout, Step};
use wire::ids::PayoutId;

use super::{JOB, LockedPayout, PartnerReport};
use crate::money::hold;
use crate::money::payout_partner::{Answer, Instruction, NoAnswer, PayoutPartner};
use crate::{Actor, Context, Error, Result, UnitOfWork, failed_item};

/// How many payouts are worked on at the same time.
const AT_ONCE: usize = 8;
/// The longest reason that is kept, characters.
const REASON_LEN_MAX: usize = 200;

/// The next call to the partner.
enum NextStep {
    /// Instruct it to pay.
    Instruct(Instruction),
    /// Query this payout, for which it was instructed before.
    Query(Instruction),
    /// Query these first: by its reports they failed or came back.
    QueryEarlier(Vec<Payout>),
}

/// Makes the next call for up to `limit` payouts that are due.
///
/// # Errors
/// The database's. What one payout runs into is noted at that payout, with an alert, and the others go on.
pub async fn work(context: &Context, limit: i64) -> Result<()> {
    let now = context.clock().now();
    let due = {
        let mut conn = context.pool().acquire().await?;
        store::money::payout::due(&mut conn, now, limit).await?
    };
    futures_util::stream::iter(due)
        .for_each_concurrent(AT_ONCE, |id| async move {
            if let Err(error) = work_on(context, id).await
                && let Err(error) = put_aside(context, id, error).await
            {
                metrics::counter!("payout_failures_total").increment(1);
                tracing::warn!(payout_id = %id, %error, "a payout could not be worked on and will be again");
            }
        })
        .await;
    Ok(())
}

/// Notes at a payout why it could not be worked on, and tries it again later each time.
async fn put_aside(context: &Context, id: PayoutId, error: Error) -> Result<()> {
    if !error.is_of_the_item() {
        return Err(error);
    }
    let mut conn = context.pool().acquire().await?;
    let Some(payout) = store::money::payout::find(&mut conn, id).await? else {
        return Ok(());
    };
    drop(conn);
    let noted = note_failure(context, id, failed_item::reason(&error)).await;
    let subject = AlertSubject::Settlement(payout.settlement_id);
    let details = json!({ "payout_id": id });
    failed_item::put_aside(context, JOB, subject, error, details).await?;
    noted
}

async fn note_failure(context: &Context, id: PayoutId, reason: &str) -> Result<()> {
    let mut unit = context.begin(Actor::system()).await?;
    let Some(locked) = LockedPayout::take(&mut unit, id).await? else {
        return Ok(());
    };
    let reason = format!("it could not be worked on: {reason}");
    let now = unit.now();
    match locked.payout.due_at {
        Some(due_at) if due_at > now => keep_lease(unit, &locked, &reason).await,
        Some(_) => postpone(unit, &locked, &reason).await,
        None => Ok(()),
    }
}

async fn work_on(context: &Context, id: PayoutId) -> Result<()> {
    let Some((partner_id, next)) = begin(context, id).await? else {
        return Ok(());
    };
    call(context, id, &partner_id, next).await?;
    let incarnation = context.node().incarnation();
    let mut conn = context.pool().acquire().await?;
    Ok(store::money::payout::let_go(&mut conn, id, incarnation).await?)
}

/// Calls the partner, and books its answer.
async fn call(context: &Context, id: PayoutId, partner_id: &str, next: NextStep) -> Result<()> {
    let partner = connection(context, partner_id);
    match next {
        NextStep::Instruct(instruction) => instruct(context, id, partner, &instruction).await,
        NextStep::Query(instruction) => {
            let answer = match &partner {
                Ok(partner) => partner.query(id).await,
                Err(error) => Err(error.clone()),
            };
            match answer {
                // The partner does not know it, so that it is still unpaid and the suspension applies.
                Ok(Answer::Unknown) if is_suspended(context, &instruction).await? => {
                    conclude(context, id, "asked", Err(NoAnswer(SUSPENDED.into()))).await
                }
                Ok(Answer::Unknown) => instruct(context, id, partner, &instruction).await,
                answer => conclude(context, id, "asked", answer).await,
            }
        }
        NextStep::QueryEarlier(earlier) => {
            for payout in earlier {
                // A partner without queries reports by callbacks alone; the last one counts.
                let its_partner_id = payout.partner_id.as_deref().unwrap_or_default();
                let Ok(its_partner) = connection(context, its_partner_id) else {
                    continue;
                };
                match its_partner.query(payout.id).await {
                    Ok(Answer::Unknown) => {}
                    Ok(Answer::Outcome {
                        outcome: PayoutOutcome::Failed | PayoutOutcome::Returned,
                        ..
                    }) => {}
                    Ok(Answer::Outcome {
                        outcome: PayoutOutcome::Paid,
                        bank_reference,
                        ..
                    }) => {
                        return was_paid(context, id, payout.id, bank_reference.as_deref()).await;
                    }
                    Ok(Answer::Processing) => {
                        return wait(context, id, "an earlier payout is still under way").await;
                    }
                    Err(NoAnswer(reason)) => return wait(context, id, &reason).await,
                }
            }
            let Some(instruction) = may_instruct(context, id).await? else {
                return Ok(());
            };
            instruct(context, id, partner, &instruction).await
        }
    }
}

/// The partner of this id, or why it gives no answer.
fn connection(
    context: &Context,
    partner_id: &str,
) -> std::result::Result<Arc<dyn PayoutPartner>, NoAnswer> {
    context
        .payout_partner(partner_id)
        .and_then(|partner| partner.connection.clone())
        .ok_or_else(|| NoAnswer("the payout partner is not configured any more".into()))
}

/// Takes the payout's lease, and decides on the next call and its partner.
async fn begin(context: &Context, id: PayoutId) -> Result<Option<(String, NextStep)>> {
    let mut unit = context.begin(Actor::system()).await?;
    let Some(mut locked) = take_to_instruct(&mut unit, id).await? else {
        return Ok(None);
    };
    let now = unit.now();
    if locked.payout.due_at.is_none_or(|due| due > now) || locked.payout.hold_reason.is_some() {
        return Ok(None);
    }
    let partner_id = locked.payout.partner_id.clone().unwrap_or_default();
    let reachable = match context.payout_partner(&partner_id) {
        None => {
            let reason = format!("the payout partner {partner_id} is not configured any more");
            return postpone(unit, &locked, &reason).await.map(|()| None);
        }
        Some(partner) => partner.connection.is_some(),
    };
    let lease = Some(now + context.settings().payouts.wait(locked.payout.tries));
    store::money::payout::schedule(
        unit.conn(),
        id,
        locked.payout.tries + 1,
        locked.payout.reason.as_deref(),
        lease,
    )
    .await?;
    let next = match locked.payout.status {
        PayoutStatus::Pending if !reachable => {
            // It reads its instructions elsewhere, and answers by callbacks alone.
            locked.mark_processing(&mut unit, None).await?;
            None
        }
        PayoutStatus::Pending => {
            let settlement = [locked.settlement.id];
            let mut earlier =
                store::money::payout::of_settlements(unit.conn(), &settlement).await?;
            earlier.retain(|payout| {
                payout.attempt < locked.payout.attempt && payout.partner_id.is_some()
            });
            if earlier.is_empty() {
                locked.mark_processing(&mut unit, lease).await?;
                Some(NextStep::Instruct(instruction(&locked)?))
            } else {
                Some(NextStep::QueryEarlier(earlier))
            }
        }
        PayoutStatus::Processing => Some(NextStep::Query(instruction(&locked)?)),
        _ => {
            store::money::payout::schedule(unit.conn(), id, locked.payout.tries, None, None)
                .await?;
            None
        }
    };
    if next.is_some() {
        let incarnation = context.node().incarnation();
        store::money::payout::take(unit.conn(), id, incarnation).await?;
    }
    unit.commit().await?;
    Ok(next.map(|next| (partner_id, next)))
}

/// A payout, with its merchant and its settlement locked: the merchant cannot become suspended before this transaction
/// ends.
async fn take_to_instruct(unit: &mut UnitOfWork, id: PayoutId) -> Result<Option<LockedPayout>> {
    let Some(seen) = store::money::payout::find(unit.conn(), id).await? else {
        return Ok(None);
    };
    store::shop::merchant::lock_for_payout(unit.conn(), seen.merchant_id).await?;
    LockedPayout::take(unit, id).await
}

/// Why the partner is not instructed again for a payout that it does not know.
const SUSPENDED: &str = "the merchant is suspended";

async fn is_suspended(context: &Context, instruction: &Instruction) -> Result<bool> {
    let mut conn = context.pool().acquire().await?;
    Ok(hold::is_on(&mut conn, instruction.merchant_id).await?)
}

/// pending → processing, after the earlier payouts were queried.
async fn may_instruct(context: &Context, id: PayoutId) -> Result<Option<Instruction>> {
    let mut unit = context.begin(Actor::system()).await?;
    let Some(mut locked) = take_to_instruct(&mut unit, id).await? else {
        return Ok(None);
    };
    if locked.payout.status != PayoutStatus::Pending || locked.payout.hold_reason.is_some() {
        return Ok(None);
    }
    let due_at = locked.payout.due_at;
    locked.mark_processing(&mut unit, due_at).await?;
    let instruction = instruction(&locked)?;
    unit.commit().await?;
    Ok(Some(instruction))
}

async fn instruct(
    context: &Context,
    id: PayoutId,
    partner: std::result::Result<Arc<dyn PayoutPartner>, NoAnswer>,
    instruction: &Instruction,
) -> Result<()> {
    let answer = match partner {
        Ok(partner) => partner.instruct(instruction).await,
        Err(error) => Err(error),
    };
    conclude(context, id, "answer", answer).await
}

/// Books an answer. Without one, the partner is queried when the lease has run out.
async fn conclude(
    context: &Context,
    id: PayoutId,
    cause: &str,
    answer: std::result::Result<Answer, NoAnswer>,
) -> Result<()> {
    let mut unit = context.begin(Actor::system()).await?;
    let Some(mut locked) = LockedPayout::take(&mut unit, id).await? else {
        return Ok(());
    };
    if locked.payout.status != PayoutStatus::Processing {
        // A callback was quicker.
        return Ok(());
    }
    match answer {
        Ok(Answer::Outcome {
            outcome,
            bank_reference,
            reason,
        }) => {
            let reason = reason.map(|text| short(&text));
            let report = PartnerReport {
                outcome,
                bank_reference: bank_reference.as_deref(),
                reason: reason.as_deref(),
            };
            if locked.apply_outcome(&mut unit, report, cause, None).await?
                == Decision::ReferenceOfAnother
            {
                unit.raise(reference_reused(&locked, bank_reference.as_deref()));
                return keep_lease(unit, &locked, REFERENCE_REUSED).await;
            }
        }
        Ok(Answer::Processing | Answer::Unknown) => {
            let due_at = Some(unit.now() + context.settings().payouts.ask_after);
            store::money::payout::schedule(unit.conn(), id, locked.payout.tries, None, due_at)
                .await?;
        }
        Err(NoAnswer(reason)) => {
            metrics::counter!("payout_unanswered_total").increment(1);
            return keep_lease(unit, &locked, &short(&reason)).await;
        }
    }
    unit.commit().await
}

/// Why an answer is not acted on.
const REFERENCE_REUSED: &str = "the partner names a bank reference of another payout";

/// The alert of an answer with the bank reference of another payout.
fn reference_reused(locked: &LockedPayout, bank_reference: Option<&str>) -> NewAlert {
    let details = json!({ "payout_id": locked.payout.id, "bank_reference": bank_reference });
    let subject = AlertSubject::Settlement(locked.settlement.id);
    failed_item::alert(JOB, subject, "bank_reference_reused", details)
        .of_merchant(locked.settlement.merchant_id)
}

/// Notes why the call changed nothing. The payout is due again when the lease that [`begin`] took has run out: that wait
/// and that try are counted already.
async fn keep_lease(mut unit: UnitOfWork, locked: &LockedPayout, reason: &str) -> Result<()> {
    let (id, payout) = (locked.payout.id, &locked.payout);
    store::money::payout::schedule(unit.conn(), id, payout.tries, Some(reason), payout.due_at)
        .await?;
    unit.commit().await
}

/// Puts off a payout for which no call was made, with the reason; later each time.
async fn postpone(mut unit: UnitOfWork, locked: &LockedPayout, reason: &str) -> Result<()> {
    let payouts = &unit.context().settings().payouts;
    let due_at = Some(unit.now() + payouts.wait(locked.payout.tries));
    let (id, tries) = (locked.payout.id, locked.payout.tries.saturating_add(1));
    store::money::payout::schedule(unit.conn(), id, tries, Some(reason), due_at).await?;
    unit.commit().await
}

async fn wait(context: &Context, id: PayoutId, reason: &str) -> Result<()> {
    let mut unit = context.begin(Actor::system()).await?;
    match LockedPayout::take(&mut unit, id).await? {
        Some(locked) if locked.payout.status == PayoutStatus::Pending => {
            keep_lease(unit, &locked, &short(reason)).await
        }
        _ => Ok(()),
    }
}

/// An earlier payout that was reported as failed was paid: the one that waits is cancelled.
async fn was_paid(
    context: &Context,
    waiting: PayoutId,
    earlier: PayoutId,
    bank_reference: Option<&str>,
) -> Result<()> {
    let mut unit = context.begin(Actor::system()).await?;
    let Some(mut locked) = LockedPayout::take(&mut unit, waiting).await? else {
        return Ok(());
    };
    if locked.payout.status != PayoutStatus::Pending {
        return Ok(());
    }
    let Some(mut found) = LockedPayout::take(&mut unit, earlier).await? else {
        return Ok(());
    };
    let from = found.payout.status;
    if from != PayoutStatus::Failed {
        // The partner had reported and signed that it came back: its two reports contradict each other.
        let reason = "the partner says that an earlier payout, which it had returned, is paid";
        return keep_lease(unit, &locked, reason).await;
    }
    if let Some(reference) = bank_reference
        && !found.own_reference(&mut unit, reference).await?
    {
        unit.raise(reference_reused(&locked, bank_reference));
        return keep_lease(unit, &locked, REFERENCE_REUSED).await;
    }
    tracing::warn!(payout_id = %earlier, settlement_id = %locked.settlement.id, "a payout that had failed was paid after all");
    metrics::counter!("payout_paid_late_total").increment(1);
    let cause = Cause {
        at: unit.now(),
        cause: "asked",
        message: None,
    };
    let cancelled = Step {
        from: PayoutStatus::Pending,
        to: PayoutStatus::Cancelled,
        bank_reference: None,
        reason: Some("an earlier payout was paid after all"),
        due_at: None,
    };
    locked
        .step(&mut unit, PayoutStatus::Cancelled, &[], cancelled, cause)
        .await?;
    let late = Posting::payout_paid_late(found.payout.amount).map_err(anyhow::Error::from)?;
    let paid = Step {
        from,
        to: PayoutStatus::Paid,
        bank_reference,
        reason: Some("said to have failed, and found to be paid"),
        due_at: None,
    };
    found
        .step(&mut unit, PayoutStatus::Paid, &[late], paid, cause)
        .await?;
    unit.commit().await
}

fn instruction(locked: &LockedPayout) -> Result<Instruction> {
    let destination = locked.payout.destination.clone();
    Ok(Instruction {
        payout_id: locked.payout.id,
        settlement_id: locked.settlement.id,
        merchant_id: locked.settlement.merchant_id,
        amount: locked.payout.amount,
        destination: destination
            .ok_or_else(|| anyhow::anyhow!("{} has no destination", locked.payout.id))?,
    })
}

fn short(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(REASON_LEN_MAX)
        .collect()
}
