//! Incidents: what contradicts what we know, for a person to look at.

use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use wire::ids::IncidentId;

use crate::service::{Checks, Context, Error, Noun, Result, Unit};
use crate::store::payment::incident::{Filter, Incident};
use crate::store::{self, Page};

/// Incidents, newest first.
///
/// # Errors
/// The database's.
pub async fn list(context: &Context, filter: &Filter, page: Page) -> Result<Vec<Incident>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::payment::incident::list(&mut conn, filter, page).await?)
}

/// What a person found out.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolution {
    /// In words.
    #[schema(min_length = 1, max_length = 500)]
    pub resolution: String,
}

/// Closes an incident. It changes nothing else: what is to be done about it is done by its own means.
///
/// # Errors
/// [`Noun::Incident`] not found; [`Error::InvalidState`] when it is closed already.
pub async fn resolve(unit: &mut Unit, id: IncidentId, found: &Resolution) -> Result<Incident> {
    let mut checks = Checks::default();
    checks.text("resolution", &found.resolution, 500);
    checks.finish()?;
    let before = store::payment::incident::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Incident))?;
    unit.catch_up();
    if before.resolved_at.is_some() {
        return Err(Error::InvalidState {
            current: "resolved".into(),
            message: "the incident is resolved already".into(),
        });
    }
    let (now, by) = (unit.now(), unit.actor_name().to_owned());
    store::payment::incident::resolve(unit.conn(), id, now, &by, &found.resolution).await?;
    let after = Incident {
        resolved_at: Some(now),
        resolved_by: Some(by),
        resolution: Some(found.resolution.clone()),
        ..before.clone()
    };
    unit.audit(
        "incident.resolve",
        id,
        Some(json!(before)),
        Some(json!(after)),
    )
    .await?;
    Ok(after)
}
