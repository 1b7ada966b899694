//! `/admin/seed`: demonstration data.

use axum::extract::State;
use service::Context;
use service::seed::{self, SeedRequest, Seeded};

use super::auth::Staff;
use super::auth::grants::SeedWrite;
use super::envelope::{self, Data};
use super::idempotency::{Answer, Keyed, begin, commit_without};
use super::json::Action;
use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Demonstration").post(
        "/admin/seed",
        create,
        "Makes the demonstration's merchants and boxes, where demo.enabled",
        &[],
    )
}

async fn create(
    staff: Staff<SeedWrite>,
    State(context): State<Context>,
    request: Keyed<Action<SeedRequest>>,
) -> Answer<Data<Seeded>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let seeded = seed::seed(&mut unit, &request.body.0).await?;
    commit_without(unit, envelope::ok(&seeded)?, &["activation_code"]).await
}
