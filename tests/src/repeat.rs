//! A request that is repeated until it is answered.

use std::time::Duration;

use device_sim::link::timing::backoff;
use tokio::time::{sleep, timeout};

use crate::api::Answer;

/// How long an answer is waited for before the request is repeated.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Repeats a request, with the simulator's backoff, until it is answered 2xx; `None`: it was refused. `repeating` is called
/// before each repetition.
pub async fn until_answered<F>(request: impl Fn() -> F, repeating: impl Fn()) -> Option<Answer>
where
    F: Future<Output = reqwest::Result<Answer>>,
{
    let answer = until_final(ANSWERED_WITHIN, request, repeating).await;
    if !(200..300).contains(&answer.status) {
        eprintln!("refused: {answer}");
        return None;
    }
    Some(answer)
}

/// Repeats a request, with the simulator's backoff, until there is an answer that another attempt would not change: none of
/// 5xx, and not 429. `repeating` is called before each repetition.
pub async fn until_final<F>(
    answered_within: Duration,
    request: impl Fn() -> F,
    repeating: impl Fn(),
) -> Answer
where
    F: Future<Output = reqwest::Result<Answer>>,
{
    let mut failures = 0;
    loop {
        match timeout(answered_within, request()).await {
            Ok(Ok(answer)) if answer.status < 500 && answer.status != 429 => return answer,
            _ => {}
        }
        repeating();
        sleep(backoff(failures)).await;
        failures = failures.saturating_add(1);
    }
}
