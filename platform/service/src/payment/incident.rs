//! Incidents: what contradicts what we know, for a person to look at.

use domain::alert::{AlertKind, AlertSubject, NewAlert};
use serde::Deserialize;
use serde_json::json;
use store::Page;
use store::payment::incident::{Filter, Incident, NewIncident};
use utoipa::ToSchema;
use wire::ids::IncidentId;

use crate::{Checks, Context, Error, Noun, Result, UnitOfWork};

/// Keeps an incident and raises an alert for its partner, which is open until the partner's last incident is resolved.
pub(crate) async fn open(unit: &mut UnitOfWork, incident: &NewIncident<'_>) -> Result<()> {
    store::payment::incident::insert(unit.conn(), incident).await?;
    unit.raise(NewAlert::new(
        AlertKind::Incident,
        AlertSubject::Partner(incident.partner_id.to_owned()),
        json!({ "incident_id": incident.id, "kind": incident.kind, "transaction_id": incident.transaction_id }),
    ));
    Ok(())
}

/// Incidents, newest first.
pub async fn list(context: &Context, filter: &Filter, page: Page) -> Result<Vec<Incident>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::payment::incident::list(&mut conn, filter, page).await?)
}

/// One incident.
///
/// # Errors
/// [`Noun::Incident`] not found.
pub async fn get(context: &Context, id: IncidentId) -> Result<Incident> {
    let mut conn = context.pool().acquire().await?;
    store::payment::incident::find(&mut conn, id)
        .await?
        .ok_or(Error::NotFound(Noun::Incident))
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
pub async fn resolve(
    unit: &mut UnitOfWork,
    id: IncidentId,
    found: &Resolution,
) -> Result<Incident> {
    let mut checks = Checks::default();
    checks.text("resolution", &found.resolution, 500);
    checks.finish()?;
    let before = store::payment::incident::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Incident))?;
    unit.refresh_now();
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
