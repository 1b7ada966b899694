//! An answer that is either what was asked for, or 202: a change that waits for a second person.

use std::ops::Deref;

use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::envelope::{self, Accepted};
use super::error::ApiError;
use super::idempotency::Halt;
use super::operation::{Describe, Operation};
use crate::service::money::approval::{Outcome, Proposal};
use crate::service::{Reply, UnitOfWork};

/// What was asked for, or the proposal that it became.
pub(super) enum DoneOrProposed<D> {
    /// It happened.
    Done(D),
    /// It waits.
    Proposed(Accepted<Proposal>),
}

/// Commits with the answer to an outcome; `done` makes the answer when it happened. A repetition under the same
/// idempotency key gets the answer without its secrets: these fields, and the code of a proposal.
pub(super) async fn settle<T: Serialize, D: Deref<Target = Reply>>(
    unit: UnitOfWork,
    outcome: Outcome<T>,
    secrets: &[&str],
    done: impl FnOnce(&T) -> Result<D, ApiError>,
) -> Result<DoneOrProposed<D>, Halt> {
    let answer = match outcome {
        Outcome::Done(made) => {
            let answer = done(&made)?;
            match secrets {
                [] => unit.commit_with(&answer).await?,
                _ => {
                    unit.commit_with(&envelope::without(&answer, secrets)?)
                        .await?
                }
            }
            DoneOrProposed::Done(answer)
        }
        Outcome::Proposed(proposal) => {
            let answer = envelope::accepted(proposal.as_ref())?;
            match proposal.setup_code {
                None => unit.commit_with(&answer).await?,
                Some(_) => {
                    let kept = envelope::without(&answer, &["setup_code"])?;
                    unit.commit_with(&kept).await?;
                }
            }
            DoneOrProposed::Proposed(answer)
        }
    };
    Ok(answer)
}

impl<D: IntoResponse> IntoResponse for DoneOrProposed<D> {
    fn into_response(self) -> Response {
        match self {
            Self::Done(answer) => answer.into_response(),
            Self::Proposed(answer) => answer.into_response(),
        }
    }
}

impl<D: Describe> Describe for DoneOrProposed<D> {
    fn describe(operation: &mut Operation) {
        Accepted::<Proposal>::describe(operation);
        operation.other_answer = operation.answer.take();
        D::describe(operation);
    }
}
