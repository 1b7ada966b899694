//! Reconciliation: an acquirer's file, line by line, against what we have of that acquirer.
//!
//! The file is read as it comes in: a thread parses what has arrived, and lines are stored a batch at a time, so that
//! its size is never in memory. Only a file that was read to its end is compared; what is left of others is forgotten.

use std::io::{self, Read};

use aws_lc_rs::digest;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use domain::csv_file::{CsvFile, Wrong};
use domain::reconciliation::{Format, amount, reference};
use futures_util::{Stream, StreamExt as _};
use serde_json::json;
use store::money::reconciliation::{Line, Reconciliation};
use store::{Page, Period};
use tokio::sync::mpsc;
use wire::ids::ReconciliationId;

use crate::{Context, Error, Noun, Result, UnitOfWork, word};

/// Lines that are stored at a time.
const BATCH_MAX: usize = 1000;
/// Pieces of the file, and batches, that wait for each other.
const WAITING_MAX: usize = 4;
/// A file takes minutes at most.
const UNFINISHED_KEPT: TimeDelta = TimeDelta::hours(1);

/// What is to be compared.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose file it is.
    pub partner_id: String,
    /// Our transactions from here …
    pub from: DateTime<Utc>,
    /// … to before here are expected in it.
    pub to: DateTime<Utc>,
}

/// A file that was read to its end.
#[derive(Debug)]
pub struct Loaded {
    /// The comparison that it is for.
    pub id: ReconciliationId,
    /// SHA-256 of its bytes.
    pub sha256: Vec<u8>,
}

/// Why a file is not read further.
enum Cut {
    TooLarge,
    Away(String),
    Wrong { line: u64, message: String },
    Store(sqlx::Error),
}

/// Reads a file in.
///
/// # Errors
/// A partner that does not exist, a period that ends before it begins; [`Error::TooLarge`]; the first line of the file
/// that is wrong. Nothing of it is left then.
pub async fn load<S, E>(
    context: &Context,
    created_by: &str,
    wanted: Wanted,
    file: S,
) -> Result<Loaded>
where
    S: Stream<Item = std::result::Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    if context.qris_partner(&wanted.partner_id).is_none() {
        return Err(Error::field("partner_id", "there is no such partner"));
    }
    if wanted.from >= wanted.to {
        return Err(Error::field("to", "must be after from"));
    }
    let format = context.settings().file_format(&wanted.partner_id);
    let new = Reconciliation {
        id: ReconciliationId::from_uuid(context.clock().uuid()),
        partner_id: wanted.partner_id,
        period_from: wanted.from,
        period_to: wanted.to,
        status: "loading".into(),
        file_sha256: None,
        matched: 0,
        ours_only: 0,
        theirs_only: 0,
        amount_differs: 0,
        created_by: created_by.to_owned(),
        created_at: context.clock().now(),
    };
    {
        let mut conn = context.pool().acquire().await?;
        store::money::reconciliation::insert(&mut conn, &new).await?;
    }
    match read(context, new.id, format, file).await {
        Ok(sha256) => Ok(Loaded { id: new.id, sha256 }),
        Err(cut) => {
            forget(context, new.id).await?;
            Err(match cut {
                Cut::TooLarge => Error::TooLarge,
                Cut::Away(reason) => Error::Malformed(format!("the file broke off: {reason}")),
                Cut::Wrong { line, message } => Error::field(&format!("line {line}"), message),
                Cut::Store(error) => error.into(),
            })
        }
    }
}

async fn read<S, E>(
    context: &Context,
    id: ReconciliationId,
    format: Format,
    mut file: S,
) -> std::result::Result<Vec<u8>, Cut>
where
    S: Stream<Item = std::result::Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    let bytes_max = context.settings().reconciliation_bytes_max;
    let (pieces, arriving) = mpsc::channel(WAITING_MAX);
    let (batches, mut parsed) = mpsc::channel(WAITING_MAX);
    let parser =
        tokio::task::spawn_blocking(move || parse(&format, Arriving::new(arriving), &batches));
    let feed = async move {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut length = 0;
        while let Some(piece) = file.next().await {
            let piece = piece.map_err(|error| Cut::Away(error.to_string()))?;
            length += piece.len();
            if length > bytes_max {
                return Err(Cut::TooLarge);
            }
            hash.update(&piece);
            if pieces.send(piece).await.is_err() {
                // The parser has ended, with its reason.
                break;
            }
        }
        drop(pieces);
        Ok(hash.finish().as_ref().to_vec())
    };
    let keep = async {
        while let Some(batch) = parsed.recv().await {
            let batch: Batch = batch;
            let mut conn = context.pool().acquire().await.map_err(Cut::Store)?;
            store::money::reconciliation::add_lines(
                &mut conn,
                id,
                &batch.lines,
                &batch.references,
                &batch.amounts,
            )
            .await
            .map_err(Cut::Store)?;
        }
        Ok(())
    };
    let (sha256, ()) = futures_util::future::try_join(feed, keep).await?;
    match parser.await {
        Ok(Ok(())) => Ok(sha256),
        Ok(Err(cut)) => Err(cut),
        Err(error) => Err(Cut::Away(error.to_string())),
    }
}

/// Lines on their way to the database.
#[derive(Debug, Default)]
struct Batch {
    lines: Vec<i64>,
    references: Vec<String>,
    amounts: Vec<i64>,
}

/// Reads lines until the file ends or one is wrong; ends early when the receiver is gone.
fn parse(
    format: &Format,
    file: impl Read,
    batches: &mpsc::Sender<Batch>,
) -> std::result::Result<(), Cut> {
    let wrong = |wrong: Wrong| Cut::Wrong {
        line: wrong.line,
        message: wrong.message,
    };
    let mut file = CsvFile::open(file, Some(format.delimiter)).map_err(wrong)?;
    let column = |name: &str| match file.column(name) {
        Ok(Some(at)) => Ok(at),
        Ok(None) => {
            let message = format!("there is no column {name}");
            Err(wrong(Wrong::new(file.header_line(), message)))
        }
        Err(twice) => Err(wrong(twice)),
    };
    let (reference_at, amount_at) = (
        column(&format.reference_column)?,
        column(&format.amount_column)?,
    );
    let columns = file.columns().len();
    let mut batch = Batch::default();
    while let Some(row) = file.next_row().map_err(wrong)? {
        let line = row.line;
        let refuse = |message: &str| wrong(Wrong::new(line, message));
        // A row that was cut off may end within its amount.
        if !row.has(columns) {
            return Err(refuse("it has fewer fields than the header"));
        }
        let field = |at: usize| row.cell(at).unwrap_or_default();
        let their_reference = reference(field(reference_at)).map_err(refuse)?;
        let their_amount = amount(field(amount_at), format.decimal_comma).map_err(refuse)?;
        batch.lines.push(i64::try_from(line).unwrap_or(i64::MAX));
        batch.references.push(their_reference);
        batch.amounts.push(their_amount.to_i64());
        if batch.lines.len() == BATCH_MAX
            && batches.blocking_send(std::mem::take(&mut batch)).is_err()
        {
            return Ok(());
        }
    }
    if !batch.lines.is_empty() {
        // Without a receiver the receiver's error is reported.
        let _ = batches.blocking_send(batch);
    }
    Ok(())
}

/// What has arrived of a file, for a thread that waits for it.
struct Arriving {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Arriving {
    fn new(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self {
            pieces,
            current: Bytes::new(),
        }
    }
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}

/// Compares a file that was read in.
pub async fn compare(unit: &mut UnitOfWork, loaded: &Loaded) -> Result<Reconciliation> {
    store::money::reconciliation::compare(unit.conn(), loaded.id).await?;
    let sha256 = hex::encode(&loaded.sha256);
    store::money::reconciliation::finish(unit.conn(), loaded.id, &sha256).await?;
    let done = store::money::reconciliation::find(unit.conn(), loaded.id)
        .await?
        .ok_or(Error::NotFound(Noun::Reconciliation))?;
    unit.audit("reconciliation.create", loaded.id, None, Some(json!(done)))
        .await?;
    Ok(done)
}

/// Forgets a file that is not to be compared.
pub async fn forget(context: &Context, id: ReconciliationId) -> Result<()> {
    let mut conn = context.pool().acquire().await?;
    store::money::reconciliation::delete(&mut conn, id).await?;
    Ok(())
}

/// Forgets files that were cut off.
pub async fn forget_unfinished(context: &Context) -> Result<()> {
    let mut conn = context.pool().acquire().await?;
    let now = context.clock().now();
    store::money::reconciliation::forget_unfinished(&mut conn, now, UNFINISHED_KEPT).await?;
    Ok(())
}

/// One comparison.
///
/// # Errors
/// No such comparison.
pub async fn get(context: &Context, id: ReconciliationId) -> Result<Reconciliation> {
    let mut conn = context.pool().acquire().await?;
    store::money::reconciliation::find(&mut conn, id)
        .await?
        .ok_or(Error::NotFound(Noun::Reconciliation))
}

/// Comparisons, newest first.
pub async fn list(
    context: &Context,
    partner_id: Option<&str>,
    made: Period,
    page: Page,
) -> Result<Vec<Reconciliation>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::money::reconciliation::list(&mut conn, partner_id, made, page).await?)
}

/// Lines after one of them, in the order of the file, optionally of one class.
///
/// # Errors
/// A class that does not exist.
pub async fn lines(
    context: &Context,
    id: ReconciliationId,
    class: Option<&str>,
    after: i64,
    limit: i64,
) -> Result<Vec<Line>> {
    let class = word("class", class)?;
    let mut conn = context.lists().acquire().await?;
    Ok(store::money::reconciliation::lines(&mut conn, id, class, after, limit).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format() -> Format {
        Format {
            reference_column: "ref".into(),
            amount_column: "jumlah".into(),
            delimiter: b';',
            decimal_comma: true,
        }
    }

    /// Line, reference and amount.
    type Parsed = Vec<(i64, String, i64)>;

    fn parsed(text: &str) -> std::result::Result<Parsed, (u64, String)> {
        let (batches, mut parsed) = mpsc::channel(16);
        match parse(&format(), text.as_bytes(), &batches) {
            Ok(()) => {}
            Err(Cut::Wrong { line, message }) => return Err((line, message)),
            Err(_) => return Err((0, String::new())),
        }
        drop(batches);
        let mut lines = Vec::new();
        while let Ok(batch) = parsed.try_recv() {
            for ((line, reference), amount) in batch
                .lines
                .iter()
                .zip(&batch.references)
                .zip(&batch.amounts)
            {
                lines.push((*line, reference.clone(), *amount));
            }
        }
        Ok(lines)
    }

    #[test]
    fn lines_are_read_by_the_names_of_their_columns() {
        let text = "\u{feff}tanggal;ref;jumlah\r\n2026;r-1;Rp150.000,00\r\n2026;\"r;2\"; 5 \r\n";
        let expected = [(2, "r-1".to_owned(), 150_000), (3, "r;2".to_owned(), 5)];
        assert_eq!(parsed(text).unwrap(), expected);
        assert_eq!(parsed("ref;jumlah\n").unwrap(), []);
    }

    #[test]
    fn the_first_wrong_line_is_named() {
        for (text, line) in [
            ("", 1),
            ("reference;amount\n", 1),
            ("ref;jumlah\nr-1;5\nr-2\n", 3),
            ("ref;jumlah\nr-1;lima\n", 2),
            ("ref;jumlah\n;5\n", 2),
        ] {
            assert_eq!(parsed(text).unwrap_err().0, line, "{text}");
        }
    }
}
