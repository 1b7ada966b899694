//! What became of each payment.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wire::TransactionId;

/// How long after the last answer payments may still be heard; a lost notification is sent again after 2, 4 and 8 s.
const HEARD_WITHIN: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Payment {
    /// The acquirer has a 2xx.
    answered: bool,
    /// How often a box spoke it.
    spoken: u32,
}

/// All payments.
#[derive(Default)]
pub struct Tally {
    payments: Mutex<HashMap<TransactionId, Payment>>,
    repeated: AtomicUsize,
    redelivered: AtomicUsize,
    refused: AtomicUsize,
}

impl Tally {
    /// A callback was answered 2xx.
    pub fn answered(&self, id: TransactionId) {
        self.lock().entry(id).or_default().answered = true;
    }

    /// A box spoke a payment.
    pub fn spoken(&self, id: TransactionId) {
        self.lock().entry(id).or_default().spoken += 1;
    }

    /// A box received what is in its journal, and did not speak.
    pub fn redelivered(&self) {
        self.redelivered.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was not answered, or with 5xx or 429.
    pub fn repeated(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was refused for good.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until every answered payment was heard, up to a limit.
    pub async fn wait_until_heard(&self) {
        let deadline = Instant::now() + HEARD_WITHIN;
        while self.lost() > 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many payments were heard.
    pub fn heard(&self) -> usize {
        self.count(|payment| payment.spoken > 0)
    }

    /// Prints what became of them.
    pub fn print(&self) {
        println!(
            "payments: {} answered 2xx, {} heard, {} lost, {} heard twice",
            self.count(|payment| payment.answered),
            self.count(|payment| payment.spoken > 0),
            self.lost(),
            self.twice()
        );
        println!(
            "{} requests repeated by acquirer and customers, {} notifications delivered again and not spoken",
            self.repeated.load(Ordering::Relaxed),
            self.redelivered.load(Ordering::Relaxed)
        );
    }

    /// What must not be.
    pub fn problems(&self) -> Vec<String> {
        let unanswered = self.count(|payment| !payment.answered);
        [
            (self.lost(), "payments were answered 2xx and not heard"),
            (self.twice(), "payments were heard twice"),
            (unanswered, "payments were heard and not answered"),
            (
                self.refused.load(Ordering::Relaxed),
                "payments were refused",
            ),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect()
    }

    fn lost(&self) -> usize {
        self.count(|payment| payment.answered && payment.spoken == 0)
    }

    fn twice(&self) -> usize {
        self.count(|payment| payment.spoken > 1)
    }

    fn count(&self, which: impl Fn(&Payment) -> bool) -> usize {
        let payments = self.lock();
        payments.values().filter(|payment| which(payment)).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TransactionId, Payment>> {
        self.payments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
