//! Work on many items at once, in which one that fails does not stop the others.

use std::ops::{Deref, Range};
use std::sync::Arc;

use domain::alert::{AlertSubject, NewAlert};
use serde_json::json;

use super::retry::retried;
use super::{Context, Error, Result, alert_record, failed_item};

/// What became of one item.
#[derive(Debug)]
pub enum Outcome<R> {
    /// It was done.
    Done(R),
    /// It failed by itself, because of its content.
    Failed(Error),
    /// The database is away. It may be done later.
    Unavailable,
}

/// Opens an alert for an item of a job that was put aside.
pub async fn put_aside(context: &Context, job: &'static str, subject: AlertSubject, error: &Error) {
    failed_item::note(job, &subject, error);
    if let Err(error) = alert_record::open_now(context, failed_alert(job, subject, error)).await {
        tracing::warn!(job, %error, "an alert could not be opened");
    }
}

/// The alert for an item of a job that was put aside.
pub(super) fn failed_alert(job: &'static str, subject: AlertSubject, error: &Error) -> NewAlert {
    failed_item::alert(job, subject, &error.to_string(), json!({}))
}

/// A contiguous part of a batch.
#[derive(Debug, Clone)]
pub struct Part<T> {
    items: Arc<[T]>,
    range: Range<usize>,
}

impl<T> Deref for Part<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.items.get(self.range.clone()).unwrap_or_default()
    }
}

/// For a batch whose failed items need no more than the log line of [`isolate`].
///
/// # Errors
/// [`Error::Internal`] when the database was away.
pub fn finish<R>(outcomes: &[Outcome<R>]) -> Result<()> {
    let away = outcomes
        .iter()
        .any(|outcome| matches!(outcome, Outcome::Unavailable));
    if away {
        return Err(anyhow::anyhow!("a batch was not finished").into());
    }
    Ok(())
}

/// Runs a job's statement on all rows that are due: `work(None)`. If that fails because of one of them, it runs on the rows
/// of `find`, and rows that fail by themselves are put aside with an alert. The answer: how many rows were changed.
pub async fn sweep<I, F, G>(
    context: &Context,
    job: &'static str,
    subject: fn(I) -> AlertSubject,
    work: impl Fn(Option<Part<I>>) -> F,
    find: impl FnOnce() -> G,
) -> Result<u64>
where
    I: Copy,
    F: Future<Output = Result<u64>>,
    G: Future<Output = Result<Vec<I>>>,
{
    match retried(|| work(None)).await {
        Err(error) if error.is_of_the_item() => {}
        done => return done,
    }
    let rows = find().await?;
    let one_each = |part: Part<I>| {
        let changed = vec![1; part.len()];
        let done = work(Some(part));
        async move { done.await.map(|_| changed) }
    };
    let outcomes = isolate(rows.clone(), one_each).await;
    let mut changed = 0;
    for (row, outcome) in rows.into_iter().zip(&outcomes) {
        match outcome {
            Outcome::Done(one) => changed += one,
            Outcome::Failed(error) => put_aside(context, job, subject(row), error).await,
            Outcome::Unavailable => {}
        }
    }
    finish(&outcomes).map(|()| changed)
}

/// Runs `work` on all of `items` at once. If that fails because of one of them, it runs on halves, down to the single item
/// that fails. `work` answers for each item in order, and has no effect when it fails. With `n` items and `k`
/// impossible ones that takes at most `2·k·log₂(n)` calls more.
pub async fn isolate<T, R, F>(items: Vec<T>, work: impl Fn(Part<T>) -> F) -> Vec<Outcome<R>>
where
    F: Future<Output = Result<Vec<R>>>,
{
    let items: Arc<[T]> = items.into();
    let mut outcomes: Vec<Outcome<R>> = Vec::with_capacity(items.len());
    // Ranges that are still to do, the first on top: outcomes are in the order of the items.
    let mut ranges: Vec<Range<usize>> = std::iter::once(0..items.len()).collect();
    while let Some(range) = ranges.pop() {
        if range.is_empty() {
            continue;
        }
        let part = || Part {
            items: Arc::clone(&items),
            range: range.clone(),
        };
        match retried(|| work(part())).await {
            Ok(done) => outcomes.extend(done.into_iter().map(Outcome::Done)),
            Err(error) if !error.is_of_the_item() => {
                tracing::warn!(%error, "a batch could not be worked on");
                break;
            }
            Err(error) if range.len() == 1 => {
                tracing::warn!(%error, "an item of a batch cannot be worked on");
                outcomes.push(Outcome::Failed(error));
            }
            Err(_) => {
                let middle = range.start + range.len() / 2;
                ranges.push(middle..range.end);
                ranges.push(range.start..middle);
            }
        }
    }
    outcomes.resize_with(items.len(), || Outcome::Unavailable);
    outcomes
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    fn run(items: &[u32], bad: impl Fn(u32) -> bool, calls: &Cell<usize>) -> Vec<Outcome<u32>> {
        let work = |part: Part<u32>| {
            calls.set(calls.get() + 1);
            let outcome = match part.iter().any(|item| bad(*item)) {
                true => Err(Error::Malformed("impossible".into())),
                false => Ok(part.to_vec()),
            };
            async { outcome }
        };
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(isolate(items.to_vec(), work))
    }

    proptest! {
        #[test]
        fn what_is_impossible_fails_alone(items in proptest::collection::vec(0_u32..1000, 0..300)) {
            let calls = Cell::new(0);
            let outcomes = run(&items, |item| item % 97 == 0, &calls);
            prop_assert_eq!(outcomes.len(), items.len());
            for (item, outcome) in items.iter().zip(&outcomes) {
                match outcome {
                    Outcome::Done(done) => prop_assert!(done == item && item % 97 != 0),
                    Outcome::Failed(_) => prop_assert!(item % 97 == 0),
                    Outcome::Unavailable => prop_assert!(false, "nothing was away"),
                }
            }
            let bad = items.iter().filter(|item| *item % 97 == 0).count();
            prop_assert!(calls.get() <= 1 + bad * 2 * 9, "{} calls", calls.get());
        }
    }

    #[test]
    fn when_the_database_is_away_nothing_is_called_impossible() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let work =
            |_: Part<u32>| async { Err::<Vec<()>, _>(Error::Database(sqlx::Error::PoolTimedOut)) };
        let outcomes = runtime.block_on(isolate(vec![1, 2, 3], work));
        assert!(
            outcomes
                .iter()
                .all(|one| matches!(one, Outcome::Unavailable))
        );
        assert_eq!(outcomes.len(), 3);
    }
}
