//! Waiting with a limit: a test that hangs fails with a message.

use std::future::Future;
use std::time::Duration;

/// Far longer than any step takes, also on a busy machine.
const STEP_MAX: Duration = Duration::from_secs(20);
/// How often a condition is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// Waits for `future`, up to the limit.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(STEP_MAX, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen"),
    }
}

/// Calls `ask` until it gives a value.
pub async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    within(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    })
    .await
}
