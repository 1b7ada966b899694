//! `/admin/partners`: the configured acquirers, and how it goes with each.

use axum::extract::State;
use service::Context;
use service::payment::partner::{self, View};

use super::callback::PartnerInPath;
use crate::auth::Staff;
use crate::auth::grants::IncidentRead;
use crate::envelope::{self, Data, List};
use crate::error::{ApiError, ErrorCode};
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Callbacks")
        .get(
            "/admin/partners",
            list,
            "The configured acquirers: dialect, last message, refused ones by reason, clock, circuit",
            &[],
        )
        .get(
            "/admin/partners/{partner_id}",
            find,
            "One acquirer",
            &[ErrorCode::PartnerNotFound],
        )
}

async fn list(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
) -> Result<List<View>, ApiError> {
    envelope::list(&partner::list(&context).await?, None)
}

async fn find(
    _staff: Staff<IncidentRead>,
    State(context): State<Context>,
    PartnerInPath(id): PartnerInPath,
) -> Result<Data<View>, ApiError> {
    envelope::ok(&partner::find(&context, &id).await?)
}
