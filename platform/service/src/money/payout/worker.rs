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

/// What is to be spoken about with the partner.
enum NextStep {
    /// Tell it of this payout.
    Send(Instruction),
    /// Ask it about this payout, which it was told of before.
    Ask(Instruction),
    /// Ask it about these first: they failed or came back, as it said.
    AskEarlier(Vec<Payout>),
}

/// Tells and asks about up to `limit` payouts whose time has come.
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
    match LockedPayout::take(&mut unit, id).await? {
        Some(held) if held.payout.due_at.is_some() => {
            let reason = format!("it could not be worked on: {reason}");
            postpone(unit, &held, &reason).await
        }
        _ => Ok(()),
    }
}

async fn work_on(context: &Context, id: PayoutId) -> Result<()> {
    let Some((partner_id, next)) = begin(context, id).await? else {
        return Ok(());
    };
    let partner = connection(context, &partner_id);
    match next {
        NextStep::Send(instruction) => tell(context, id, partner, &instruction).await,
        NextStep::Ask(instruction) => {
            let answer = match &partner {
                Ok(partner) => partner.ask(id).await,
                Err(error) => Err(error.clone()),
            };
            match answer {
                // It was never heard of, so that a hold still keeps it from being paid.
                Ok(Answer::Unknown) if is_held(context, &instruction).await? => {
                    conclude(context, id, "asked", Err(NoAnswer(HELD.into()))).await
                }
                Ok(Answer::Unknown) => tell(context, id, partner, &instruction).await,
                answer => conclude(context, id, "asked", answer).await,
            }
        }
        NextStep::AskEarlier(earlier) => {
            for payout in earlier {
                // A partner that cannot be asked has said its last word by its callback.
                let its_partner_id = payout.partner_id.as_deref().unwrap_or_default();
                let Ok(its_partner) = connection(context, its_partner_id) else {
                    continue;
                };
                match its_partner.ask(payout.id).await {
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
            let Some(instruction) = may_tell(context, id).await? else {
                return Ok(());
            };
            tell(context, id, partner, &instruction).await
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

/// Takes the payout's lease, and decides what to say to which partner.
async fn begin(context: &Context, id: PayoutId) -> Result<Option<(String, NextStep)>> {
    let mut unit = context.begin(Actor::system()).await?;
    let Some(mut held) = take_to_tell(&mut unit, id).await? else {
        return Ok(None);
    };
    let now = unit.now();
    if held.payout.due_at.is_none_or(|due| due > now) || held.payout.hold_reason.is_some() {
        return Ok(None);
    }
    let partner_id = held.payout.partner_id.clone().unwrap_or_default();
    let reachable = match context.payout_partner(&partner_id) {
        None => {
            let reason = format!("the payout partner {partner_id} is not configured any more");
            return postpone(unit, &held, &reason).await.map(|()| None);
        }
        Some(partner) => partner.connection.is_some(),
    };
    let lease = Some(now + context.settings().payouts.wait(held.payout.tries));
    store::money::payout::schedule(
        unit.conn(),
        id,
        held.payout.tries + 1,
        held.payout.reason.as_deref(),
        lease,
    )
    .await?;
    let next = match held.payout.status {
        PayoutStatus::Pending if !reachable => {
            // It reads its instructions elsewhere, and answers by callbacks alone.
            held.mark_processing(&mut unit, None).await?;
            None
        }
        PayoutStatus::Pending => {
            let settlement = [held.settlement.id];
            let mut earlier =
                store::money::payout::of_settlements(unit.conn(), &settlement).await?;
            earlier.retain(|payout| {
                payout.attempt < held.payout.attempt && payout.partner_id.is_some()
            });
            if earlier.is_empty() {
                held.mark_processing(&mut unit, lease).await?;
                Some(NextStep::Send(instruction(&held)?))
            } else {
                Some(NextStep::AskEarlier(earlier))
            }
        }
        PayoutStatus::Processing => Some(NextStep::Ask(instruction(&held)?)),
        _ => {
            store::money::payout::schedule(unit.conn(), id, held.payout.tries, None, None).await?;
            None
        }
    };
    unit.commit().await?;
    Ok(next.map(|next| (partner_id, next)))
}

/// A payout with its merchant's, its settlement's and its own lock: the merchant is not suspended until this is over,
/// unless it is already.
async fn take_to_tell(unit: &mut UnitOfWork, id: PayoutId) -> Result<Option<LockedPayout>> {
    let Some(seen) = store::money::payout::find(unit.conn(), id).await? else {
        return Ok(None);
    };
    store::shop::merchant::lock_for_payout(unit.conn(), seen.merchant_id).await?;
    LockedPayout::take(unit, id).await
}

/// Why a payout that the partner never heard of is not told of again.
const HELD: &str = "the merchant is suspended";

async fn is_held(context: &Context, instruction: &Instruction) -> Result<bool> {
    let mut conn = context.pool().acquire().await?;
    Ok(hold::is_on(&mut conn, instruction.merchant_id).await?)
}

/// pending → processing, after the partner was asked about the ones before.
async fn may_tell(context: &Context, id: PayoutId) -> Result<Option<Instruction>> {
    let mut unit = context.begin(Actor::system()).await?;
    let Some(mut held) = take_to_tell(&mut unit, id).await? else {
        return Ok(None);
    };
    if held.payout.status != PayoutStatus::Pending || held.payout.hold_reason.is_some() {
        return Ok(None);
    }
    let due_at = held.payout.due_at;
    held.mark_processing(&mut unit, due_at).await?;
    let instruction = instruction(&held)?;
    unit.commit().await?;
    Ok(Some(instruction))
}

async fn tell(
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

/// Books an answer. Without one, the lease runs out and the partner is asked.
async fn conclude(
    context: &Context,
    id: PayoutId,
    cause: &str,
    answer: std::result::Result<Answer, NoAnswer>,
) -> Result<()> {
    let mut unit = context.begin(Actor::system()).await?;
    let Some(mut held) = LockedPayout::take(&mut unit, id).await? else {
        return Ok(());
    };
    if held.payout.status != PayoutStatus::Processing {
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
            let said = PartnerReport {
                outcome,
                bank_reference: bank_reference.as_deref(),
                reason: reason.as_deref(),
            };
            if held.apply_outcome(&mut unit, said, cause, None).await? == Decision::Held {
                unit.raise(reference_reused(&held, bank_reference.as_deref()));
                return postpone(unit, &held, REFERENCE_REUSED).await;
            }
        }
        Ok(Answer::Processing | Answer::Unknown) => {
            let due_at = Some(unit.now() + context.settings().payouts.ask_after);
            store::money::payout::schedule(unit.conn(), id, held.payout.tries, None, due_at)
                .await?;
        }
        Err(NoAnswer(reason)) => {
            metrics::counter!("payout_unanswered_total").increment(1);
            return postpone(unit, &held, &short(&reason)).await;
        }
    }
    unit.commit().await
}

/// Why an answer is not acted on.
const REFERENCE_REUSED: &str = "the partner names a bank reference of another payout";

/// Tells people of an answer under the name of another payout's transfer.
fn reference_reused(held: &LockedPayout, bank_reference: Option<&str>) -> NewAlert {
    let details = json!({ "payout_id": held.payout.id, "bank_reference": bank_reference });
    let subject = AlertSubject::Settlement(held.settlement.id);
    failed_item::alert(JOB, subject, "bank_reference_reused", details)
        .of_merchant(held.settlement.merchant_id)
}

/// Keeps the lease as it is, with the reason.
async fn postpone(mut unit: UnitOfWork, held: &LockedPayout, reason: &str) -> Result<()> {
    let payouts = &unit.context().settings().payouts;
    let due_at = Some(unit.now() + payouts.wait(held.payout.tries));
    let (id, tries) = (held.payout.id, held.payout.tries.saturating_add(1));
    store::money::payout::schedule(unit.conn(), id, tries, Some(reason), due_at).await?;
    unit.commit().await
}

async fn wait(context: &Context, id: PayoutId, reason: &str) -> Result<()> {
    let mut unit = context.begin(Actor::system()).await?;
    match LockedPayout::take(&mut unit, id).await? {
        Some(held) if held.payout.status == PayoutStatus::Pending => {
            postpone(unit, &held, &short(reason)).await
        }
        _ => Ok(()),
    }
}

/// An earlier payout that was said to have failed was paid: the one that waits is taken back.
async fn was_paid(
    context: &Context,
    waiting: PayoutId,
    earlier: PayoutId,
    bank_reference: Option<&str>,
) -> Result<()> {
    let mut unit = context.begin(Actor::system()).await?;
    let Some(mut held) = LockedPayout::take(&mut unit, waiting).await? else {
        return Ok(());
    };
    if held.payout.status != PayoutStatus::Pending {
        return Ok(());
    }
    let Some(mut found) = LockedPayout::take(&mut unit, earlier).await? else {
        return Ok(());
    };
    let from = found.payout.status;
    if from != PayoutStatus::Failed {
        // It came back, as the partner had said and signed: two words of the partner's against each other.
        let reason = "the partner says that an earlier payout, which it had returned, is paid";
        return postpone(unit, &held, reason).await;
    }
    if let Some(reference) = bank_reference
        && !found.own_reference(&mut unit, reference).await?
    {
        unit.raise(reference_reused(&held, bank_reference));
        return postpone(unit, &held, REFERENCE_REUSED).await;
    }
    tracing::warn!(payout_id = %earlier, settlement_id = %held.settlement.id, "a payout that had failed was paid after all");
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
    held.step(&mut unit, PayoutStatus::Cancelled, &[], cancelled, cause)
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

fn instruction(held: &LockedPayout) -> Result<Instruction> {
    let destination = held.payout.destination.clone();
    Ok(Instruction {
        payout_id: held.payout.id,
        settlement_id: held.settlement.id,
        merchant_id: held.settlement.merchant_id,
        amount: held.payout.amount,
        destination: destination
            .ok_or_else(|| anyhow::anyhow!("{} has no destination", held.payout.id))?,
    })
}

fn short(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(REASON_LEN_MAX)
        .collect()
}
