//! A connected box: takes the time of each payment, then acknowledges it as a box does.

use chrono::{DateTime, Utc};
use service::clock::Clock;
use tests::connection::Connection;
use tests::provision::Provisioned;
use tests::text;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::{DownlinkMessage, EventId, TransactionId};

/// A payment that reached a box.
pub(crate) struct Heard {
    pub(crate) transaction_id: TransactionId,
    pub(crate) event_id: EventId,
    pub(crate) at: DateTime<Utc>,
}

/// Tells of a payment; `false`: nobody listens any more.
pub(crate) fn report(
    heard: &mpsc::UnboundedSender<Heard>,
    transaction_id: TransactionId,
    event_id: EventId,
    at: DateTime<Utc>,
) -> bool {
    let seen = Heard {
        transaction_id,
        event_id,
        at,
    };
    heard.send(seen).is_ok()
}

/// A connected box; its task owns the connection.
pub(crate) struct Listener {
    made: Provisioned,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn connect(
        made: &Provisioned,
        heard: mpsc::UnboundedSender<Heard>,
    ) -> anyhow::Result<Self> {
        let connection = made.listen().await?;
        Ok(Self {
            made: made.clone(),
            task: tokio::spawn(listen(connection, made.clone(), heard)),
        })
    }

    /// Waits until the platform has ended its connection.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        Ok(self.task.await?)
    }

    /// A code that it requests.
    pub(crate) async fn code(&self) -> anyhow::Result<TransactionId> {
        let key = format!("{:032x}", rand::random::<u128>());
        let answer = self.made.request_code(&key).await?.expect(201);
        Ok(text(&answer.json(), "transaction_id").parse()?)
    }
}

async fn listen(
    mut connection: Connection,
    made: Provisioned,
    heard: mpsc::UnboundedSender<Heard>,
) {
    let clock = Clock::system();
    while let Some(publish) = connection.try_receive().await {
        let at = clock.now();
        let message = made.open(&publish);
        if let Some(DownlinkMessage::PaymentSuccess(payment)) = &message
            && !report(&heard, payment.transaction_id, payment.event_id, at)
        {
            return;
        }
        made.answer(&mut connection, &publish, message.as_ref())
            .await;
    }
}
