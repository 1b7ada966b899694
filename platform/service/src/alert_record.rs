//! Opening and closing one alert, by the use case or job that finds the reason.

use domain::alert::{AlertKind, AlertSubject, NewAlert};
use sqlx::PgConnection;
use wire::ids::AlertId;

use super::{Context, Result};

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

/// Closes the alert of this kind for this subject, if one is open.
pub async fn close(context: &Context, kind: AlertKind, subject: &AlertSubject) -> Result<()> {
    let mut conn = context.pool().acquire().await?;
    if store::alert::close(&mut conn, kind, subject, context.clock().now()).await? {
        metrics::counter!("alerts_closed_total", "kind" => kind.as_str()).increment(1);
    }
    Ok(())
}
