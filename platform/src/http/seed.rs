//! `/admin/seed`: demonstration data.

use axum::extract::State;
use axum::routing::post;

use super::auth::Staff;
use super::auth::grants::SeedWrite;
use super::envelope;
use super::idempotency::{Answer, Keyed, begin};
use super::json::Action;
use super::routes::Routes;
use crate::service::Context;
use crate::service::seed::{self, SeedRequest};

pub(super) fn routes() -> Routes {
    Routes::new().route("/admin/seed", post(create))
}

async fn create(
    staff: Staff<SeedWrite>,
    State(context): State<Context>,
    request: Keyed<Action<SeedRequest>>,
) -> Answer {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let seeded = seed::seed(&mut unit, &request.body.0).await?;
    let reply = envelope::ok(&seeded)?;
    unit.commit_with(&envelope::without(&reply, &["activation_code"])?)
        .await?;
    Ok(reply)
}
