//! After a restore from a backup, or after a replica was promoted, the database may lack what was committed last, and boxes
//! know more than it does.
//!
//! A box takes no configuration of a lower version than the one in force: one that was bound elsewhere after the backup would
//! refuse every payment (`binding_mismatch`), while the restored rows say that it has what it should have. Therefore all
//! configurations get a version above everything that was given before, and are pushed again.

use serde_json::json;

use crate::{Actor, Context, Result};

/// Whether this is another database server than the one before; if so, has all configurations pushed again.
pub async fn check(context: &Context) -> Result<()> {
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
        let configs = store::fleet::config::renumber(unit.conn(), now).await?;
        tracing::error!(
            configs,
            "the database was restored or failed over: it may lack what was committed last (docs/backup.md). All \
             configurations are pushed again"
        );
        metrics::counter!("database_restores_total").increment(1);
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
