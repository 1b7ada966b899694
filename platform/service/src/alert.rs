//! Alerts: the job that finds and closes them, the list, and their acknowledgement. [`super::alert_record`] opens single ones.

use domain::alert::{AlertKind, AlertState};
use serde_json::json;
use store::alert::{Alert, Filter};
use store::{Page, Period};
use uuid::Uuid;
use wire::ids::{AlertId, DeviceId, MerchantId};

use crate::retry::retried;
use crate::{Checks, Context, Error, Noun, Result, UnitOfWork};

/// Checks the conditions of all kinds once: closes alerts whose condition is over, opens up to `limit` alerts of each kind.
/// It can be run at any time, by several processes at once; a subject has at most one open alert of a kind.
pub async fn check(context: &Context, limit: i64) -> Result<()> {
    let mut outcome = Ok(());
    for kind in AlertKind::ALL.iter().copied() {
        // One kind that fails does not prevent the others.
        if let Err(error) = retried(|| check_kind(context, kind, limit)).await {
            tracing::warn!(kind = kind.as_str(), %error, "the conditions of a kind of alert could not be checked");
            outcome = Err(error);
        }
    }
    outcome
}

async fn check_kind(context: &Context, kind: AlertKind, limit: i64) -> Result<()> {
    let policy = context.settings().health;
    let now = context.clock().now();
    let mut conn = context.pool().acquire().await?;
    let closed = store::fleet::health::close(&mut conn, kind, &policy, now).await?;
    metrics::counter!("alerts_closed_total", "kind" => kind.as_str()).increment(closed);
    if !kind.is_searched_for() {
        return Ok(());
    }
    let findings = store::fleet::health::find(&mut conn, kind, &policy, now, limit).await?;
    let ids: Vec<Uuid> = findings.iter().map(|_| context.clock().uuid()).collect();
    let opened = store::alert::open(&mut conn, kind, &ids, &findings, now).await?;
    metrics::counter!("alerts_opened_total", "kind" => kind.as_str()).increment(opened);
    Ok(())
}

/// The filter of a client.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is a filter of the same name")]
pub struct Wanted {
    pub state: Option<String>,
    pub kind: Option<String>,
    pub device_id: Option<DeviceId>,
    pub merchant_id: Option<MerchantId>,
    pub acknowledged: Option<bool>,
    pub q: Option<String>,
    pub period: Period,
}

/// Alerts, newest first.
///
/// # Errors
/// A state or kind that does not exist.
pub async fn list(context: &Context, wanted: &Wanted, page: Page) -> Result<Vec<Alert>> {
    let mut checks = Checks::default();
    let state: Option<AlertState> = wanted
        .state
        .as_deref()
        .and_then(|text| checks.parse("state", text));
    let kind: Option<AlertKind> = wanted
        .kind
        .as_deref()
        .and_then(|text| checks.parse("kind", text));
    checks.finish()?;
    let filter = Filter {
        open: state.map(|state| state == AlertState::Open),
        kind,
        device_id: wanted.device_id,
        merchant_id: wanted.merchant_id,
        acknowledged: wanted.acknowledged,
        q: wanted.q.clone(),
        period: wanted.period,
    };
    let mut conn = context.lists().acquire().await?;
    Ok(store::alert::list(&mut conn, None, &filter, page).await?)
}

/// Acknowledges an alert. A second acknowledgement changes nothing: the first one stays.
///
/// # Errors
/// [`Noun::Alert`] not found.
pub async fn acknowledge(unit: &mut UnitOfWork, id: AlertId) -> Result<Alert> {
    let now = unit.now();
    let by = unit.actor_name().to_owned();
    let first = store::alert::acknowledge(unit.conn(), id, &by, now).await?;
    let one = Page {
        limit: 1,
        after: None,
    };
    let mut found = store::alert::list(unit.conn(), Some(id), &Filter::default(), one).await?;
    let alert = found.pop().ok_or(Error::NotFound(Noun::Alert))?;
    if first {
        unit.audit("alert.acknowledge", id, None, Some(json!(alert)))
            .await?;
    }
    Ok(alert)
}
