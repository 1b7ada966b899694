//! Lists as CSV files: all that a list has, in its order, read a page at a time while the file is sent. No connection is
//! held while its reader is slow.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use futures_util::stream;
use service::Error;
use store::Page;
use uuid::Uuid;

use super::csv::{self, CsvFile};
use super::error::ApiError;
use super::language::Language;

/// Rows of one page: what is in memory at a time.
const PAGE: i64 = 500;
/// The most rows of a file. A longer one breaks off as a failed download, so that none is taken for whole.
const ROWS_MAX: i64 = 200_000;

/// A column: its Indonesian and its English name.
type Column = (&'static str, &'static str);
/// Reads a page of what is asked for.
type Read<A, T> = fn(Arc<A>, Page) -> BoxFuture<'static, Result<Vec<T>, Error>>;

/// How the rows of a list are written.
pub(super) struct Shape<T> {
    /// The Indonesian and the English name of the file, without its ending.
    pub(super) name: (&'static str, &'static str),
    /// The names of the columns.
    pub(super) columns: &'static [Column],
    /// The cells of a row.
    pub(super) cells: fn(&T) -> Vec<String>,
    /// A row's place in the list.
    pub(super) place: fn(&T) -> (DateTime<Utc>, Uuid),
}

impl<T: Send + 'static> Shape<T> {
    /// A file of the pages that `read` finds of `asked`.
    ///
    /// # Errors
    /// What the first page meets: a filter that cannot be asked for is refused before the file begins.
    pub(super) async fn file<A: Send + Sync + 'static>(
        self,
        language: Language,
        asked: A,
        read: Read<A, T>,
    ) -> Result<CsvFile, ApiError> {
        let asked = Arc::new(asked);
        let names: Vec<&str> = self
            .columns
            .iter()
            .map(|(id, en)| language.pick(*id, *en))
            .collect();
        let head = csv::row(&names)?;
        let first = read(Arc::clone(&asked), page(None)).await?;
        let name = format!("{}.csv", language.pick(self.name.0, self.name.1));
        let start = Part {
            text: head,
            rows: Some(first),
            left: ROWS_MAX,
        };
        let parts = stream::try_unfold(start, move |part| {
            let asked = Arc::clone(&asked);
            async move {
                part.next(self.cells, self.place, |page| read(asked, page))
                    .await
            }
        });
        Ok(CsvFile::named(&name, Body::from_stream(parts)))
    }
}

fn page(after: Option<(DateTime<Utc>, Uuid)>) -> Page {
    Page { limit: PAGE, after }
}

/// What is sent next.
struct Part<T> {
    /// What is written already.
    text: Vec<u8>,
    /// The rows that follow; none at the end.
    rows: Option<Vec<T>>,
    /// How many rows the file may still have.
    left: i64,
}

impl<T> Part<T> {
    async fn next(
        mut self,
        cells: fn(&T) -> Vec<String>,
        place: fn(&T) -> (DateTime<Utc>, Uuid),
        read: impl FnOnce(Page) -> BoxFuture<'static, Result<Vec<T>, Error>> + Send,
    ) -> std::io::Result<Option<(Bytes, Self)>> {
        let Some(rows) = self.rows else {
            return Ok(None);
        };
        for row in &rows {
            let written = cells(row);
            let cells: Vec<&str> = written.iter().map(String::as_str).collect();
            let line =
                csv::row(&cells).map_err(|error| std::io::Error::other(error.code().as_str()))?;
            self.text.extend(line);
        }
        self.left -= PAGE;
        let is_full = i64::try_from(rows.len()).is_ok_and(|count| count == PAGE);
        let next = match rows.last().filter(|_| is_full) {
            None => None,
            Some(_) if self.left <= 0 => return Err(std::io::Error::other("the file is too long")),
            Some(last) => {
                let read = read(page(Some(place(last)))).await;
                Some(read.map_err(|error| std::io::Error::other(error.to_string()))?)
            }
        };
        let part = Self {
            text: Vec::new(),
            rows: next,
            left: self.left,
        };
        Ok(Some((Bytes::from(self.text), part)))
    }
}

/// A cell with what there is; empty without.
pub(super) fn cell(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
