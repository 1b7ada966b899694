//! Background jobs: each takes no input, reads from the database what is to be done, and may be run at any time.

use std::future::Future;
use std::time::Duration;

use service::fleet::{bulk_command, command, config_layer, crl, heartbeat_hour, poll, presence};
use service::money::{payout, settlement_run};
use service::partition::{self, Retention};
use service::payment::{notification, partner_order, refund, transaction};
use service::people::audit;
use service::retry::retried;
use service::span;
use service::{Context, Result, alert, database_origin, housekeeping, lists};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::config::Config;

/// How many rows one step of a job changes.
const ROWS_MAX: i64 = 1000;

/// How many orders one step queries partners about.
const QUERIES_MAX: i64 = 32;

/// How many refunds one step asks partners about.
const REFUNDS_MAX: i64 = 32;

/// How many hours of heartbeats one step rolls up: more than one only after an interruption.
const HOURS_MAX: u32 = 24;

/// Starts all jobs.
pub fn start(context: &Context, config: &Config, tasks: &TaskTracker, stop: &CancellationToken) {
    let retention = retention(config);
    let kept = housekeeping::Kept {
        health_days: config.health.retention_days,
        webhook_days: config.webhooks.retention_days,
        heartbeat_hours_days: config.devices.heartbeat_hours_retention_days,
    };
    let every = |name, period, context: &Context| Job {
        name,
        period,
        context: context.clone(),
        stop: stop.clone(),
    };
    let second = Duration::from_secs(1);
    tasks.spawn(
        every("expire_transactions", second, context).run(|context| async move {
            transaction::expire_overdue(&context, ROWS_MAX)
                .await
                .map(drop)
        }),
    );
    tasks.spawn(
        every("query_partner_orders", second, context).run(|context| async move {
            partner_order::query_due(&context, QUERIES_MAX)
                .await
                .map(drop)
        }),
    );
    tasks.spawn(
        every("resume_refunds", second, context).run(|context| async move {
            refund::resume_due(&context, REFUNDS_MAX).await.map(drop)
        }),
    );
    tasks.spawn(
        every("end_stale_notifications", second, context).run(|context| async move {
            notification::end_stale(&context, ROWS_MAX).await.map(drop)
        }),
    );
    tasks.spawn(
        every("seal_audit", 2 * second, context)
            .run(|context| async move { audit::seal(&context, ROWS_MAX).await }),
    );
    tasks.spawn(
        every("end_overdue_commands", second, context)
            .run(|context| async move { command::end_overdue(&context, ROWS_MAX).await.map(drop) }),
    );
    tasks.spawn(every("payouts", second, context).run(|context| async move {
        let caught_up = payout::enqueue_missing(&context, ROWS_MAX).await;
        payout::work(&context, ROWS_MAX).await?;
        caught_up
    }));
    tasks.spawn(
        every("daily_settlement", 30 * second, context)
            .run(|context| async move { settlement_run::daily(&context).await }),
    );
    tasks.spawn(
        every("advance_bulk_commands", second, context)
            .run(|context| async move { bulk_command::advance(&context).await }),
    );
    tasks.spawn(
        every("spread_config_layers", second, context)
            .run(|context| async move { config_layer::spread(&context).await }),
    );
    tasks.spawn(
        every("wake_long_polls", 2 * second, context)
            .run(|context| async move { poll::wake_due(&context).await }),
    );
    tasks.spawn(
        every("end_silent_boxes", 5 * second, context)
            .run(|context| async move { presence::end_silent(&context, ROWS_MAX).await.map(drop) }),
    );
    tasks.spawn(
        every("check_database_origin", 5 * second, context)
            .run(|context| async move { database_origin::check(&context).await }),
    );
    if context.lists().age_max().is_some() {
        tasks.spawn(
            every("check_replica", second, context)
                .run(|context| async move { lists::check(&context).await }),
        );
    }
    let check_interval = Duration::from_secs(config.health.check_interval_s.into());
    tasks.spawn(
        every("look_for_alerts", check_interval, context)
            .run(|context| async move { alert::check(&context, ROWS_MAX).await }),
    );
    tasks.spawn(
        every("roll_up_heartbeats", 5 * second, context).run(move |context| async move {
            heartbeat_hour::roll_up(&context, retention.heartbeat_days, HOURS_MAX).await
        }),
    );
    tasks.spawn(
        every("forget_expired", 60 * second, context)
            .run(|context| async move { housekeeping::forget_expired(&context, ROWS_MAX).await }),
    );
    let crl_file = config.pki.crl_file.clone();
    let crl_period = Duration::from_secs(config.pki.crl_refresh_s.into());
    tasks.spawn(
        every("publish_crl", crl_period, context).run(move |context| {
            let file = crl_file.clone();
            async move {
                if file.as_os_str().is_empty() {
                    crl::refresh(&context).await.map(drop)
                } else {
                    crl::publish(&context, &file).await
                }
            }
        }),
    );
    tasks.spawn(
        every("forget_history", 60 * second, context).run(move |context| async move {
            housekeeping::forget_history(&context, kept, ROWS_MAX).await
        }),
    );
    tasks.spawn(
        every("partitions", 3600 * second, context)
            .run(move |context| async move { partition::maintain(&context, retention).await }),
    );
}

/// For how many days each partitioned table is kept.
pub fn retention(config: &Config) -> Retention {
    Retention {
        heartbeat_days: config.devices.heartbeat_retention_days,
        callback_body_days: config.callbacks.archive_days,
        rejected_callback_days: config.callbacks.rejected_days,
        rejected_uplink_days: config.devices.rejected_uplink_days,
    }
}

struct Job {
    name: &'static str,
    period: Duration,
    context: Context,
    stop: CancellationToken,
}

impl Job {
    async fn run<W, F>(self, work: W)
    where
        W: Fn(Context) -> F,
        F: Future<Output = Result<()>>,
    {
        let mut ticks = interval(self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            // What is cut off here is rolled back by the database and done again at the next start.
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.run_once(&work).instrument(span::job(self.name)) => {}
            }
        }
    }

    async fn run_once<W, F>(&self, work: &W)
    where
        W: Fn(Context) -> F,
        F: Future<Output = Result<()>>,
    {
        if let Err(error) = retried(|| work(self.context.clone())).await {
            if let Some(outage) = error.outage() {
                self.context.availability().note(outage);
            }
            metrics::counter!("job_failures_total", "job" => self.name).increment(1);
            tracing::warn!(%error, "a job failed and will be run again");
        }
    }
}
