//! The limit of open descriptors, compared with the connections that the configuration allows.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::database::payment_connections;
use crate::config::Config;

/// Descriptors for other uses: listening sockets, files, pipes of child processes, the runtime.
const OTHERS: u64 = 256;

/// Raises the limit as far as the system allows, and warns when it is too low for the configured connections.
pub(super) fn prepare(config: &Config) {
    let allowed = match raise() {
        Ok(allowed) => allowed,
        Err(error) => {
            tracing::warn!(%error, "the limit on open descriptors (RLIMIT_NOFILE) could not be raised");
            return;
        }
    };
    if let Some(warning) = complaint(allowed, needed(config)) {
        tracing::warn!("{warning}");
    }
}

/// The soft limit becomes the hard one.
fn raise() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

fn needed(config: &Config) -> u64 {
    let servers = if config.database.lists_url.is_empty() {
        1
    } else {
        2
    };
    let list_connections = config.database.list_connections_max.saturating_mul(servers);
    let connections = [
        config.mqtt.connections_max,
        config.http.connections_max,
        config.database.connections_max as usize,
        list_connections as usize,
        payment_connections(config) as usize,
    ];
    connections
        .iter()
        .map(|count| u64::try_from(*count).unwrap_or(u64::MAX))
        .fold(OTHERS, u64::saturating_add)
}

fn complaint(allowed: u64, needed: u64) -> Option<String> {
    (allowed < needed).then(|| {
        format!(
            "this process may open {allowed} descriptors (RLIMIT_NOFILE), and needs {needed} for the configured \
             connections: mqtt.connections_max + http.connections_max + database.connections_max + \
             database.list_connections_max + callbacks.batches_at_once + 1 + {OTHERS}. Beyond it all connections are refused. Raise the \
             limit (LimitNOFILE= in systemd, --ulimit nofile= in Docker) or lower the connections"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_said_with_its_numbers() {
        let mut config = Config::load(None).unwrap();
        config.mqtt.connections_max = 1_000;
        config.http.connections_max = 200;
        config.database.connections_max = 20;
        config.database.list_connections_max = 6;
        config.callbacks.batches_at_once = 2;
        assert_eq!(needed(&config), 1_485);
        assert_eq!(complaint(1_485, needed(&config)), None);
        let complaint = complaint(1_484, needed(&config)).unwrap();
        for part in ["1484", "1485", "mqtt.connections_max", "LimitNOFILE"] {
            assert!(complaint.contains(part), "{part}: {complaint}");
        }
    }

    #[test]
    fn the_limit_is_raised_to_what_the_system_allows() {
        let allowed = raise().unwrap();
        assert_eq!(
            getrlimit(Resource::RLIMIT_NOFILE).unwrap(),
            (allowed, allowed)
        );
    }
}
