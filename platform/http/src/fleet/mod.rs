//! The devices: identity, presence, commands and configuration.

mod audio;
mod bootstrap;
mod box_profile;
mod bulk_command;
mod command;
mod config;
mod credential;
mod crl;
mod device;
mod firmware;
mod heartbeat;
mod import;
mod presence;
mod provisioning;
mod summary;

pub use bulk_command::{rollout_file, target_file};
pub use config::drift_file;
pub use firmware::firmware_file;
pub use import::device_file;

use super::routes::Routes;

/// The routes of these nouns.
pub(super) fn routes() -> Routes {
    device::routes()
        .merge(provisioning::routes())
        .merge(bootstrap::routes())
        .merge(credential::routes())
        .merge(crl::routes())
        .merge(presence::routes())
        .merge(summary::routes())
        .merge(heartbeat::routes())
        .merge(import::routes())
        .merge(box_profile::routes())
        .merge(audio::routes())
        .merge(command::routes())
        .merge(bulk_command::routes())
        .merge(firmware::routes())
        .merge(config::routes())
}
