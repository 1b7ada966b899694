//! Customers who pay: a code is asked for or taken from the wall, and the acquirer reports the payment until the
//! platform takes it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use wire::{DeviceId, Rupiah, TransactionId};

use super::book::Book;
use super::shop::Terminal;
use crate::api::{Api, ApiError};
use crate::clock;
use crate::credentials::Credentials;
use crate::link::pace::backoff;
use crate::partner::{Callback, Partner, Target};
use crate::qr;

/// How long a payment is tried for.
const TRY_MAX: Duration = Duration::from_secs(60);

/// Where customers pay, and who reports it.
pub struct Till {
    /// The server, for boxes that ask for codes.
    pub api: Api,
    /// The acquirer.
    pub partner: Partner,
    /// Whom static QRs name.
    pub nmid: String,
    /// Where it is written down.
    pub book: Arc<Mutex<Book>>,
}

/// One customer.
pub struct Customer {
    /// Whose box shows the code.
    pub seller: Arc<Credentials>,
    /// The boxes of that terminal.
    pub hearers: Arc<[DeviceId]>,
    /// The printed code's terminal, when the customer pays that one.
    pub printed: Option<Terminal>,
    /// How much.
    pub amount: Rupiah,
}

impl Till {
    /// The customer pays.
    ///
    /// # Errors
    /// A refusal, or no answer for a minute.
    pub async fn pay(&self, customer: Customer) -> Result<(), ApiError> {
        let started = Instant::now();
        let target = match &customer.printed {
            None => Target::Transaction(self.code(&customer, started).await?),
            Some(terminal) => Target::Static {
                nmid: self.nmid.clone(),
                terminal_label: Some(terminal.label.clone()),
            },
        };
        let dynamic = match &target {
            Target::Transaction(id) => Some(*id),
            Target::Static { .. } => None,
        };
        let callback = Callback::new(target, customer.amount, "success", clock::now());
        for failures in 0.. {
            let sent_at = Instant::now();
            if let Some(id) = dynamic {
                self.write(|book| book.paying(id, &customer.hearers, sent_at));
            }
            match self.partner.post(&callback).await {
                Ok(accepted) => {
                    let answered_at = Instant::now();
                    let id = dynamic.or_else(|| {
                        accepted.answer["data"]["transaction_id"]
                            .as_str()?
                            .parse()
                            .ok()
                    });
                    let Some(id) = id else {
                        return Err(ApiError::Unexpected {
                            status: 200,
                            problem: "the payment has no transaction_id".to_owned(),
                        });
                    };
                    self.write(|book| {
                        if dynamic.is_none() {
                            book.paying(id, &customer.hearers, sent_at);
                        }
                        book.accepted(id, answered_at);
                    });
                    return Ok(());
                }
                Err(error) if error.is_temporary() && started.elapsed() < TRY_MAX => {
                    tracing::debug!("a callback is sent again: {error}");
                    sleep(backoff(failures)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A code for this customer.
    async fn code(&self, customer: &Customer, started: Instant) -> Result<TransactionId, ApiError> {
        let mut failures = 0;
        loop {
            match qr::by_http(&self.api, &customer.seller, customer.amount).await {
                Ok(qr) => return Ok(qr.transaction_id),
                Err(error) if error.is_temporary() && started.elapsed() < TRY_MAX => {
                    sleep(backoff(failures)).await;
                    failures += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn write(&self, note: impl FnOnce(&mut Book)) {
        if let Ok(mut book) = self.book.lock() {
            note(&mut book);
        }
    }
}
