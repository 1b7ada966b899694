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
    let mut failures = 0;
    loop {
        match timeout(ANSWERED_WITHIN, request()).await {
            Ok(Ok(answer)) if (200..300).contains(&answer.status) => return Some(answer),
            Ok(Ok(answer)) if answer.status < 500 && answer.status != 429 => {
                eprintln!("refused: {answer}");
                return None;
            }
            _ => {}
        }
        repeating();
        sleep(backoff(failures)).await;
        failures = failures.saturating_add(1);
    }
}
