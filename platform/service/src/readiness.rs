//! Whether the process is ready: a probe that writes to the database, at most once a second.

use std::time::Duration;

use store::outage::Outage;
use tokio::time::timeout;

use super::{Context, Result};

/// How long a probe may take, waiting for a connection included.
const PROBE_WITHIN: Duration = Duration::from_secs(2);

/// Whether the database accepts writes.
///
/// # Errors
/// Why it does not.
pub async fn check(context: &Context) -> std::result::Result<(), Outage> {
    let availability = context.availability();
    availability.probed_lately(|| run_probe(context)).await?;
    availability.refused_lately().map_or(Ok(()), Err)
}

async fn run_probe(context: &Context) -> std::result::Result<(), Outage> {
    match timeout(PROBE_WITHIN, probe(context)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the database does not accept writes");
            Err(error.outage().unwrap_or(Outage::StorageFailure))
        }
        Err(_) => Err(Outage::Unreachable),
    }
}

async fn probe(context: &Context) -> Result<()> {
    let mut conn = context.pool().acquire().await?;
    store::write_probe::insert(&mut conn, context.clock().now()).await?;
    drop(conn);
    if context.availability().count_probe() {
        let mut tx = context.transaction().await?;
        // A lock of a reader is not an outage; the next probe tries again.
        if store::write_probe::clear(&mut tx).await.is_ok() {
            tx.commit().await?;
            context.availability().forget_probes();
        }
    }
    Ok(())
}
