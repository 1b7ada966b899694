//! The whole platform: built from a [`Config`], run, and stopped in order.
//!
//! ```text
//! database → migrations → lease, sessions of an earlier run → bridge → MQTT edge → HTTPS → jobs
//! ```
//!
//! Stopping goes the other way: sessions move to other processes, if there are any; no new work, then running work is finished, then the database stops.

mod alert_channels;
mod database;
mod descriptors;
mod dialect;
mod keys;
mod migration;
mod partner_check;
mod partners;
mod pki;
mod pooler;
mod port;
mod problems;
mod secrets;
mod server_certificate;
mod settings;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use bridge::Bridge;
use broker::{Edge, EdgeConfig, EdgeError, EdgeHandle, PasswordListeners};
use chrono::TimeDelta;
use domain::alert::{AlertKind, AlertSubject, NewAlert};
use governor::Quota;
use http_api::listener;
use http_api::metrics::Operations;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use service::Context;
use service::alert_record;
use service::clock::Clock;
use service::context::Parts;
use service::fleet::long_poll::LongPolls;
use service::node::{self, Lease, Node};
use service::payment::callback::batch::{self, PaymentQueue};
use service::payment::callback::rejected_budget::RejectedBudget;
use service::settings::MqttPorts;
use service::signal::Signals;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::port::{bind, cannot_listen, reserve, reserve_optional, wait_until_free};
use self::problems::Problems;
use self::secrets::Secrets;
use self::server_certificate::ServerCertificate;
use crate::config::{Config, Switch};
use crate::jobs;
use crate::partner::local::Local;
use crate::partner::webhook::WebhookClient;
use crate::telemetry::Telemetry;

pub use partner_check::partner_check;

pub use database::{connect, open, problem};
pub use migration::migrate;

/// The keys of the addresses on which MQTT is served.
const MQTT: &str = "mqtt.listen";
const MQTT_VENDOR: &str = "mqtt.vendor.listen";
const MQTT_PLAIN: &str = "mqtt.vendor.plain_listen";
/// Added to the time in which requests end, for the scheduling of the tasks.
const STOP_SLACK: Duration = Duration::from_secs(2);
/// How long jobs and the bridge may take to end.
const TASKS_END_WITHIN: Duration = Duration::from_secs(10);

/// What a caller may replace.
#[derive(Debug, Default)]
pub struct Options {
    /// The clock; the system's except in tests.
    pub clock: Clock,
    /// Create a fleet CA when there is none, as a demonstration does. In production an operator does that.
    pub make_ca: bool,
    /// The metrics recorder; installed when absent. A process has one.
    pub metrics: Option<PrometheusHandle>,
    /// The export of traces; started by `otel.endpoint` when absent.
    pub telemetry: Option<Telemetry>,
}

/// A running platform.
pub struct App {
    context: Context,
    http: SocketAddr,
    mqtt: SocketAddr,
    metrics: SocketAddr,
    edge: EdgeHandle,
    server: Option<embedded_postgres::Server>,
    root_pem: String,
    config: Config,
    certificate: Arc<ServerCertificate>,
    tasks: TaskTracker,
    /// The listener of the API, with the requests that it serves.
    requests: TaskTracker,
    telemetry: Option<Telemetry>,
    /// No new connections; sessions and requests are being ended.
    soft: CancellationToken,
    /// Jobs and bridge end, after the last session.
    hard: CancellationToken,
}

impl App {
    /// Starts everything; when this returns, devices can connect and requests are answered.
    ///
    /// # Errors
    /// What is missing or wrong, for the operator.
    pub async fn start(config: &Config, options: Options) -> anyhow::Result<Self> {
        let (soft, hard, tasks) = (
            CancellationToken::new(),
            CancellationToken::new(),
            TaskTracker::new(),
        );
        let metrics_handle = match options.metrics {
            Some(handle) => handle,
            None => http_api::metrics::record().context("cannot record metrics")?,
        };
        let telemetry = match options.telemetry {
            Some(telemetry) => Some(telemetry),
            None => Telemetry::start(&config.otel, &config.node.name)?,
        };
        let mut problems = Problems::default();
        let pki = problems.keep(pki::load(config, &options.clock, options.make_ca));
        let secrets = secrets::load(config, &options.clock, &mut problems);
        problems.finish(config.file.as_deref())?;
        let pki = pki.context("the fleet's CA was not read")?;
        let (server, pool) = database::open(config).await?;
        migration::migrate(&pool).await?;

        // The sockets are bound before the settings are made, because devices' configuration holds the real ports.
        wait_until_free(config.http.listen, "http.listen").await;
        wait_until_free(config.mqtt.listen, MQTT).await;
        let http_listener = bind(config.http.listen, "http.listen").await?;
        let metrics_listener = bind(config.metrics.listen, "metrics.listen").await?;
        let (signals, receivers) =
            service::signal::channel(LongPolls::new(config.http.long_polls_max, soft.clone()));
        let mqtt_listen = reserve(config.mqtt.listen, MQTT)?;
        let vendor = &config.mqtt.vendor;
        let vendor_listen = reserve_optional(vendor.listen, MQTT_VENDOR).await?;
        let plain_listen = reserve_optional(vendor.plain_listen, MQTT_PLAIN).await?;
        let (payment_queue, payment_batches) = batch::queue(size(config.callbacks.queue_max));
        let context = context(
            config,
            &options.clock,
            pool.clone(),
            MqttPorts {
                certificate: mqtt_listen.port(),
                password: vendor_listen.map(|address| address.port()),
                plain: plain_listen.map(|address| address.port()),
            },
            Channels {
                signals,
                payment_queue,
            },
            secrets.unwrap_or_default(),
            telemetry.as_ref(),
        )?;
        service::money::fee::ensure_basic(&context)
            .await
            .context("cannot make the fee profile fee_basic")?;
        for profile in service::fleet::box_profile::check_devices(&context)
            .await
            .context("cannot read the profiles of the registered boxes")?
        {
            tracing::error!(
                profile,
                "registered boxes have a profile that is not in [box_profiles]: they cannot connect"
            );
        }
        // Before the lease is taken, which it would end, and before any box connects.
        service::database_origin::check(&context)
            .await
            .context("cannot find out whether the database was restored")?;
        let lease = Lease::take(&context)
            .await
            .context("cannot take the lease of this process")?;
        service::partition::maintain(&context, jobs::retention(config))
            .await
            .context("cannot make the partitions of the coming days")?;

        tasks.spawn(payment_batches.run(
            context.clone(),
            size(config.callbacks.batches_at_once),
            hard.clone(),
        ));
        let bridge = Bridge::new(context.clone(), &tasks, &hard);
        let edge_config = EdgeConfig {
            listen: mqtt_listen,
            tls: pki.mqtt,
            password: PasswordListeners {
                tls: vendor_listen.map(|address| (address, pki.mqtt_by_password)),
                plain: plain_listen,
            },
            limits: settings::edge_limits(config),
            server_reference: Some(config.node.server_reference.clone())
                .filter(|reference| !reference.is_empty()),
        };
        let edge = Edge::start(edge_config, bridge.host(), soft.clone())
            .await
            .map_err(|error| match error {
                EdgeError::Listen { address, source } => {
                    let key = if Some(address) == vendor_listen {
                        MQTT_VENDOR
                    } else if Some(address) == plain_listen {
                        MQTT_PLAIN
                    } else {
                        MQTT
                    };
                    anyhow::Error::new(source).context(cannot_listen(address, key))
                }
                error => error.into(),
            })?;
        bridge.run(edge.clone(), receivers, lease, &tasks, &hard);
        alert_of_plain_mqtt(&context, plain_listen)
            .await
            .context("cannot note whether MQTT without TLS is on")?;

        let http = http_listener.local_addr()?;
        let (pages, feeder) = pages::router(
            context.clone(),
            pages::Limits {
                viewers_max: config.http.page_streams_max,
            },
            soft.clone(),
        );
        tasks.spawn(feeder);
        let router = http_api::router(
            context.clone(),
            http_api::Limits {
                body_bytes_max: config.http.body_bytes_max,
                body_bytes_in_flight_max: config.http.body_bytes_in_flight_max,
                request: Duration::from_millis(config.http.request_timeout_ms),
                rates: settings::rates(config),
            },
            pages,
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
        let requests = TaskTracker::new();
        requests.spawn(listener::serve(
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
            http_api::metrics::router(operations),
            limits,
            hard.clone(),
        ));
        jobs::start(&context, config, &tasks, &hard);
        tasks.spawn(service::alert_channel::worker::run(
            context.clone(),
            alert_channels::all(config, context.clock())?,
            hard.clone(),
        ));
        let webhooks = WebhookClient::new(settings::webhook_targets(config))
            .context("cannot make the HTTP client of webhooks")?;
        tasks.spawn(service::webhook::worker::run(
            context.clone(),
            Arc::new(webhooks),
            hard.clone(),
        ));
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
            requests,
            telemetry,
            soft,
            hard,
        })
    }

    /// The address of the API.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// The address of the MQTT edge.
    pub fn mqtt_addr(&self) -> SocketAddr {
        self.mqtt
    }

    /// The address of health and metrics.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics
    }

    /// The context of use cases.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The export of traces, if there is one.
    pub fn telemetry(&self) -> Option<&Telemetry> {
        self.telemetry.as_ref()
    }

    /// The MQTT edge.
    pub fn edge(&self) -> &EdgeHandle {
        &self.edge
    }

    /// The certificate that verifies HTTPS and MQTT.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// Reads the server's certificate again (or issues another, when it is our own), for new connections.
    ///
    /// # Errors
    /// Files that cannot be read or do not belong together; then the present certificate stays.
    pub fn reload_certificate(&self) -> anyhow::Result<()> {
        self.certificate.reload(&self.config, self.context.clock())
    }

    /// The URL of the embedded database, if there is one.
    pub fn embedded_database_url(&self) -> Option<&str> {
        self.server
            .as_ref()
            .map(embedded_postgres::Server::database_url)
    }

    /// Completes when the embedded database ends unexpectedly; never when there is none.
    pub async fn database_lost(&self) {
        match &self.server {
            Some(server) => {
                server.exited().await;
            }
            None => std::future::pending().await,
        }
    }

    /// Leaves readiness, and then ends the sessions of boxes at a rate, so that they spread over the other processes. Without
    /// others there is nowhere to go.
    async fn drain(&self) {
        let node = self.context.node();
        if !node.has_others() {
            return;
        }
        node.drain();
        tokio::time::sleep(Duration::from_millis(self.config.node.unready_ms)).await;
        let sessions = self.edge.live();
        tracing::info!(sessions, "draining");
        let within = Duration::from_millis(self.config.http.shutdown_timeout_ms / 2);
        let per_s_min = self.config.node.drain_sessions_per_s;
        self.edge.drain(within, per_s_min).await;
    }

    /// Drains when there are other processes, finishes the requests and jobs that are running, and stops.
    ///
    /// # Errors
    /// An embedded database that does not stop.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.drain().await;
        self.soft.cancel();
        self.requests.close();
        let within = Duration::from_millis(self.config.http.shutdown_timeout_ms) + STOP_SLACK;
        let requests = tokio::time::timeout(within, self.requests.wait());
        let (answered, ()) = tokio::join!(requests, self.edge.stopped());
        if answered.is_err() {
            tracing::warn!("requests did not end in time");
        }
        // Everything that requests have committed is with the outbox, which now gives back what it cannot send.
        self.hard.cancel();
        self.tasks.close();
        if tokio::time::timeout(TASKS_END_WITHIN, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(left = self.tasks.len(), "tasks did not end in time");
        }
        if let Err(error) = node::leave(&self.context).await {
            tracing::warn!(%error, "the sessions could not be ended in the database; the next start does it, or another process");
        }
        self.context.close().await;
        if let Some(telemetry) = self.telemetry {
            telemetry.stop().await;
        }
        if let Some(server) = self.server {
            server
                .stop()
                .await
                .context("the embedded Postgres did not stop")?;
        }
        Ok(())
    }
}

/// The database and a context, without servers: for a command that does one thing and ends. It has no keys and no
/// partners, because it sends nothing. The caller stops the embedded database.
///
/// # Errors
/// As [`App::start`].
pub async fn offline(
    config: &Config,
) -> anyhow::Result<(Option<embedded_postgres::Server>, Context)> {
    offline_with(config, HashMap::new()).await
}

/// The same with the acquirers of the configuration, whose dialects and secrets are read.
///
/// # Errors
/// As [`App::start`].
pub async fn offline_with_partners(
    config: &Config,
) -> anyhow::Result<(Option<embedded_postgres::Server>, Context)> {
    let mut problems = Problems::default();
    let partners = partners::qris(config, &mut problems);
    problems.finish(config.file.as_deref())?;
    offline_with(config, partners).await
}

async fn offline_with(
    config: &Config,
    qris_partners: HashMap<String, service::Partner>,
) -> anyhow::Result<(Option<embedded_postgres::Server>, Context)> {
    let (server, pool) = database::open(config).await?;
    if server.is_some() {
        // No other process uses it now; an external database is migrated by `platform migrate`.
        migration::migrate(&pool).await?;
    } else {
        migration::must_be_current(&pool).await?;
    }
    let (signals, _receivers) =
        service::signal::channel(LongPolls::new(0, CancellationToken::new()));
    let (payment_queue, _) = batch::queue(1);
    let context = context(
        config,
        &Clock::system(),
        pool,
        MqttPorts {
            certificate: config.mqtt.listen.port(),
            password: config.mqtt.vendor.listen.map(|address| address.port()),
            plain: config
                .mqtt
                .vendor
                .plain_listen
                .map(|address| address.port()),
        },
        Channels {
            signals,
            payment_queue,
        },
        Secrets {
            qris_partners,
            ..Secrets::default()
        },
        None,
    )?;
    Ok((server, context))
}

/// Opens the alert that MQTT without TLS is on, or closes it. Of several processes the last that started counts.
async fn alert_of_plain_mqtt(context: &Context, plain: Option<SocketAddr>) -> service::Result<()> {
    let (kind, subject) = (AlertKind::PlainMqtt, AlertSubject::Platform);
    let Some(address) = plain else {
        return alert_record::close(context, kind, &subject).await;
    };
    let details = json!({ "listen": address.to_string() });
    alert_record::open_now(context, NewAlert::new(kind, subject, details)).await
}

/// Where use cases leave work for tasks.
struct Channels {
    signals: Signals,
    payment_queue: PaymentQueue,
}

fn context(
    config: &Config,
    clock: &Clock,
    pool: PgPool,
    mqtt_ports: MqttPorts,
    channels: Channels,
    secrets: Secrets,
    telemetry: Option<&Telemetry>,
) -> anyhow::Result<Context> {
    let settings = settings::settings(config, mqtt_ports);
    let settings = match &config.file {
        Some(file) => settings.with_context(|| file.display().to_string())?,
        None => settings?,
    };
    Ok(Context::new(Parts {
        lists: database::for_lists(config, &pool)?,
        payment_pool: database::for_payments(config, &pool),
        node_pool: database::for_node(&pool),
        node: Arc::new(Node::new(
            &config.node.name,
            env!("CARGO_PKG_VERSION"),
            Duration::from_secs(config.node.lease_s.into()),
        )),
        pool,
        clock: clock.clone(),
        settings,
        keys: secrets.keys,
        qris_partners: secrets.qris_partners,
        qr_partners: secrets.qr_partners,
        local: Arc::new(Local),
        payout_partners: secrets.payout_partners,
        payment_queue: channels.payment_queue,
        rejected_budget: RejectedBudget::new(
            config.callbacks.rejected_per_minute_max,
            config.callbacks.rejected_per_address_per_minute_max,
        ),
        rejected_uplinks: Quota::per_minute(
            NonZeroU32::new(config.devices.rejected_uplinks_per_minute_max)
                .unwrap_or(NonZeroU32::MIN),
        ),
        signals: channels.signals,
        payment_tracer: telemetry.map(Telemetry::payments),
    }))
}

fn size(configured: u32) -> usize {
    usize::try_from(configured).unwrap_or(usize::MAX)
}
