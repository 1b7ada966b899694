//! An answer that is either what was asked for, or 202: a change of money that waits for a second person.

use std::ops::Deref;

use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::envelope::{self, Accepted};
use super::error::ApiError;
use super::idempotency::Halt;
use super::operation::{Describe, Operation};
use crate::service::money::approval::Outcome;
use crate::service::{Reply, Unit};
use crate::store::money::approval::Approval;

/// What was asked for, or the proposal that it became.
pub(super) enum Waits<D> {
    /// It happened.
    Done(D),
    /// It waits.
    Waiting(Accepted<Approval>),
}

/// Commits with the answer to an outcome; `done` makes the answer when it happened.
pub(super) async fn settle<T: Serialize, D: Deref<Target = Reply>>(
    unit: Unit,
    outcome: Outcome<T>,
    done: impl FnOnce(&T) -> Result<D, ApiError>,
) -> Result<Waits<D>, Halt> {
    let answer = match outcome {
        Outcome::Done(made) => Waits::Done(done(&made)?),
        Outcome::Waits(approval) => Waits::Waiting(envelope::accepted(approval.as_ref())?),
    };
    let reply: &Reply = match &answer {
        Waits::Done(answer) => answer,
        Waits::Waiting(answer) => answer,
    };
    unit.commit_with(reply).await?;
    Ok(answer)
}

impl<D: IntoResponse> IntoResponse for Waits<D> {
    fn into_response(self) -> Response {
        match self {
            Self::Done(answer) => answer.into_response(),
            Self::Waiting(answer) => answer.into_response(),
        }
    }
}

impl<D: Describe> Describe for Waits<D> {
    fn describe(operation: &mut Operation) {
        Accepted::<Approval>::describe(operation);
        operation.other_answer = operation.answer.take();
        D::describe(operation);
    }
}
