//! The ports that the platform listens on.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// How long a port that is in use is waited for.
const PORT_FREE_WITHIN: Duration = Duration::from_secs(5);
const PORT_POLL: Duration = Duration::from_millis(50);

/// Waits some seconds while the port is in use: a predecessor that was killed under many sessions is still closing them.
/// Whether the port is free in the end shows when it is bound.
pub(super) async fn wait_until_free(address: SocketAddr, key: &str) {
    let deadline = Instant::now() + PORT_FREE_WITHIN;
    let mut logged = false;
    while address.port() != 0
        && Instant::now() < deadline
        && let Err(error) = std::net::TcpListener::bind(address)
        && error.kind() == io::ErrorKind::AddrInUse
    {
        if !logged {
            tracing::warn!(
                "{address} ({key}) is in use; waiting up to {} s for it",
                PORT_FREE_WITHIN.as_secs()
            );
            logged = true;
        }
        tokio::time::sleep(PORT_POLL).await;
    }
}

/// Listens on the address.
pub(super) async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| cannot_listen(address, key))
}

/// The error text, with the key and the variable that sets it.
pub(super) fn cannot_listen(address: SocketAddr, key: &str) -> String {
    let variable = key.to_uppercase().replace('.', "__");
    format!("cannot listen on {address} ({key}; SOUNDBOX__{variable} sets another, port 0 any)")
}

/// An address with a port number: that of MQTT must be known before the edge starts, because it is part of devices'
/// configuration.
pub(super) fn reserve(address: SocketAddr, key: &str) -> anyhow::Result<SocketAddr> {
    if address.port() != 0 {
        return Ok(address);
    }
    let probe =
        std::net::TcpListener::bind(address).with_context(|| cannot_listen(address, key))?;
    Ok(probe.local_addr()?)
}

/// [`reserve`] for a listener that may be off, after [`wait_until_free`].
pub(super) async fn reserve_optional(
    address: Option<SocketAddr>,
    key: &str,
) -> anyhow::Result<Option<SocketAddr>> {
    let Some(address) = address else {
        return Ok(None);
    };
    wait_until_free(address, key).await;
    reserve(address, key).map(Some)
}
