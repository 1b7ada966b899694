//! After a restore from a backup, or after a replica was promoted, the database may lack what was committed last, and boxes
//! know more than it does.
//!
//! Sessions that are open may have epochs that the database does not know, and would give to other sessions. Therefore all
//! sessions end: every process finds its lease ended and ends its own, and their boxes connect again, under epochs above all
//! that were given.
//!
//! A box takes no configuration of a lower version than the one in force: one that was bound elsewhere after the backup would
//! refuse every payment (`binding_mismatch`), while the restored rows say that it has what it should have. Therefore all
//! configurations get a version above everything that was given before, and are pushed again.

use serde_json::json;

use crate::{Actor, Context, Result};

/// Why boxes are offline then. It does not count as flapping.
const RESTORED: &str = "database_restored";

/// Whether this is another database server than the one before; if so, ends all sessions and has all configurations pushed
/// again.
pub async fn check(context: &Context) -> Result<()> {
    // So that the first is an increase.
    let restores = metrics::counter!("database_restores_total");
    let mut conn = context.pool().acquire().await?;
    let present = store::database_origin::present(&mut conn).await?;
    if store::database_origin::noted(&mut conn).await? == Some(present) {
        return Ok(());
    }
    drop(conn);
    let mut unit = context.begin(Actor::system()).await?;
    store::database_origin::lock(unit.conn()).await?;
    let before = store::database_origin::noted(unit.conn()).await?;
    // Another process may have been quicker.
    if before == Some(present) {
        return Ok(());
    }
    store::database_origin::note(unit.conn(), present).await?;
    if let Some(before) = before {
        let now = unit.now();
        store::node::end_all(unit.conn()).await?;
        let sessions = store::fleet::session::end_all(unit.conn(), RESTORED, now).await?;
        let configs = store::fleet::config::renumber(unit.conn(), now).await?;
        tracing::error!(
            sessions,
            configs,
            "the database was restored or failed over: it may lack what was committed last (docs/backup.md). All boxes \
             connect again, and all configurations are pushed again"
        );
        restores.increment(1);
        unit.audit(
            "database.restored",
            "database",
            Some(json!({ "system_identifier": before.system_identifier.to_string(), "timeline": before.timeline })),
            Some(json!({ "system_identifier": present.system_identifier.to_string(), "timeline": present.timeline })),
        )
        .await?;
    }
    unit.commit().await?;
    Ok(())
}
