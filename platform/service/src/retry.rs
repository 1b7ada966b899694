//! Transactions that conflicted with another one are run again, from their beginning.
//!
//! One lock order (docs/invariants.md) keeps use cases from deadlocking. After an unforeseen deadlock or a serialisation
//! failure Postgres has rolled the transaction back, so its work is repeated and the caller does not see the conflict. Over
//! HTTP the whole request is repeated (`http::rerun`), by MQTT and in jobs the closure given to [`retried`].

use std::time::Duration;

use super::{Error, Result};

/// How many times work is tried before the caller gets the conflict.
pub const TRIES_MAX: u32 = 6;
/// The longest wait before the second try; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(8);

/// Repeats `work` while its transaction conflicts with another one, a limited number of times.
/// `work` begins its own transaction, and has no effect outside of it before it has committed.
///
/// # Errors
/// Those of `work`; [`Error::Contended`] after a conflict in each try.
pub async fn retried<T, F>(mut work: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    for tries in 1.. {
        match work().await {
            Err(Error::Database(error)) if is_conflict(&error) => {
                if tries >= TRIES_MAX {
                    return Err(Error::Contended(error));
                }
            }
            done => return done,
        }
        tokio::time::sleep(wait_after(tries)).await;
    }
    unreachable!("the loop ends by returning")
}

/// Whether Postgres rolled this transaction back because of another one. Counts it.
pub fn is_conflict(error: &sqlx::Error) -> bool {
    let code = match error.as_database_error().and_then(|error| error.code()) {
        Some(code) if code == "40001" => "40001",
        Some(code) if code == "40P01" => "40P01",
        _ => return false,
    };
    metrics::counter!("transaction_conflicts_total", "code" => code).increment(1);
    tracing::warn!(code, %error, "a transaction conflicted with another one");
    true
}

/// How long to wait after this many tries: a random part of a time that doubles, so that the two do not collide again.
pub fn wait_after(tries: u32) -> Duration {
    let longest = FIRST_WAIT.saturating_mul(1 << tries.saturating_sub(1).min(8));
    longest.mul_f64(rand::random_range(0.25..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_differ() {
        for tries in 1..20 {
            let wait = wait_after(tries);
            assert!(
                wait >= FIRST_WAIT / 4 && wait <= FIRST_WAIT * 256,
                "{wait:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_no_conflict_is_not_done_again() {
        let mut done = 0;
        let outcome: Result<()> = retried(|| {
            done += 1;
            async { Err(Error::Database(sqlx::Error::PoolTimedOut)) }
        })
        .await;
        assert!(outcome.is_err());
        assert_eq!(done, 1);
    }
}
