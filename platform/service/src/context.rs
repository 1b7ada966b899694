//! What every use case needs: the database, the clock, the keys, the settings, the partners, and the state of the process.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use certs::authority::IssuingCa;
use governor::Quota;
use sqlx::PgPool;
use wire::ids::DeviceId;
use wire::{Signer, VerifyingKeys};

use super::availability::Availability;
use super::fleet::box_profile::VendorBoxes;
use super::fleet::published_crl::PublishedCrl;
use super::known_days::KnownDays;
use super::lists::Lists;
use super::node::Node;
use super::partner::{Partner, PayoutChannel};
use super::payment::callback::batch::PaymentQueue;
use super::payment::callback::rejected_budget::RejectedBudget;
use super::payment::partner_clock::PartnerClocks;
use super::payment::qr_partner::QrPartner;
use super::payment::trace::PaymentTracer;
use super::rate_limit::KeyedRateLimiter;
use super::settings::Settings;
use super::signal::Signals;
use super::{Error, Result};
use crate::clock::Clock;

/// The context; cheap to clone.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    pool: PgPool,
    lists: Lists,
    payment_pool: PgPool,
    node_pool: PgPool,
    node: Arc<Node>,
    clock: Clock,
    settings: Settings,
    keys: Option<Keys>,
    qris_partners: HashMap<String, Partner>,
    qr_partners: HashMap<String, Arc<dyn QrPartner>>,
    local: Arc<dyn QrPartner>,
    payout_partners: HashMap<String, PayoutChannel>,
    payment_queue: PaymentQueue,
    rejected_budget: RejectedBudget,
    partner_clocks: PartnerClocks,
    rejected_uplinks: KeyedRateLimiter<DeviceId>,
    known_days: KnownDays,
    signals: Signals,
    payment_tracer: Option<Arc<dyn PaymentTracer>>,
    crl: ArcSwapOption<PublishedCrl>,
    availability: Arc<Availability>,
    vendor_boxes: VendorBoxes,
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
    /// Where lists are read.
    pub lists: Lists,
    /// On the same database, for [`Context::payments`].
    pub payment_pool: PgPool,
    /// On the same database, for [`Context::node_connections`].
    pub node_pool: PgPool,
    pub node: Arc<Node>,
    pub clock: Clock,
    pub settings: Settings,
    /// None for a command that reads and writes the database alone.
    pub keys: Option<Keys>,
    pub qris_partners: HashMap<String, Partner>,
    pub qr_partners: HashMap<String, Arc<dyn QrPartner>>,
    pub local: Arc<dyn QrPartner>,
    pub payout_partners: HashMap<String, PayoutChannel>,
    pub payment_queue: PaymentQueue,
    pub rejected_budget: RejectedBudget,
    /// How many rejected uplinks of one box are kept.
    pub rejected_uplinks: Quota,
    pub signals: Signals,
    /// None: payments are not traced.
    pub payment_tracer: Option<Arc<dyn PaymentTracer>>,
}

impl Context {
    /// A context of these parts.
    pub fn new(parts: Parts) -> Self {
        Self {
            inner: Arc::new(Inner {
                pool: parts.pool,
                lists: parts.lists,
                payment_pool: parts.payment_pool,
                node_pool: parts.node_pool,
                node: parts.node,
                clock: parts.clock,
                settings: parts.settings,
                keys: parts.keys,
                qris_partners: parts.qris_partners,
                qr_partners: parts.qr_partners,
                local: parts.local,
                payout_partners: parts.payout_partners,
                payment_queue: parts.payment_queue,
                rejected_budget: parts.rejected_budget,
                partner_clocks: PartnerClocks::default(),
                rejected_uplinks: KeyedRateLimiter::new(parts.rejected_uplinks),
                known_days: KnownDays::default(),
                signals: parts.signals,
                payment_tracer: parts.payment_tracer,
                crl: ArcSwapOption::empty(),
                availability: Arc::default(),
                vendor_boxes: VendorBoxes::default(),
            }),
        }
    }

    /// The boxes of other makers that have connected to this process.
    pub fn vendor_boxes(&self) -> &VendorBoxes {
        &self.inner.vendor_boxes
    }

    /// The database.
    pub fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    /// Where lists, reports and dashboards are read: a replica or the primary, on connections that payments do not wait for,
    /// and on which a statement is planned for the filters that are set. They may be older than the primary.
    pub fn lists(&self) -> &Lists {
        &self.inner.lists
    }

    /// The primary on the same connections, for what must not be old.
    pub fn fresh(&self) -> &PgPool {
        self.inner.lists.primary()
    }

    /// The database, for the batches of payments and of their acknowledgements: a connection for each batcher, on
    /// which every statement is planned once.
    pub fn payments(&self) -> &PgPool {
        &self.inner.payment_pool
    }

    /// The database, for what keeps the processes that share it together: the lease, wake-ups and listening for them. A
    /// connection for each, which nothing else uses, and whose commits are not waited for on disk.
    pub fn node_connections(&self) -> &PgPool {
        &self.inner.node_pool
    }

    /// This process among those that share the database.
    pub fn node(&self) -> &Arc<Node> {
        &self.inner.node
    }

    /// Closes the pools; later requests for a connection fail.
    pub async fn close(&self) {
        self.inner.lists.close().await;
        self.inner.payment_pool.close().await;
        self.inner.node_pool.close().await;
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

    /// The issuer of codes for merchants of this partner: its API, or the local one if it has none.
    pub(super) fn qr_partner(&self, id: &str) -> &Arc<dyn QrPartner> {
        self.inner.qr_partners.get(id).unwrap_or(&self.inner.local)
    }

    pub(super) fn qris_partner(&self, id: &str) -> Option<&Partner> {
        self.inner.qris_partners.get(id)
    }

    /// How far partners' clocks are from ours.
    pub(super) fn partner_clocks(&self) -> &PartnerClocks {
        &self.inner.partner_clocks
    }

    /// The partners that may send callbacks, by their ids.
    pub fn qris_partners(&self) -> impl Iterator<Item = (&str, &Partner)> {
        self.inner
            .qris_partners
            .iter()
            .map(|(id, partner)| (id.as_str(), partner))
    }

    pub(super) fn payout_partner(&self, id: &str) -> Option<&PayoutChannel> {
        self.inner.payout_partners.get(id)
    }

    pub(super) fn payment_queue(&self) -> &PaymentQueue {
        &self.inner.payment_queue
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

    /// The signals of commits, to the rest of this process and to others.
    pub fn signals(&self) -> &Signals {
        &self.inner.signals
    }

    /// Where the steps of payments are reported.
    pub fn payment_tracer(&self) -> Option<&dyn PaymentTracer> {
        self.inner.payment_tracer.as_deref()
    }

    /// The certificate revocation list at hand.
    pub(super) fn crl(&self) -> Option<Arc<PublishedCrl>> {
        self.inner.crl.load_full()
    }

    /// Puts a certificate revocation list at hand.
    pub(super) fn publish_crl(&self, crl: Arc<PublishedCrl>) {
        self.inner.crl.store(Some(crl));
    }
}
