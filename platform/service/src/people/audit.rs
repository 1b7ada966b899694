//! The audit log: reading it, sealing it, and detecting changes of sealed rows.
//!
//! Changes write their rows in their own transactions, many at a time. One sealer at a time appends the committed rows
//! to a chain of hashes ([`domain::audit`]). Its head is in the metrics, in the log and in the API: with a copy of a head
//! that was kept elsewhere, one can prove later that no earlier row was changed.

use chrono::{DateTime, Utc};
use domain::alert::AlertSubject;
use domain::audit::{self, GENESIS, Hash};
use serde::Serialize;
use serde_json::json;
use store::Page;
use store::people::audit::{Entry, Filter, Record, Seal};

use crate::{Context, Result, failed_item};
use utoipa::ToSchema;

/// How many batches one run seals.
const SEAL_BATCHES_MAX: usize = 20;
/// How many links are read at a time when the chain is verified.
const VERIFY_BATCH: i64 = 1000;
/// How many findings are reported.
const FINDINGS_MAX: usize = 100;

/// The end of the chain.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AuditHead)]
pub struct Head {
    /// How many rows are sealed.
    pub seq: i64,
    /// The hash over all of them, lower-case hex.
    pub head: String,
    /// When the last one was sealed.
    pub sealed_at: Option<DateTime<Utc>>,
    /// How many committed rows wait for their seal.
    pub waiting: i64,
}

/// What came out of a verification.
#[derive(Debug, Clone)]
pub struct Report {
    /// The end of the chain.
    pub head: Head,
    /// What is wrong, each in a sentence; the first hundred.
    pub findings: Vec<String>,
}

/// The log, newest first.
pub async fn list(context: &Context, filter: &Filter, page: Page) -> Result<Vec<Entry>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::people::audit::list(&mut conn, filter, page).await?)
}

/// Which of these rows are not as they were when they were sealed. It is cheap, and it proves nothing about what was deleted
/// or made anew: [`verify`] does.
pub async fn changed(context: &Context, ids: &[i64]) -> Result<Vec<i64>> {
    let mut conn = context.fresh().acquire().await?;
    let links = store::people::audit::links_of(&mut conn, ids).await?;
    let changed = links.iter().filter(|(seal, record)| {
        !is_whole(seal) || audit::row_hash(row(record))[..] != seal.row_hash[..]
    });
    Ok(changed.map(|(seal, _)| seal.audit_id).collect())
}

/// The end of the chain.
pub async fn head(context: &Context) -> Result<Head> {
    let mut conn = context.pool().acquire().await?;
    read_head(&mut conn).await
}

async fn read_head(conn: &mut sqlx::PgConnection) -> Result<Head> {
    let progress = store::people::audit::progress(conn).await?;
    Ok(Head {
        seq: progress.seq.unwrap_or(0),
        head: hex::encode(progress.head.as_deref().unwrap_or(&GENESIS)),
        sealed_at: progress.sealed_at,
        waiting: progress.waiting,
    })
}

/// Seals committed rows, batch by batch, a limited number of batches. A batch that fails because of one row is sealed row by
/// row: that row stays unsealed, with an alert, and the others are sealed.
///
/// # Errors
/// A chain that cannot be continued.
pub async fn seal(context: &Context, batch: i64) -> Result<()> {
    for _ in 0..SEAL_BATCHES_MAX {
        match seal_batch(context, Taken::Next(batch)).await {
            Ok(sealed) if sealed < batch => break,
            Ok(_) => {}
            Err(error) if error.is_of_the_item() => return seal_each(context, batch).await,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn seal_each(context: &Context, batch: i64) -> Result<()> {
    let mut after = 0;
    for _ in 0..SEAL_BATCHES_MAX {
        let mut conn = context.pool().acquire().await?;
        let waiting = store::people::audit::waiting(&mut conn, after, batch).await?;
        drop(conn);
        let Some(last) = waiting.last().copied() else {
            break;
        };
        for audit_id in waiting {
            if let Err(error) = seal_batch(context, Taken::One(audit_id)).await {
                let details = json!({ "audit_id": audit_id });
                let subject = AlertSubject::Platform;
                failed_item::put_aside(context, "seal_audit", subject, error, details).await?;
            }
        }
        after = last;
    }
    Ok(())
}

/// Which rows are sealed in one transaction.
#[derive(Debug, Clone, Copy)]
enum Taken {
    /// At most this many unsealed rows.
    Next(i64),
    /// This one.
    One(i64),
}

/// Seals rows in one transaction. The answer: how many.
async fn seal_batch(context: &Context, taken: Taken) -> Result<i64> {
    let mut tx = context.transaction().await?;
    store::people::audit::lock_chain(&mut tx).await?;
    let records = match taken {
        Taken::Next(limit) => store::people::audit::take_waiting(&mut tx, limit).await?,
        Taken::One(id) => store::people::audit::take_one(&mut tx, id).await?,
    };
    if records.is_empty() {
        return Ok(0);
    }
    let last = store::people::audit::head(&mut tx).await?;
    let (mut seq, mut previous) = match &last {
        None => (0, GENESIS),
        Some(seal) => (seal.seq, hash(&seal.head)?),
    };
    let now = context.clock().now();
    let mut seals = Vec::with_capacity(records.len());
    for record in &records {
        seq += 1;
        let row_hash = audit::row_hash(row(record));
        let head = audit::head(&previous, seq, record.id, &row_hash, now.timestamp_micros());
        seals.push(Seal {
            seq,
            audit_id: record.id,
            row_hash: row_hash.to_vec(),
            previous_head: previous.to_vec(),
            head: head.to_vec(),
            sealed_at: now,
        });
        previous = head;
    }
    store::people::audit::append(&mut tx, &seals).await?;
    tx.commit().await?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "gauges are floats; exact up to 2^53 rows"
    )]
    metrics::gauge!("audit_chain_seq").set(seq as f64);
    // If logs are kept on another machine, each of these lines is a head that cannot be changed from here.
    tracing::info!(target: "audit", seq, head = hex::encode(previous), "audit rows sealed");
    Ok(i64::try_from(seals.len()).unwrap_or(i64::MAX))
}

/// Reads the whole chain and compares it with the log. `known_head`, of an earlier time, must be in it.
pub async fn verify(context: &Context, known_head: Option<&str>) -> Result<Report> {
    // One snapshot, however long the verification takes.
    let mut tx = context.transaction().await?;
    store::people::audit::hold_view(&mut tx).await?;
    let head = read_head(&mut tx).await?;
    let mut findings = Findings::default();
    let mut known_seen = known_head.is_none_or(|known| known == hex::encode(GENESIS));
    let (mut seq, mut previous) = (0, GENESIS);
    loop {
        let links = store::people::audit::chain_after(&mut tx, seq, VERIFY_BATCH).await?;
        if links.is_empty() {
            break;
        }
        for (seal, record) in &links {
            findings.check_link(seq, &previous, seal, record.as_ref());
            known_seen |= known_head.is_some_and(|known| known == hex::encode(&seal.head));
            seq = seal.seq;
            previous = hash(&seal.head)?;
        }
    }
    if !known_seen {
        findings
            .add("the head that you named is not in the chain: links were cut off or made anew");
    }
    for id in store::people::audit::unsealed(&mut tx, VERIFY_BATCH).await? {
        findings.add(format!(
            "row {id} was inserted past the chain: it is neither sealed nor waiting"
        ));
    }
    for id in store::people::audit::lost(&mut tx, VERIFY_BATCH).await? {
        findings.add(format!("row {id} was deleted before it was sealed"));
    }
    Ok(Report {
        head,
        findings: findings.0,
    })
}

#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn add(&mut self, finding: impl Into<String>) {
        if self.0.len() < FINDINGS_MAX {
            self.0.push(finding.into());
        }
    }

    fn check_link(&mut self, last_seq: i64, previous: &Hash, seal: &Seal, record: Option<&Record>) {
        let (seq, id) = (seal.seq, seal.audit_id);
        if seq != last_seq + 1 {
            self.add(format!("the chain has no link {}", last_seq + 1));
        } else if seal.previous_head != previous {
            self.add(format!("link {seq} does not continue link {last_seq}"));
        }
        match record {
            None => self.add(format!(
                "row {id} was deleted: link {seq} seals a row that is not there"
            )),
            Some(record) if audit::row_hash(row(record))[..] != seal.row_hash[..] => {
                self.add(format!("row {id} was changed after link {seq} sealed it"));
            }
            Some(_) => {}
        }
        if !is_whole(seal) {
            self.add(format!("link {seq} was changed"));
        }
    }
}

/// Whether a link is what it was made of.
fn is_whole(seal: &Seal) -> bool {
    match (hash(&seal.previous_head), hash(&seal.row_hash)) {
        (Ok(previous), Ok(row_hash)) => {
            let at = seal.sealed_at.timestamp_micros();
            audit::head(&previous, seal.seq, seal.audit_id, &row_hash, at)[..] == seal.head[..]
        }
        _ => false,
    }
}

fn row(record: &Record) -> audit::Row<'_> {
    audit::Row {
        id: record.id,
        at_us: record.at.timestamp_micros(),
        actor: &record.actor,
        action: &record.action,
        entity: &record.entity,
        request_id: record.request_id.as_deref(),
        before: record.before.as_deref(),
        after: record.after.as_deref(),
    }
}

fn hash(bytes: &[u8]) -> Result<Hash> {
    Ok(bytes
        .try_into()
        .map_err(|_| anyhow::anyhow!("a hash of {} bytes in the audit chain", bytes.len()))?)
}
