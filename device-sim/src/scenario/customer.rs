//! Simulated customers: each takes a dynamic code from a box or a printed code, and the acquirer reports the payment
//! until the platform accepts it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use wire::{DeviceId, Rupiah, TransactionId};

use super::evidence::Evidence;
use super::merchant::Terminal;
use crate::api::{Api, ApiError};
use crate::clock;
use crate::fleet::fleet_box::FleetBox;
use crate::link::timing::backoff;
use crate::partner::{Callback, Partner, Target};
use crate::qr;

/// How long temporary errors of one payment are retried.
const RETRY_WITHIN: Duration = Duration::from_secs(60);

/// The customers of one merchant.
pub struct Customers {
    /// The server, for the boxes' code requests.
    pub api: Api,
    /// The acquirer that reports the payments.
    pub partner: Partner,
    /// The merchant's NMID, which static QRs carry.
    pub nmid: String,
    /// Where payments are recorded.
    pub evidence: Arc<Mutex<Evidence>>,
}

/// One customer.
pub struct Customer {
    /// The box that shows the code.
    pub device: Arc<FleetBox>,
    /// The boxes of that terminal, which are due to announce the payment.
    pub boxes: Arc<[DeviceId]>,
    /// The terminal of the printed code, when the customer pays that one.
    pub printed: Option<Terminal>,
    /// How much.
    pub amount: Rupiah,
}

impl Customers {
    /// Makes one payment.
    ///
    /// # Errors
    /// A refusal, or no answer for a minute.
    pub async fn pay(&self, customer: Customer) -> Result<(), ApiError> {
        let started = Instant::now();
        let target = match &customer.printed {
            None => Target::Transaction(self.request_code(&customer, started).await?),
            Some(terminal) => Target::Static {
                nmid: self.nmid.clone(),
                terminal_label: Some(terminal.label.clone()),
            },
        };
        let dynamic = match &target {
            Target::Transaction(id) => Some(*id),
            Target::Order(_) | Target::Static { .. } => None,
        };
        let callback = Callback::new(target, customer.amount, "success", clock::now());
        for failures in 0.. {
            let sent_at = Instant::now();
            if let Some(id) = dynamic {
                self.record(|evidence| {
                    evidence.callback_sent(id, &customer.boxes, customer.amount, sent_at)
                });
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
                    self.record(|evidence| {
                        if dynamic.is_none() {
                            evidence.callback_sent(id, &customer.boxes, customer.amount, sent_at);
                        }
                        evidence.callback_accepted(id, answered_at);
                    });
                    return Ok(());
                }
                Err(error) if error.is_temporary() && started.elapsed() < RETRY_WITHIN => {
                    tracing::debug!("a callback is sent again: {error}");
                    sleep(backoff(failures)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Requests a dynamic code as the box.
    async fn request_code(
        &self,
        customer: &Customer,
        started: Instant,
    ) -> Result<TransactionId, ApiError> {
        let FleetBox::Native(credentials, _) = &*customer.device else {
            return Err(ApiError::Unexpected {
                status: 0,
                problem: "a box of another maker has no token to request a code with".to_owned(),
            });
        };
        let mut failures = 0;
        loop {
            match qr::by_http(&self.api, credentials, customer.amount).await {
                Ok(qr) => return Ok(qr.transaction_id),
                Err(error) if error.is_temporary() && started.elapsed() < RETRY_WITHIN => {
                    sleep(backoff(failures)).await;
                    failures += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn record(&self, write: impl FnOnce(&mut Evidence)) {
        if let Ok(mut evidence) = self.evidence.lock() {
            write(&mut evidence);
        }
    }
}
