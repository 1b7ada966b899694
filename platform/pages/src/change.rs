//! A change that a page makes: what a press of a button does.

use axum::response::Redirect;
use domain::role::Permission;
use service::money::approval::Outcome;
use service::{Context, Error, UnitOfWork};

use crate::fault::Fault;
use crate::session::Viewer;

impl Viewer {
    /// Lets `act` make a change in one unit of work of this viewer's, and commits it. What `act` refuses never happened.
    ///
    /// # Errors
    /// FORBIDDEN without the permission; what `act` refuses; the database's.
    pub(crate) async fn change<T>(
        &self,
        context: &Context,
        permission: Permission,
        act: impl AsyncFnOnce(&mut UnitOfWork) -> Result<T, Error>,
    ) -> Result<T, Fault> {
        let tried = self.attempt(context, permission, act).await?;
        tried.map_err(|error| self.fault(error))
    }

    /// The same for a form that is shown again, with what was typed, when the change is refused: `Ok(Err(_))`, for what the
    /// person can correct.
    ///
    /// # Errors
    /// What no other text in the form would change.
    pub(crate) async fn attempt<T>(
        &self,
        context: &Context,
        permission: Permission,
        act: impl AsyncFnOnce(&mut UnitOfWork) -> Result<T, Error>,
    ) -> Result<Result<T, Error>, Fault> {
        self.must(permission)?;
        let changed = async {
            let mut unit = context.begin(self.actor()).await?;
            let made = act(&mut unit).await?;
            unit.commit().await?;
            Ok(made)
        };
        match changed.await {
            Err(error) if !is_correctable(&error) => Err(self.fault(error)),
            tried => Ok(tried),
        }
    }
}

/// Whether a person can do something about it in the form: it is shown again with what was typed.
pub(crate) fn is_correctable(error: &Error) -> bool {
    matches!(
        error,
        Error::Validation(_)
            | Error::Duplicate { .. }
            | Error::InvalidState { .. }
            | Error::InvalidAmount(_)
            | Error::SettlementNotEligible(_)
            | Error::NotFound(_)
            | Error::RateLimited { .. }
            | Error::TooLarge
            | Error::Malformed(_)
    )
}

/// Where a change leads that may need a second person: to `done`, or to the proposal that waits.
pub(crate) fn led_by<T>(outcome: &Outcome<T>, done: &str) -> Redirect {
    match outcome {
        Outcome::Done(_) => Redirect::to(done),
        Outcome::Proposed(proposal) => {
            Redirect::to(&format!("/console/approvals/{}", proposal.approval.id))
        }
    }
}
