//! Opening and closing one alert, by the use case or job that finds the reason.

use domain::alert::{AlertKind, AlertSubject, NewAlert};
use serde_json::Value;
use sqlx::PgConnection;
use store::webhook::event::Unannounced;
use wire::ids::AlertId;

use super::{Context, Result, UnitOfWork};

/// Opens an alert outside of any unit of work, unless it is open already. In a unit of work: `UnitOfWork::raise`.
pub async fn open_now(context: &Context, alert: NewAlert) -> Result<()> {
    let mut conn = context.pool().acquire().await?;
    open(context, &mut conn, &[alert]).await
}

/// Opens alerts inside the caller's transaction, in the order of their subjects, so that two transactions that raise the
/// same ones cannot deadlock.
pub(super) async fn open(
    context: &Context,
    conn: &mut PgConnection,
    alerts: &[NewAlert],
) -> Result<()> {
    let now = context.clock().now();
    let unannounced: Vec<Unannounced> = alerts.iter().filter_map(unannounced).collect();
    if !unannounced.is_empty() {
        store::webhook::event::note_unannounced(conn, &unannounced, now).await?;
    }
    let mut sorted: Vec<&NewAlert> = alerts.iter().collect();
    sorted.sort_by(|a, b| (&a.subject, a.kind).cmp(&(&b.subject, b.kind)));
    for alert in sorted {
        let id = AlertId::from_uuid(context.clock().uuid());
        if store::alert::raise(conn, id, alert, now).await? {
            metrics::counter!("alerts_opened_total", "kind" => alert.kind.as_str()).increment(1);
        } else if alert.kind == AlertKind::UnannouncedPayment {
            // A box was unbound yesterday and another is suspended today: people must see the reason that holds now.
            store::alert::renew(conn, alert, now).await?;
        }
    }
    Ok(())
}

/// The payment that an alert is about, if no box can announce it. The alert is of its terminal or merchant and is opened once;
/// endpoints are told of every payment.
fn unannounced(alert: &NewAlert) -> Option<Unannounced> {
    if alert.kind != AlertKind::UnannouncedPayment {
        return None;
    }
    let text = |name: &str| alert.details.get(name).and_then(Value::as_str);
    Some(Unannounced {
        transaction_id: text("transaction_id")?.parse().ok()?,
        reason: text("reason").unwrap_or_default().to_owned(),
    })
}

/// Closes the alert of this kind for this subject in a unit of work, if one is open.
pub(super) async fn close_in(
    unit: &mut UnitOfWork,
    kind: AlertKind,
    subject: &AlertSubject,
) -> Result<()> {
    let now = unit.now();
    if store::alert::close(unit.conn(), kind, subject, now).await? {
        metrics::counter!("alerts_closed_total", "kind" => kind.as_str()).increment(1);
    }
    Ok(())
}

/// Closes the alert of this kind for this subject, if one is open.
pub async fn close(context: &Context, kind: AlertKind, subject: &AlertSubject) -> Result<()> {
    let mut conn = context.pool().acquire().await?;
    if store::alert::close(&mut conn, kind, subject, context.clock().now()).await? {
        metrics::counter!("alerts_closed_total", "kind" => kind.as_str()).increment(1);
    }
    Ok(())
}
