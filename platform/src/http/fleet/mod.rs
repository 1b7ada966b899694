//! The boxes: identity, presence, orders and configuration.

mod command;
mod config;
mod device;
mod heartbeat;
mod provisioning;

use super::routes::Routes;

/// The routes of these nouns.
pub(super) fn routes() -> Routes {
    device::routes()
        .merge(provisioning::routes())
        .merge(heartbeat::routes())
        .merge(command::routes())
        .merge(config::routes())
}
