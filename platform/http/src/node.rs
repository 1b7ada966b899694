//! `/admin/nodes`: the processes that share the database.

use axum::extract::State;
use serde::Serialize;
use service::Context;
use service::node::{self, NodeView};
use utoipa::ToSchema;

use crate::auth::Staff;
use crate::auth::grants::DeviceRead;
use crate::envelope::{self, Data};
use crate::error::ApiError;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Nodes").get(
        "/admin/nodes",
        list,
        "The processes that share the database, by name: their leases, their sessions, and those that ended within a day",
        &[],
    )
}

/// The nodes.
#[derive(Debug, Serialize, ToSchema)]
struct NodeList {
    nodes: Vec<NodeView>,
}

async fn list(
    _: Staff<DeviceRead>,
    State(context): State<Context>,
) -> Result<Data<NodeList>, ApiError> {
    let nodes = node::list(&context).await?;
    envelope::ok(&NodeList { nodes })
}
