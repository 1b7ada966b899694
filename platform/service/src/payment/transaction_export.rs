//! Transactions as a file, read a page at a time. No connection is held while its reader is slow.

use store::payment::transaction::Filter;
use store::payment::transaction_export::{self, Line};
use store::{Page, Scope};

use crate::{Context, Error, Result};

/// The most lines that a file has. A longer one is refused before it begins, so that none is cut off silently.
pub const LINES_MAX: i64 = 100_000;
/// Lines in one page: what is in memory at a time.
const PAGE: i64 = 1000;

/// A file under way.
pub struct Export {
    context: Context,
    scope: Scope,
    filter: Filter,
    /// Where the next page begins; none when the file is complete.
    next: Option<Page>,
    left: i64,
}

impl Export {
    /// A file of the transactions that a list with this filter has.
    ///
    /// # Errors
    /// More than [`LINES_MAX`] transactions.
    pub async fn begin(context: &Context, scope: Scope, filter: Filter) -> Result<Self> {
        let mut conn = context.lists().acquire().await?;
        let count = transaction_export::count(&mut conn, scope, &filter, LINES_MAX + 1).await?;
        if count > LINES_MAX {
            return Err(Error::field(
                "from",
                format!("there are more than {LINES_MAX} transactions; ask for a shorter period"),
            ));
        }
        Ok(Self {
            context: context.clone(),
            scope,
            filter,
            next: Some(Page {
                limit: PAGE,
                after: None,
            }),
            left: LINES_MAX,
        })
    }

    /// The next lines, newest first; none are left when there are none.
    pub async fn next(&mut self) -> Result<Vec<Line>> {
        let Some(page) = self.next.take() else {
            return Ok(Vec::new());
        };
        let mut conn = self.context.lists().acquire().await?;
        let lines = transaction_export::list(&mut conn, self.scope, &self.filter, page).await?;
        self.left -= PAGE;
        self.next = lines.last().filter(|_| self.left > 0).map(|last| Page {
            limit: PAGE,
            after: Some((last.created_at, last.id.as_uuid())),
        });
        Ok(lines)
    }
}
