//! How many statements a payment costs. They are counted, not timed: a statement more is seen on every machine.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tests::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Statements by the span in which they ran.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<BTreeMap<String, usize>>>);

impl Statements {
    /// Those since the last time.
    fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// The name of a span, with what started it if it is a round of the outbox.
struct Name(String);

impl Visit for Name {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "trigger" {
            self.0 = format!("{} {value}", self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Statements {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut name = Name(span.name().to_owned());
        attributes.record(&mut name);
        span.extensions_mut().insert(name);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != "sqlx::query" {
            return;
        }
        let span = context.event_span(event);
        let name = span.and_then(|span| {
            let extensions = span.extensions();
            extensions.get::<Name>().map(|name| name.0.clone())
        });
        let mut counted = self.0.lock().unwrap();
        *counted.entry(name.unwrap_or_default()).or_default() += 1;
    }
}

/// Pays one code and returns what it cost until `played` was durable.
async fn cost(
    world: &World,
    statements: &Statements,
    soundbox: &mut Soundbox,
) -> BTreeMap<String, usize> {
    let code = soundbox.credentials.qr(world, 50_000).await;
    let _ = statements.take();
    let receipt = world
        .acquirer()
        .pay(code.transaction_id, 50_000)
        .await
        .expect(200);
    assert_eq!(receipt.data()["verdict"], "accepted");
    let _ = soundbox.play().await;
    eventually("all is played", || async {
        let announced = soundbox.credentials.notifications(world).await;
        announced
            .iter()
            .all(|one| one["status"] == "played")
            .then_some(())
    })
    .await;
    statements.take()
}

#[tokio::test]
async fn a_payment_costs_so_many_statements() {
    let statements = Statements::default();
    tracing_subscriber::registry()
        .with(statements.clone())
        .init();
    let (world, _, mut soundbox) = fixture::soundbox().await;
    // The first payment of a connection also prepares its statements.
    let _ = cost(&world, &statements, &mut soundbox).await;
    let counted = cost(&world, &statements, &mut soundbox).await;
    let of = |span: &str| counted.get(span).copied().unwrap_or(0);
    // The lock of the reference; what it is judged by; what it changes; COMMIT.
    assert_eq!(of("payment_batch"), 4, "{counted:?}");
    // A notification for a live session is handed over as it was committed.
    assert_eq!(of("outbox_round commit"), 0, "{counted:?}");
    assert_eq!(of("uplink_batch"), 1, "{counted:?}");
}
