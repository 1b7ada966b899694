//! The server's certificate, for HTTPS and MQTT.
//!
//! Both TLS configurations read it at every handshake, so a replaced certificate is used from the next connection on, and
//! open connections continue. A certificate that clients would reject is refused here: one that has expired, is not valid
//! yet, or does not match its key.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use certs::authority::IssuingCa;
use certs::serial::Serial;
use certs::tls;
use certs::validity::Validity;
use chrono::{DateTime, TimeDelta, Utc};
use domain::alert::{AlertKind, AlertSubject, NewAlert};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::json;
use service::Context;
use service::alert_record;
use service::clock::Clock;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// The beginning of errors about the CA's files.
pub(super) const CA: &str = "the fleet's CA (pki.dir)";
/// The validity of a certificate of our own CA, which is issued at every start and every reload.
const LIFETIME: TimeDelta = TimeDelta::days(398);
/// How often the certificate's expiry is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(3600);
/// The alert about its expiry.
const EXPIRING: AlertKind = AlertKind::ServerCertificateExpiring;
const SUBJECT: AlertSubject = AlertSubject::Platform;
/// The metric: the Unix time at which the certificate expires.
const EXPIRES: &str = "tls_certificate_expires_seconds";

/// A certificate that can be replaced while it is in use.
#[derive(Debug)]
pub(super) struct ServerCertificate {
    current: ArcSwap<Current>,
    replaced: Notify,
}

#[derive(Debug)]
struct Current {
    certified: Arc<CertifiedKey>,
    not_after: DateTime<Utc>,
}

impl ServerCertificate {
    /// The first certificate.
    ///
    /// # Errors
    /// A certificate that is not valid now; a key that does not match.
    pub(super) fn of(pem: &Pem, now: DateTime<Utc>) -> anyhow::Result<Self> {
        Ok(Self {
            current: ArcSwap::from_pointee(Current::of(pem, now)?),
            replaced: Notify::new(),
        })
    }

    /// Reads it again. When that fails, the present one stays.
    ///
    /// # Errors
    /// A file that cannot be read; a certificate that is not valid now; a key that does not match.
    pub(super) fn reload(&self, config: &Config, clock: &Clock) -> anyhow::Result<()> {
        let current = Current::of(&pem(config, clock)?, clock.now())?;
        self.current.store(Arc::new(current));
        self.publish_end();
        self.replaced.notify_one();
        Ok(())
    }

    /// When it expires.
    pub(super) fn not_after(&self) -> DateTime<Utc> {
        self.current.load().not_after
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a metric is a float, and seconds of this age of the world fit one exactly"
    )]
    fn publish_end(&self) {
        metrics::gauge!(EXPIRES).set(self.not_after().timestamp() as f64);
    }

    /// Publishes the certificate's expiry as a metric and warns when it is near, until `stop`.
    pub(super) async fn watch(
        self: Arc<Self>,
        context: Context,
        warn_before: TimeDelta,
        stop: CancellationToken,
    ) {
        metrics::describe_gauge!(
            EXPIRES,
            metrics::Unit::Seconds,
            "Unix time at which the server certificate ends"
        );
        let mut ticks = interval(CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.replaced.notified() => {}
                _ = ticks.tick() => {}
            }
            self.publish_end();
            let not_after = self.not_after();
            let left = not_after - context.clock().now();
            let noted = if left < warn_before {
                tracing::warn!(
                    %not_after,
                    days_left = left.num_days(),
                    "the server certificate expires soon: replace it and send SIGHUP"
                );
                let details = json!({ "not_after": not_after });
                alert_record::open_now(&context, NewAlert::new(EXPIRING, SUBJECT, details)).await
            } else {
                alert_record::close(&context, EXPIRING, &SUBJECT).await
            };
            if let Err(error) = noted {
                tracing::warn!(%error, "the alert about the server certificate could not be written");
            }
        }
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().certified))
    }
}

impl Current {
    fn of(pem: &Pem, now: DateTime<Utc>) -> anyhow::Result<Self> {
        let chain = pem.chain()?;
        let leaf = chain.first().context("the server certificate is empty")?;
        let Validity {
            not_before,
            not_after,
        } = Validity::of(leaf).context("the server certificate is not an X.509 certificate")?;
        if now > not_after {
            bail!("the server certificate expired at {not_after}");
        }
        if now < not_before {
            bail!("the server certificate is not valid before {not_before}");
        }
        let certified = CertifiedKey::from_der(chain, pem.key()?, &aws_lc_rs::default_provider())
            .context("the server certificate and its key do not go together")?;
        Ok(Self {
            certified: Arc::new(certified),
            not_after,
        })
    }
}

/// A certificate with its chain, and its key, as text.
pub(super) struct Pem {
    chain: String,
    key: String,
}

impl Pem {
    /// The certificate, then its issuers.
    ///
    /// # Errors
    /// Text that cannot be read.
    pub(super) fn chain(&self) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        tls::chain_from_pem(&self.chain).context("the server certificate")
    }

    /// Its key.
    ///
    /// # Errors
    /// Text that cannot be read.
    pub(super) fn key(&self) -> anyhow::Result<PrivateKeyDer<'static>> {
        tls::key_from_pem(&self.key).context("the server certificate's key")
    }
}

/// The certificate that the configuration names, or a new one of our own CA.
///
/// # Errors
/// A file that cannot be read; a CA that is missing.
pub(super) fn pem(config: &Config, clock: &Clock) -> anyhow::Result<Pem> {
    let pki = &config.pki;
    if pki.server_certificate_file.as_os_str().is_empty() {
        let dir = config.pki_dir();
        let ca = IssuingCa::load(&dir).context(CA)?;
        let (names, addresses) = config.server_names();
        let issued = ca
            .issue_server(&names, &addresses, clock.now(), LIFETIME, Serial::random()?)
            .context("cannot issue the server certificate (pki.server_names)")?;
        return Ok(Pem {
            chain: issued.certificate.chain_pem,
            key: issued.key_pem,
        });
    }
    let read = |file: &Path| {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
    };
    Ok(Pem {
        chain: read(&pki.server_certificate_file)?,
        key: read(&pki.server_key_file)?,
    })
}
