//! What every use case stands on: the database, the clock, the keys and the settings.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use certs::authority::IssuingCa;
use certs::csr::RsaKeys;
use chrono::TimeDelta;
use domain::announcement::{AnnouncementPolicy, ResendPolicy};
use domain::health::HealthPolicy;
use domain::partner_signature::PartnerSecret;
use domain::payment_time::ClockPolicy;
use domain::reconciliation::Format;
use domain::registration::AcquirerGuid;
use domain::snap::signature::{ClientSecret, PublicKey};
use domain::snap::status::StatusCodes;
use governor::Quota;
use sqlx::{PgPool, Postgres, Transaction};
use tracing::Instrument as _;
use wire::ids::DeviceId;
use wire::{Rupiah, Signer, VerifyingKeys};

use super::availability::Availability;
use super::fleet::crl::Published;
use super::money::payout::RetryBackoff;
use super::money::payout_partner::PayoutPartner;
use super::money::settlement_run::Daily;
use super::partition::{self, KnownDays};
use super::payment::callback::RejectedBudget;
use super::payment::qr_partner::QrPartner;
use super::rate_limit::KeyedRateLimiter;
use super::signal::Signals;
use super::unit_of_work::{Actor, Begin, IdempotencyKey, UnitOfWork};
use super::{Error, Result};
use crate::clock::Clock;
use crate::store;

/// A partner that signs its callbacks, and how.
#[derive(Debug, Clone)]
pub enum Partner {
    /// HMAC-SHA256 over timestamp and raw body.
    Hmac {
        /// The secrets that are active now.
        secrets: Vec<PartnerSecret>,
    },
    /// SNAP BI.
    Snap(SnapPartner),
}

/// What is agreed with a SNAP partner.
#[derive(Debug, Clone)]
pub struct SnapPartner {
    /// Its notifications are signed by its RSA key, without a token.
    pub asymmetric: bool,
    /// The client secrets that are active now.
    pub secrets: Vec<ClientSecret>,
    /// Its RSA keys that are active now.
    pub keys: Vec<PublicKey>,
    /// What its status codes mean.
    pub statuses: StatusCodes,
}

/// Whoever carries out payouts.
#[derive(Clone)]
pub struct PayoutChannel {
    /// What signs its callbacks.
    pub secrets: Vec<PartnerSecret>,
    /// How it is told and asked; without it, it reads its instructions elsewhere and answers by callbacks alone.
    pub connection: Option<Arc<dyn PayoutPartner>>,
}

/// The settings that use cases depend on, taken from the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This process among those that share the database.
    pub node: String,
    /// How long payments are announced.
    pub announcement: AnnouncementPolicy,
    /// Words that no free text may use, beside those of [`domain::free_text`].
    pub reserved_words: Vec<String>,
    /// How often an announcement is tried again.
    pub resend: ResendPolicy,
    /// The largest payment.
    pub amount_max: Rupiah,
    /// What is believed of partners' clocks.
    pub clocks: ClockPolicy,
    /// How long a dynamic code can be paid.
    pub qr_lifetime: TimeDelta,
    /// How long before its end a partner's code is asked about.
    pub query_before_expiry: TimeDelta,
    /// How long somebody may wait for a partner's code before somebody else may ask for it.
    pub partner_lease: TimeDelta,
    /// The partner that merchants are registered with and that calls back for codes built here.
    pub qr_partner: String,
    /// Tag 26.00 of codes built here.
    pub acquirer_guid: AcquirerGuid,
    /// Validity of device certificates.
    pub certificate_lifetime: TimeDelta,
    /// Whether boxes may have RSA keys.
    pub rsa_device_keys: RsaKeys,
    /// Validity of a certificate revocation list.
    pub crl_lifetime: TimeDelta,
    /// Validity of device tokens.
    pub device_token_lifetime: TimeDelta,
    /// Validity of activation codes.
    pub activation_code_lifetime: TimeDelta,
    /// Wrong activation codes an hour, for each serial number and address together.
    pub activation_failures_max: i64,
    /// Wrong activation codes an hour, from each address.
    pub activation_failures_per_address_max: i64,
    /// What a box is told to beat at, seconds.
    pub heartbeat_interval_s: u32,
    /// The longest that an answer to a beat over HTTP is held back.
    pub long_poll_max: Duration,
    /// When a box is unwell.
    pub health: HealthPolicy,
    /// How far a partner's timestamp may be away.
    pub timestamp_tolerance: TimeDelta,
    /// The largest part of a rejected callback that is kept, bytes.
    pub rejected_bytes_max: usize,
    /// How long an answer is kept for its idempotency key.
    pub idempotency_lifetime: TimeDelta,
    /// Where boxes connect by MQTT.
    pub mqtt_host: String,
    /// The port for it.
    pub mqtt_port: u16,
    /// Whether demonstration data may be made.
    pub demo: bool,
    /// Who is told of payouts; nobody when there is no payout partner.
    pub payout_partner: Option<String>,
    /// How acquirers write their files, by partner; the others write them in the usual way.
    pub file_formats: HashMap<String, Format>,
    /// The largest file, bytes.
    pub reconciliation_bytes_max: usize,
    /// Whether what moves money or makes people needs a second person.
    pub maker_checker: bool,
    /// How long a user's account must have stood as it is before its owner confirms anything.
    pub confirm_wait: TimeDelta,
    /// How patient the payout worker is.
    pub payouts: RetryBackoff,
    /// When the daily settlement run is; none without it.
    pub daily_run: Option<Daily>,
}

impl Settings {
    /// How this acquirer writes its files.
    pub(super) fn file_format(&self, partner_id: &str) -> Format {
        let usual = || Format {
            reference_column: "partner_reference".into(),
            amount_column: "amount".into(),
            delimiter: b',',
            decimal_comma: false,
        };
        self.file_formats
            .get(partner_id)
            .cloned()
            .unwrap_or_else(usual)
    }
}

impl Settings {
    /// [`Settings::heartbeat_interval_s`], as the database counts.
    pub(super) fn beat_interval_s(&self) -> i32 {
        i32::try_from(self.heartbeat_interval_s).unwrap_or(i32::MAX)
    }
}

/// The context; cheap to clone.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    pool: PgPool,
    list_pool: PgPool,
    clock: Clock,
    settings: Settings,
    keys: Option<Keys>,
    qris_partners: HashMap<String, Partner>,
    qr_partners: HashMap<String, Arc<dyn QrPartner>>,
    local: Arc<dyn QrPartner>,
    payout_partners: HashMap<String, PayoutChannel>,
    rejected_budget: RejectedBudget,
    rejected_uplinks: KeyedRateLimiter<DeviceId>,
    known_days: KnownDays,
    signals: Signals,
    crl: ArcSwapOption<Published>,
    availability: Arc<Availability>,
}

/// The keys that a platform signs with.
#[expect(
    missing_docs,
    reason = "each is a method of the context, which says what it is"
)]
pub struct Keys {
    pub ca: IssuingCa,
    pub signer: Signer,
    pub announcement_keys: VerifyingKeys,
}

/// The parts a context is made of.
#[expect(missing_docs, reason = "each part says what it is")]
pub struct Parts {
    pub pool: PgPool,
    /// On the same database, for [`Context::lists`].
    pub list_pool: PgPool,
    pub clock: Clock,
    pub settings: Settings,
    /// None for a command that reads and writes the database alone.
    pub keys: Option<Keys>,
    pub qris_partners: HashMap<String, Partner>,
    pub qr_partners: HashMap<String, Arc<dyn QrPartner>>,
    pub local: Arc<dyn QrPartner>,
    pub payout_partners: HashMap<String, PayoutChannel>,
    pub rejected_budget: RejectedBudget,
    /// How many rejected uplinks of one box are kept.
    pub rejected_uplinks: Quota,
    pub signals: Signals,
}

impl Context {
    /// A context of these parts.
    pub fn new(parts: Parts) -> Self {
        Self {
            inner: Arc::new(Inner {
                pool: parts.pool,
                list_pool: parts.list_pool,
                clock: parts.clock,
                settings: parts.settings,
                keys: parts.keys,
                qris_partners: parts.qris_partners,
                qr_partners: parts.qr_partners,
                local: parts.local,
                payout_partners: parts.payout_partners,
                rejected_budget: parts.rejected_budget,
                rejected_uplinks: KeyedRateLimiter::new(parts.rejected_uplinks),
                known_days: KnownDays::default(),
                signals: parts.signals,
                crl: ArcSwapOption::empty(),
                availability: Arc::default(),
            }),
        }
    }

    /// The database.
    pub fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    /// The database, to read lists from: connections that payments do not wait for, and on which a statement is planned
    /// for the filters that are set.
    pub fn lists(&self) -> &PgPool {
        &self.inner.list_pool
    }

    /// Gives the connections back. Who asks for one afterwards gets an error.
    pub async fn close(&self) {
        self.inner.list_pool.close().await;
        self.inner.pool.close().await;
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The CA that issues device certificates.
    ///
    /// # Errors
    /// A context without keys.
    pub fn ca(&self) -> Result<&IssuingCa> {
        Ok(&self.keys()?.ca)
    }

    /// Signs what is sent to boxes.
    ///
    /// # Errors
    /// A context without keys.
    pub fn signer(&self) -> Result<&Signer> {
        Ok(&self.keys()?.signer)
    }

    /// The keys by which boxes verify what they are sent.
    ///
    /// # Errors
    /// A context without keys.
    pub fn announcement_keys(&self) -> Result<&VerifyingKeys> {
        Ok(&self.keys()?.announcement_keys)
    }

    fn keys(&self) -> Result<&Keys> {
        let keys = self.inner.keys.as_ref();
        keys.ok_or_else(|| {
            Error::Internal(anyhow::anyhow!("this process has no keys to sign with"))
        })
    }

    /// Who issues the codes of merchants that are registered with this partner: whoever we do not call, we do it for.
    pub(super) fn qr_partner(&self, id: &str) -> &Arc<dyn QrPartner> {
        self.inner.qr_partners.get(id).unwrap_or(&self.inner.local)
    }

    pub(super) fn qris_partner(&self, id: &str) -> Option<&Partner> {
        self.inner.qris_partners.get(id)
    }

    pub(super) fn payout_partner(&self, id: &str) -> Option<&PayoutChannel> {
        self.inner.payout_partners.get(id)
    }

    pub(super) fn rejected_budget(&self) -> &RejectedBudget {
        &self.inner.rejected_budget
    }

    /// How many uplinks that broke a rule are kept of each box.
    pub(super) fn rejected_uplinks(&self) -> &KeyedRateLimiter<DeviceId> {
        &self.inner.rejected_uplinks
    }

    pub(super) fn known_days(&self) -> &KnownDays {
        &self.inner.known_days
    }

    /// What is known of the database's availability.
    pub fn availability(&self) -> &Arc<Availability> {
        &self.inner.availability
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.inner.signals
    }

    /// The certificate revocation list at hand.
    pub(super) fn crl(&self) -> Option<Arc<Published>> {
        self.inner.crl.load_full()
    }

    /// Puts a certificate revocation list at hand.
    pub(super) fn publish_crl(&self, crl: Arc<Published>) {
        self.inner.crl.store(Some(crl));
    }

    /// Begins a database transaction, in a task of its own: a caller that is dropped while BEGIN is on its way (an
    /// HTTP client hangs up) would otherwise give the connection back to the pool with the transaction open, because
    /// sqlx 0.9 rolls back only what it has seen begin.
    #[expect(clippy::disallowed_methods, reason = "here it cannot be cut off")]
    pub(super) async fn transaction(&self) -> Result<Transaction<'static, Postgres>> {
        partition::ensure_today(self).await?;
        let pool = self.pool().clone();
        let begin = async move { pool.begin().await };
        let begun = tokio::spawn(begin.in_current_span()).await;
        Ok(begun.map_err(anyhow::Error::from)??)
    }

    /// A unit of work by `actor`.
    pub async fn begin(&self, actor: Actor) -> Result<UnitOfWork> {
        Ok(UnitOfWork::new(
            self.clone(),
            self.transaction().await?,
            actor,
        ))
    }

    /// A unit of work under an idempotency key, or what was answered to the same request before.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when the key was used for another request or is in use now.
    pub async fn begin_keyed(&self, actor: Actor, key: Option<IdempotencyKey>) -> Result<Begin> {
        let mut unit = self.begin(actor).await?;
        let Some(key) = key else {
            return Ok(Begin::Fresh(unit));
        };
        let now = unit.now();
        if !store::idempotency::try_lock(unit.conn(), &key.scope, &key.key).await? {
            return Err(Error::Duplicate {
                message: "a request with this Idempotency-Key is being worked on".into(),
                retry_after_s: Some(1),
            });
        }
        match store::idempotency::find(unit.conn(), &key.scope, &key.key, now).await? {
            None => {
                unit.keep_reply_under(key);
                Ok(Begin::Fresh(unit))
            }
            Some(stored) if stored.request_hash == key.request_hash && stored.status == 0 => {
                Err(Error::Duplicate {
                    message: "a request with this Idempotency-Key waits for a partner".into(),
                    retry_after_s: Some(1),
                })
            }
            Some(stored) if stored.request_hash == key.request_hash => Ok(Begin::Replay(Reply {
                status: stored.status,
                body: stored.body.into(),
            })),
            Some(_) => Err(Error::Duplicate {
                message: "this Idempotency-Key was used for another request".into(),
                retry_after_s: None,
            }),
        }
    }
}

use super::unit_of_work::Reply;
