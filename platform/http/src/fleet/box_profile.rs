//! `/admin/box-profiles`: the kinds of boxes that this platform knows, and what each promises.

use axum::extract::State;
use serde::Serialize;
use service::Context;
use service::fleet::box_profile::{self, ProfileView};
use utoipa::ToSchema;

use crate::auth::Staff;
use crate::auth::grants::DeviceRead;
use crate::envelope::{self, Data};
use crate::error::ApiError;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Devices").get(
        "/admin/box-profiles",
        list,
        "The profiles of boxes, ours first: what each can confirm, has, is sent, and how strong its passwords are",
        &[],
    )
}

/// The profiles of boxes.
#[derive(Debug, Serialize, ToSchema)]
struct BoxProfileList {
    profiles: Vec<ProfileView>,
}

async fn list(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
) -> Result<Data<BoxProfileList>, ApiError> {
    let profiles = box_profile::list(&context);
    envelope::ok(&BoxProfileList { profiles })
}
