//! The unit of work: one database transaction, its actor, and what follows its commit.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tracing::Instrument as _;
use uuid::Uuid;

use domain::alert::NewAlert;

use super::alert_record;
use super::context::Context;
use super::partition;
use super::payment::trace::{Origin, Steps};
use super::signal::Signal;
use super::{Error, Result};

/// Who does something, as the audit log names them.
#[derive(Debug, Clone)]
pub struct Actor {
    /// `tok_…`, `sbx_…`, a partner's id, or `system`.
    pub name: String,
    /// The HTTP request, if there is one.
    pub request_id: Option<String>,
}

impl Actor {
    /// The platform itself.
    pub fn system() -> Self {
        Self {
            name: "system".into(),
            request_id: None,
        }
    }
}

/// A client's key for a request that it may repeat.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// Whose key for which route.
    pub scope: String,
    /// The key.
    pub key: String,
    /// SHA-256 of the request.
    pub request_hash: Vec<u8>,
}

/// An answer, as bytes, so that a repetition gets the same.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// How work under an idempotency key begins.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart where it was made"
)]
pub enum Begin {
    /// It was not done before.
    Fresh(UnitOfWork),
    /// It was; this was the answer.
    Replay(Reply),
}

/// A point in a unit of work to which it can be rolled back.
pub(super) struct Savepoint {
    signals: usize,
    alerts: usize,
}

/// One database transaction. Dropped without [`UnitOfWork::commit`], it never happened.
pub struct UnitOfWork {
    context: Context,
    tx: Transaction<'static, Postgres>,
    actor: Actor,
    now: DateTime<Utc>,
    signals: Vec<Signal>,
    alerts: Vec<NewAlert>,
    key: Option<IdempotencyKey>,
    /// None: payments are not traced.
    steps: Option<Steps>,
}

impl UnitOfWork {
    fn new(
        context: Context,
        tx: Transaction<'static, Postgres>,
        actor: Actor,
        steps: Option<Steps>,
    ) -> Self {
        let now = context.clock().now();
        Self {
            context,
            tx,
            actor,
            now,
            signals: Vec::new(),
            alerts: Vec::new(),
            key: None,
            steps,
        }
    }

    pub(super) fn keep_reply_under(&mut self, key: IdempotencyKey) {
        self.key = Some(key);
    }

    /// The moment at which all of this happens.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Reads the clock again after waiting for a lock: rows that the lock guards may have been written since this unit
    /// began, and history must not run backwards.
    pub(super) fn refresh_now(&mut self) {
        self.now = self.context.clock().now();
    }

    /// A new UUID.
    pub(super) fn uuid(&self) -> Uuid {
        self.context.clock().uuid()
    }

    /// The actor.
    pub(super) fn actor_name(&self) -> &str {
        &self.actor.name
    }

    /// Replaces the actor, for what is audited from now on.
    pub(super) fn act_as(&mut self, name: String) {
        self.actor.name = name;
    }

    /// The context.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The connection, inside the transaction.
    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Sends a signal after the commit.
    pub(super) fn signal(&mut self, signal: Signal) {
        self.signals.push(signal);
    }

    /// Reports a step of a payment after the commit, if payments are traced.
    pub(super) fn trace(&mut self, origin: Origin) {
        if let Some(steps) = &mut self.steps {
            steps.add(origin);
        }
    }

    /// Everything is locked and read, and what follows is written: for the traces of its payments.
    pub(super) fn decided(&mut self) {
        if let Some(steps) = &mut self.steps {
            steps.decided(self.context.clock().now());
        }
    }

    /// Opens an alert with the commit, unless one of its kind is open for its subject.
    pub(super) fn raise(&mut self, alert: NewAlert) {
        self.alerts.push(alert);
    }

    /// Writes what changed into the audit log.
    pub(super) async fn audit(
        &mut self,
        action: &'static str,
        entity: impl ToString,
        before: Option<Value>,
        after: Option<Value>,
    ) -> Result<()> {
        let entity = entity.to_string();
        tracing::debug!(action, entity, "a change is recorded in the audit log");
        let change = store::people::audit::Change {
            actor: &self.actor.name,
            action,
            entity,
            request_id: self.actor.request_id.as_deref(),
            before,
            after,
        };
        store::people::audit::record(&mut self.tx, self.now, change).await?;
        Ok(())
    }

    /// A savepoint for [`UnitOfWork::roll_back_to`]: to find out whether something can be done.
    pub(super) async fn savepoint(&mut self) -> Result<Savepoint> {
        store::savepoint(&mut self.tx).await?;
        Ok(Savepoint {
            signals: self.signals.len(),
            alerts: self.alerts.len(),
        })
    }

    /// Keeps everything since the savepoint, and drops it: one is enough for any number of tries.
    pub(super) async fn release(&mut self, _: Savepoint) -> Result<()> {
        store::release(&mut self.tx).await?;
        Ok(())
    }

    /// Undoes everything since the savepoint, and drops it.
    pub(super) async fn roll_back_to(&mut self, savepoint: Savepoint) -> Result<()> {
        store::undo(&mut self.tx).await?;
        store::release(&mut self.tx).await?;
        self.signals.truncate(savepoint.signals);
        self.alerts.truncate(savepoint.alerts);
        Ok(())
    }

    /// Writes the alerts, commits, then sends the signals that follow the commit.
    ///
    /// # Errors
    /// The database's; then nothing happened, or it is not known whether it did.
    pub async fn commit(mut self) -> Result<()> {
        // Last, so that no other lock is waited for while an alert's is held.
        alert_record::open(&self.context, &mut self.tx, &self.alerts).await?;
        let steps = self.steps.map(|steps| (steps, self.context.clock().now()));
        self.tx.commit().await?;
        if let Some((steps, written)) = steps {
            steps.report(&self.context, written);
        }
        for signal in self.signals {
            self.context.signals().send(signal);
        }
        Ok(())
    }

    /// Commits what was done so far, because a partner is called next. The idempotency key stays reserved until `until`.
    ///
    /// # Errors
    /// As [`UnitOfWork::commit`].
    pub(super) async fn pause(mut self, until: DateTime<Utc>) -> Result<Paused> {
        let key = self.key.take();
        if let Some(key) = &key {
            let (scope, name) = (&key.scope, &key.key);
            store::idempotency::reserve(
                &mut self.tx,
                scope,
                name,
                &key.request_hash,
                self.now,
                until,
            )
            .await?;
        }
        let paused = Paused {
            context: self.context.clone(),
            actor: self.actor.clone(),
            key,
        };
        self.commit().await?;
        Ok(paused)
    }

    /// Releases the idempotency key: the request was not answered, and may be tried again.
    pub(super) async fn release_key(&mut self) -> Result<()> {
        if let Some(key) = self.key.take() {
            store::idempotency::release(&mut self.tx, &key.scope, &key.key, &key.request_hash)
                .await?;
        }
        Ok(())
    }

    /// Commits together with the answer, which is kept for the idempotency key if there is one.
    ///
    /// # Errors
    /// As [`UnitOfWork::commit`].
    pub async fn commit_with(mut self, kept: &Reply) -> Result<()> {
        if let Some(key) = self.key.take() {
            let expires_at = self
                .now
                .checked_add_signed(self.context.settings().idempotency_lifetime)
                .unwrap_or(self.now + TimeDelta::hours(24));
            let stored = store::idempotency::Stored {
                request_hash: key.request_hash,
                status: kept.status,
                body: kept.body.to_vec(),
            };
            store::idempotency::insert(
                &mut self.tx,
                &key.scope,
                &key.key,
                &stored,
                self.now,
                expires_at,
            )
            .await
            .map_err(|error| match error {
                sqlx::Error::RowNotFound => Error::Duplicate {
                    message: "a request with this Idempotency-Key was answered at this moment"
                        .into(),
                    retry_after_s: Some(1),
                },
                other => other.into(),
            })?;
        }
        self.commit().await
    }
}

/// A transaction for several reads that must be of the same moment. As [`Context::transaction`], in a task of its own.
pub(super) async fn snapshot(pool: &PgPool) -> Result<Transaction<'static, Postgres>> {
    let pool = pool.clone();
    let begin = async move {
        pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .await
    };
    let begun = tokio::spawn(begin.in_current_span()).await;
    Ok(begun.map_err(anyhow::Error::from)??)
}

impl Context {
    /// Begins a database transaction, in a task of its own: a caller that is dropped while BEGIN is on its way (an HTTP client
    /// hangs up) would otherwise give the connection back to the pool with the transaction open, because sqlx 0.9 rolls back
    /// only what it has seen begin.
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
        let steps = Steps::begin(self);
        let tx = self.transaction().await?;
        Ok(UnitOfWork::new(self.clone(), tx, actor, steps))
    }

    /// A unit of work on a connection of payments, for a worker: it is not dropped while BEGIN is on its way, unless the
    /// process ends, and needs no task of its own for that.
    #[expect(clippy::disallowed_methods, reason = "a worker is not cut off")]
    pub(super) async fn begin_in_worker(&self, actor: Actor) -> Result<UnitOfWork> {
        let steps = Steps::begin(self);
        partition::ensure_today(self).await?;
        let tx = self.payments().begin().await?;
        Ok(UnitOfWork::new(self.clone(), tx, actor, steps))
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
            Some(_) => Err(Error::duplicate(
                "this Idempotency-Key was used for another request",
            )),
        }
    }
}

/// A unit of work that waits for a partner, outside of any database transaction.
pub(super) struct Paused {
    context: Context,
    actor: Actor,
    key: Option<IdempotencyKey>,
}

impl Paused {
    /// Continues, in a database transaction of its own.
    pub(super) async fn resume(self) -> Result<UnitOfWork> {
        let mut unit = self.context.begin(self.actor).await?;
        unit.key = self.key;
        Ok(unit)
    }
}
