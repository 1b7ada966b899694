//! An answer that is either the result, or 202 with a proposal: a change that a second person must confirm.

use std::ops::Deref;

use axum::response::{IntoResponse, Response};
use serde::Serialize;
use service::money::approval::{Outcome, Proposal};
use service::{Reply, UnitOfWork};

use super::envelope::{self, Accepted};
use super::error::ApiError;
use super::idempotency::{Answer, commit_without};
use super::operation::{Describe, Operation};

/// The result, or the proposal.
pub(super) enum DoneOrProposed<D> {
    /// It was done.
    Done(D),
    /// It waits for a second person.
    Proposed(Accepted<Proposal>),
}

/// Commits with the answer to an outcome; `done` makes the answer when it was done. A repetition under the same
/// idempotency key gets the answer without its secrets: these fields, and the code of a proposal.
pub(super) async fn settle<T: Serialize, D: Deref<Target = Reply>>(
    unit: UnitOfWork,
    outcome: Outcome<T>,
    secrets: &[&str],
    done: impl FnOnce(&T) -> Result<D, ApiError>,
) -> Answer<DoneOrProposed<D>> {
    Ok(match outcome {
        Outcome::Done(made) => {
            DoneOrProposed::Done(commit_without(unit, done(&made)?, secrets).await?)
        }
        Outcome::Proposed(proposal) => {
            let answer = envelope::accepted(proposal.as_ref())?;
            let secrets: &[&str] = match proposal.setup_code {
                Some(_) => &["setup_code"],
                None => &[],
            };
            DoneOrProposed::Proposed(commit_without(unit, answer, secrets).await?)
        }
    })
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
