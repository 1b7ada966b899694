//! The whole platform: built from a [`Config`], run, and stopped in order.
//!
//! ```text
//! database → migrations → leftovers of an earlier life → bridge → MQTT edge → HTTPS → jobs
//! ```
//!
//! Stopping goes the other way: no new work, then what is in hand is finished, then the database.

mod database;
mod descriptors;
mod keys;
mod partners;
mod pki;
mod problems;
mod secrets;
mod server_certificate;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use broker::{Edge, EdgeConfig, EdgeError, EdgeHandle};
use chrono::TimeDelta;
use domain::announcement::{AnnouncementPolicy, ResendPolicy};
use domain::health::HealthPolicy;
use domain::payment_time::ClockPolicy;
use governor::Quota;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::Rupiah;

use self::problems::Problems;
use self::secrets::Secrets;
use self::server_certificate::ServerCertificate;
use crate::bridge::Bridge;
use crate::clock::Clock;
use crate::config::{Config, Switch};
use crate::http::metrics::Operations;
use crate::http::{self, listener};
use crate::jobs;
use crate::partner::local::Local;
use crate::postgres;
use crate::service::context::Parts;
use crate::service::fleet::long_poll::LongPolls;
use crate::service::money::payout::RetryBackoff;
use crate::service::money::settlement_run::Daily;
use crate::service::payment::callback::RejectedBudget;
use crate::service::signal::Signals;
use crate::service::{self, Context, Settings};

pub use database::{connect, migrate, open, problem};

/// How long a port that is in use is waited for.
const PORT_FREE_WITHIN: Duration = Duration::from_secs(5);
const PORT_POLL: Duration = Duration::from_millis(50);
/// How long jobs and the bridge may take to end.
const TASKS_END_WITHIN: Duration = Duration::from_secs(10);

/// The longest that a box on HTTP may have its answer held back.
const LONG_POLL_MAX: Duration = Duration::from_secs(25);
/// What is left of a request's time for the answer itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What a caller may put in the place of the usual.
#[derive(Debug, Default)]
pub struct Options {
    /// The clock; the system's unless a test moves it.
    pub clock: Clock,
    /// Make a fleet CA when there is none, as a demonstration does. In production that is a person's decision.
    pub make_ca: bool,
    /// Where metrics are recorded; made when absent. A process has one recorder.
    pub metrics: Option<PrometheusHandle>,
}

/// A running platform.
pub struct App {
    context: Context,
    http: SocketAddr,
    mqtt: SocketAddr,
    metrics: SocketAddr,
    edge: EdgeHandle,
    server: Option<postgres::Server>,
    root_pem: String,
    config: Config,
    certificate: Arc<ServerCertificate>,
    tasks: TaskTracker,
    /// No new connections; sessions and requests are being ended.
    soft: CancellationToken,
    /// Jobs and bridge end, after the last session.
    hard: CancellationToken,
}

impl App {
    /// Starts everything; when this returns, boxes can connect and requests are answered.
    ///
    /// # Errors
    /// Whatever is missing or does not fit, in words for the operator.
    pub async fn start(config: &Config, options: Options) -> anyhow::Result<Self> {
        let (soft, hard, tasks) = (
            CancellationToken::new(),
            CancellationToken::new(),
            TaskTracker::new(),
        );
        let metrics_handle = match options.metrics {
            Some(handle) => handle,
            None => http::metrics::record().context("cannot record metrics")?,
        };
        let mut problems = Problems::default();
        let pki = problems.keep(pki::load(config, &options.clock, options.make_ca));
        let secrets = secrets::load(config, &options.clock, &mut problems);
        problems.finish(config.file.as_deref())?;
        let pki = pki.context("the fleet's CA was not read")?;
        let (server, pool) = database::open(config).await?;
        database::migrate(&pool).await?;

        // The sockets are bound before the settings are made, because boxes are told the real ports.
        port_is_free(config.http.listen, "http.listen").await;
        port_is_free(config.mqtt.listen, "mqtt.listen").await;
        let http_listener = bind(config.http.listen, "http.listen").await?;
        let metrics_listener = bind(config.metrics.listen, "metrics.listen").await?;
        let (signals, receivers) =
            service::signal::channel(LongPolls::new(config.http.long_polls_max, soft.clone()));
        let mqtt_listen = reserve(config.mqtt.listen)?;
        let context = context(
            config,
            &options.clock,
            pool.clone(),
            mqtt_listen.port(),
            signals,
            secrets,
        )?;
        service::money::fee::ensure_basic(&context)
            .await
            .context("cannot make the fee profile fee_basic")?;
        service::fleet::session::end_leftovers(&context)
            .await
            .context("cannot end the sessions of an earlier run")?;
        service::partition::maintain(&context, jobs::retention(config))
            .await
            .context("cannot make the partitions of the coming days")?;

        let bridge = Bridge::new(context.clone(), &tasks, &hard);
        let edge_config = EdgeConfig {
            listen: mqtt_listen,
            tls: pki.mqtt,
            limits: edge_limits(config),
        };
        let edge = Edge::start(edge_config, bridge.host(), soft.clone())
            .await
            .map_err(|error| match error {
                EdgeError::Listen { address, source } => {
                    anyhow::Error::new(source).context(cannot_listen(address, "mqtt.listen"))
                }
                error => error.into(),
            })?;
        bridge.run(edge.clone(), receivers, &tasks, &hard);

        let http = http_listener.local_addr()?;
        let router = http::router(
            context.clone(),
            http::Limits {
                body_bytes_max: config.http.body_bytes_max,
                body_bytes_in_flight_max: config.http.body_bytes_in_flight_max,
                request: Duration::from_millis(config.http.request_timeout_ms),
                rates: rates(config),
            },
        );
        let transport = match config.http.tls {
            Switch::On => listener::Transport::Tls(Arc::new(ArcSwap::new(pki.https))),
            Switch::Off => listener::Transport::Plain,
        };
        descriptors::prepare(config);
        let direct = config.http.tls == Switch::On;
        let limits = listener::Limits {
            connections_max: config.http.connections_max,
            connections_per_address_max: if direct {
                config.http.connections_per_address_max
            } else {
                config.http.connections_max
            },
            accepts_per_address_per_s: if direct {
                config.http.accept_rate_per_address_per_s
            } else {
                0
            },
            shutdown: Duration::from_millis(config.http.shutdown_timeout_ms),
            ..listener::Limits::default()
        };
        tasks.spawn(listener::serve(
            http_listener,
            transport,
            router,
            limits,
            soft.clone(),
        ));
        let metrics = metrics_listener.local_addr()?;
        let operations = Operations {
            context: context.clone(),
            prometheus: metrics_handle,
            stop: soft.clone(),
        };
        let plain = listener::Transport::Plain;
        tasks.spawn(listener::serve(
            metrics_listener,
            plain,
            http::metrics::router(operations),
            limits,
            hard.clone(),
        ));
        jobs::start(&context, config, &tasks, &hard);
        tasks.spawn(Arc::clone(&pki.certificate).watch(
            context.clone(),
            TimeDelta::days(config.pki.server_certificate_warning_days.into()),
            hard.clone(),
        ));

        Ok(Self {
            context,
            http,
            mqtt: edge.local_addr(),
            metrics,
            edge,
            server,
            root_pem: pki.root_pem,
            config: config.clone(),
            certificate: pki.certificate,
            tasks,
            soft,
            hard,
        })
    }

    /// Where HTTPS is answered.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Where boxes connect.
    pub fn mqtt_addr(&self) -> SocketAddr {
        self.mqtt
    }

    /// Where health and metrics are answered.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics
    }

    /// What use cases stand on.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The MQTT edge.
    pub fn edge(&self) -> &EdgeHandle {
        &self.edge
    }

    /// The certificate that verifies HTTPS and MQTT.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// Reads the server's certificate again (or issues another, when it is our own), for the connections to come.
    ///
    /// # Errors
    /// Files that do not read or do not go together; then the present certificate stays.
    pub fn reload_certificate(&self) -> anyhow::Result<()> {
        self.certificate.reload(&self.config, self.context.clock())
    }

    /// The embedded database's URL, when it is ours.
    pub fn embedded_database_url(&self) -> Option<&str> {
        self.server.as_ref().map(postgres::Server::database_url)
    }

    /// Completes when the embedded database ends without being asked to; never, when there is none.
    pub async fn database_lost(&self) {
        match &self.server {
            Some(server) => {
                server.exited().await;
            }
            None => std::future::pending().await,
        }
    }

    /// Finishes what is in hand and ends.
    ///
    /// # Errors
    /// An embedded database that does not stop.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.soft.cancel();
        self.edge.stopped().await;
        if let Err(error) = service::fleet::session::end_leftovers(&self.context).await {
            tracing::warn!(%error, "the end of the sessions is left to the next start");
        }
        self.hard.cancel();
        self.tasks.close();
        if tokio::time::timeout(TASKS_END_WITHIN, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(left = self.tasks.len(), "tasks did not end in time");
        }
        self.context.close().await;
        if let Some(server) = self.server {
            server
                .stop()
                .await
                .context("the embedded Postgres did not stop")?;
        }
        Ok(())
    }
}

/// The database and what use cases stand on, without a server: for a command that does one thing and ends. It has no keys
/// and no partners, because it sends nothing. The embedded database is the caller's to stop.
///
/// # Errors
/// As [`App::start`].
pub async fn offline(config: &Config) -> anyhow::Result<(Option<postgres::Server>, Context)> {
    let (server, pool) = database::open(config).await?;
    if server.is_some() {
        // Nobody else uses it now; another database is for `platform migrate`.
        database::migrate(&pool).await?;
    } else {
        database::must_be_current(&pool).await?;
    }
    let (signals, _nobody) = service::signal::channel(LongPolls::new(0, CancellationToken::new()));
    let context = context(
        config,
        &Clock::system(),
        pool,
        config.mqtt.listen.port(),
        signals,
        None,
    )?;
    Ok((server, context))
}

fn context(
    config: &Config,
    clock: &Clock,
    pool: PgPool,
    mqtt_port: u16,
    signals: Signals,
    secrets: Option<Secrets>,
) -> anyhow::Result<Context> {
    let settings = settings(config, mqtt_port);
    let settings = match &config.file {
        Some(file) => settings.with_context(|| file.display().to_string())?,
        None => settings?,
    };
    let (keys, qris_partners, qr_partners, payout_partners) = match secrets {
        Some(secrets) => (
            Some(secrets.keys),
            secrets.qris_partners,
            secrets.qr_partners,
            secrets.payout_partners,
        ),
        None => (None, HashMap::new(), HashMap::new(), HashMap::new()),
    };
    Ok(Context::new(Parts {
        list_pool: database::for_lists(config, &pool),
        pool,
        clock: clock.clone(),
        settings,
        keys,
        qris_partners,
        qr_partners,
        local: Arc::new(Local),
        payout_partners,
        rejected_budget: RejectedBudget::new(
            config.callbacks.rejected_per_minute_max,
            config.callbacks.rejected_per_address_per_minute_max,
        ),
        rejected_uplinks: Quota::per_minute(
            NonZeroU32::new(config.devices.rejected_uplinks_per_minute_max)
                .unwrap_or(NonZeroU32::MIN),
        ),
        signals,
    }))
}

/// Waits for some seconds while somebody else listens there: a predecessor that was killed under many sessions is still
/// closing them. Whether it is free in the end, binding shows.
async fn port_is_free(address: SocketAddr, key: &str) {
    let deadline = Instant::now() + PORT_FREE_WITHIN;
    let mut told = false;
    while address.port() != 0
        && Instant::now() < deadline
        && let Err(error) = std::net::TcpListener::bind(address)
        && error.kind() == io::ErrorKind::AddrInUse
    {
        if !told {
            tracing::warn!(
                "{address} ({key}) is in use; waiting up to {} s for it",
                PORT_FREE_WITHIN.as_secs()
            );
            told = true;
        }
        tokio::time::sleep(PORT_POLL).await;
    }
}

async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| cannot_listen(address, key))
}

/// Names the key, and the variable that sets it.
fn cannot_listen(address: SocketAddr, key: &str) -> String {
    let variable = key.to_uppercase().replace('.', "__");
    format!("cannot listen on {address} ({key}; SOUNDBOX__{variable} sets another, port 0 any)")
}

/// Port 0 for MQTT: the number must be known before the edge starts, because it is told to boxes.
fn reserve(address: SocketAddr) -> anyhow::Result<SocketAddr> {
    if address.port() != 0 {
        return Ok(address);
    }
    let probe = std::net::TcpListener::bind(address)
        .with_context(|| cannot_listen(address, "mqtt.listen"))?;
    Ok(probe.local_addr()?)
}

fn settings(config: &Config, mqtt_port: u16) -> anyhow::Result<Settings> {
    let seconds = |seconds: u32| TimeDelta::seconds(i64::from(seconds));
    let days = |days: u32| TimeDelta::days(i64::from(days));
    let mqtt_host = match config.mqtt.public_host.as_str() {
        "" => config.pki.server_names.first().cloned().unwrap_or_default(),
        host => host.to_owned(),
    };
    Ok(Settings {
        node: config.node.clone(),
        reserved_words: config.announcements.reserved_words.clone(),
        announcement: AnnouncementPolicy {
            plain_for: seconds(config.announcements.delayed_after_s),
            announce_for: seconds(config.announcements.window_s),
        },
        resend: ResendPolicy {
            first: Duration::from_secs(config.announcements.resend_first_s.into()),
            longest: Duration::from_secs(config.announcements.resend_max_s.into()),
        },
        amount_max: Rupiah::from_i64(config.payments.amount_max),
        clocks: ClockPolicy {
            skew_max: seconds(config.payments.clock_skew_max_s),
            age_max: TimeDelta::hours(i64::from(config.payments.paid_at_age_max_h)),
        },
        qr_lifetime: seconds(config.payments.qr_lifetime_s),
        query_before_expiry: seconds(config.payments.query_before_expiry_s),
        // Twice what the call itself may take: whoever waits for it is then surely gone.
        partner_lease: TimeDelta::milliseconds(
            i64::try_from(config.payments.partner_timeout_ms.saturating_mul(4)).unwrap_or(60_000),
        ),
        qr_partner: partners::issuing(config)?,
        acquirer_guid: config
            .payments
            .acquirer_guid
            .parse()
            .context("configuration: payments.acquirer_guid")?,
        certificate_lifetime: days(config.pki.device_certificate_days),
        rsa_device_keys: config.pki.rsa_keys(),
        crl_lifetime: TimeDelta::hours(i64::from(config.pki.crl_valid_h)),
        device_token_lifetime: days(config.devices.token_days),
        activation_code_lifetime: days(config.devices.activation_code_days),
        activation_failures_max: i64::from(config.devices.activation_failures_per_hour_max),
        activation_failures_per_address_max: i64::from(
            config.devices.activation_failures_per_address_per_hour_max,
        ),
        heartbeat_interval_s: config.devices.heartbeat_interval_s,
        long_poll_max: LONG_POLL_MAX.min(
            Duration::from_millis(config.http.request_timeout_ms).saturating_sub(ANSWER_WITHIN),
        ),
        health: health(config)?,
        timestamp_tolerance: seconds(config.callbacks.timestamp_tolerance_s),
        rejected_bytes_max: config.callbacks.rejected_bytes_max,
        idempotency_lifetime: TimeDelta::hours(i64::from(config.idempotency.lifetime_h)),
        mqtt_host,
        mqtt_port,
        demo: config.demo.enabled,
        payout_partner: partners::paying(config)?,
        file_formats: partners::file_formats(config)?,
        reconciliation_bytes_max: config.reconciliation.bytes_max,
        maker_checker: config.money.maker_checker == Switch::On,
        confirm_wait: TimeDelta::hours(i64::from(config.money.confirm_wait_h)),
        payouts: RetryBackoff {
            ask_after: seconds(config.money.payout_ask_after_s),
            wait_min: seconds(config.money.payout_wait_min_s),
            wait_max: seconds(config.money.payout_wait_max_s),
        },
        daily_run: match config.money.daily_run {
            Switch::Off => None,
            Switch::On => Some(Daily {
                ends_at: config.money.business_day_ends_at()?,
                grace: TimeDelta::minutes(i64::from(config.money.daily_run_after_min)),
            }),
        },
    })
}

fn health(config: &Config) -> anyhow::Result<HealthPolicy> {
    let seconds = |seconds: u32| TimeDelta::seconds(i64::from(seconds));
    let health = &config.health;
    Ok(HealthPolicy {
        trading_hours: health
            .trading_hours
            .parse()
            .context("configuration: health.trading_hours")?,
        offline_after: seconds(health.offline_after_s),
        unheard_after: seconds(health.unheard_after_s),
        certificate_expires_within: TimeDelta::days(i64::from(
            health.certificate_expires_within_days,
        )),
        battery_low_percent: health.battery_low_percent.into(),
        signal_weak_percent: health.signal_weak_percent.into(),
        flips_max: health.flips_max.into(),
        flips_within: TimeDelta::minutes(i64::from(health.flips_within_min)),
        clock_skew_max: seconds(health.clock_skew_max_s),
    })
}

/// Zero is no limit. Without TLS we are behind a proxy, whose address all clients share.
fn rates(config: &Config) -> http::rate::Quotas {
    let direct = config.http.tls == Switch::On;
    http::rate::Quotas {
        per_principal: NonZeroU32::new(config.http.rate_per_principal_per_s),
        per_address: NonZeroU32::new(config.http.rate_per_address_per_s).filter(|_| direct),
        direct,
    }
}

fn edge_limits(config: &Config) -> broker::Limits {
    let mqtt = &config.mqtt;
    broker::Limits {
        connections_max: mqtt.connections_max,
        connections_per_address_max: mqtt.connections_per_address_max,
        unauthenticated_max: mqtt.unauthenticated_max,
        accepts_per_address_per_s: mqtt.accept_rate_per_address_per_s,
        handshake_ms_max: mqtt.handshake_timeout_ms,
        connect_ms_max: mqtt.connect_timeout_ms,
        packet_bytes_max: mqtt.packet_bytes_max,
        will_bytes_max: mqtt.will_bytes_max,
        packets_per_s_max: mqtt.packets_per_s_max,
        publishes_per_s_max: mqtt.publishes_per_s_max,
        uplinks_unacknowledged_max: mqtt.uplink_unacked_max,
        payment_acks_unacknowledged_max: mqtt.uplink_unacked_max,
        subscriptions_max: mqtt.subscriptions_max,
        in_flight_max: mqtt.downlink_inflight_max,
        queue_max: mqtt.downlink_queue_max,
        silence_s_max: mqtt.keepalive_ceiling_s,
        write_ms_max: mqtt.write_timeout_ms,
        session_expiry_s_max: mqtt.session_expiry_max_s,
        observers_max: mqtt.observers_max,
        observer_queue_bytes_max: mqtt.observer_queue_bytes_max,
        ..broker::Limits::default()
    }
}
