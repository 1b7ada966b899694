//! Traces of payments, as an OpenTelemetry collector receives them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use tests::collector::{Behaviour, Collector, Span, attribute};
use tests::payment_trace::PaymentTrace;
use tests::prelude::*;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use wire::message::AckStatus;

/// How long stopping may take: the limit of the last export is three seconds, the rest takes less than one.
const STOPS_WITHIN: Duration = Duration::from_secs(8);

/// A platform that exports to this collector, and a box that listens.
async fn exporting_to(collector: &Collector) -> (World, Soundbox) {
    let world = World::with(|config| config.otel.endpoint.clone_from(&collector.endpoint)).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let soundbox = Soundbox::at(&world, shop.terminal().id).await;
    (world, soundbox)
}

#[tokio::test]
async fn a_payment_is_one_trace_from_the_callback_to_played() {
    let collector = Collector::start(Behaviour::Takes).await;
    let (mut world, mut soundbox) = exporting_to(&collector).await;
    let telemetry = world.app().telemetry().unwrap();
    tracing_subscriber::registry()
        .with(telemetry.layer())
        .init();

    let qr = soundbox.credentials.qr(&world, 50_000).await;
    let id = qr.transaction_id;
    let acquirer = world.acquirer();
    let body = success(id, 50_000, &reference(), world.clock.now()).to_string();
    let request = acquirer.sign(body.as_bytes(), world.clock.now());
    let _ = acquirer.post(&request).await.expect(200);
    let heard = soundbox.hear().await;
    soundbox
        .acknowledge(heard.event_id, AckStatus::Received)
        .await;
    soundbox
        .acknowledge(heard.event_id, AckStatus::Played)
        .await;
    let again = acquirer.post(&request).await.expect(200).data();
    assert_eq!(again["verdict"], "duplicate");
    world.stop().await;

    let downlink = "devices/{device_id}/downlink/payment/success";
    let uplink = "devices/{device_id}/uplink/payment/ack";
    let expected = [
        "callback",
        "verify",
        "queue",
        "judge",
        "write",
        "COMMIT",
        &format!("seal {downlink}"),
        &format!("send {downlink}"),
        &format!("publish {downlink}"),
        &format!("received {uplink}"),
        &format!("played {uplink}"),
    ];
    let mut trace = collector.trace(id.as_uuid());
    // Two of them may begin in the same microsecond.
    let rank = |span: &Span| expected.iter().position(|name| *name == span.name);
    trace.sort_by_key(|span| (span.start_time_unix_nano, rank(span)));
    let mut names: Vec<&str> = trace.iter().map(|span| span.name.as_str()).collect();
    let duplicate = names.split_off(11);
    assert_eq!(names, expected);
    assert_eq!(duplicate, expected[..6]);

    let root = &trace[0];
    assert_eq!(root.parent_span_id, [0_u8; 0]);
    assert_eq!(attribute(root, "verdict"), "accepted");
    assert_eq!(attribute(&trace[11], "verdict"), "duplicate");
    let is_under = |span: &Span, parent: &[u8]| {
        span.parent_span_id == parent && span.start_time_unix_nano <= span.end_time_unix_nano
    };
    assert!(
        trace[1..12]
            .iter()
            .all(|span| is_under(span, &root.span_id))
    );
    assert!(
        trace[12..]
            .iter()
            .all(|span| is_under(span, &trace[11].span_id))
    );
    let read = PaymentTrace::read(&trace[..11]).unwrap();
    assert!(read.committed <= read.handed_over && read.signing >= TimeDelta::zero());
    // The steps of a callback follow each other without gaps.
    for steps in [&trace[1..6], &trace[13..17]] {
        assert!(
            steps
                .array_windows()
                .all(|[one, next]| one.end_time_unix_nano == next.start_time_unix_nano)
        );
    }
    for span in &trace[6..11] {
        assert_eq!(
            attribute(span, "messaging.message.id"),
            heard.event_id.to_string()
        );
        assert_eq!(attribute(span, "transaction_id"), id.to_string());
    }

    // Each step names the request, round or batch in which it happened. PUBACK belongs to none.
    let others: HashMap<Vec<u8>, (String, String)> = collector
        .spans()
        .into_iter()
        .map(|span| {
            (
                span.span_id.clone(),
                (
                    span.name.clone(),
                    attribute(&span, "http.response.status_code"),
                ),
            )
        })
        .collect();
    let around: Vec<&str> = trace
        .iter()
        .map(|span| match span.links.as_slice() {
            [] => "-",
            [link, ..] => others[&link.span_id].0.as_str(),
        })
        .collect();
    let request = "POST /integrations/qris/callback";
    let (round, batch) = ("outbox_round notifications", "uplink_batch payment_ack");
    assert_eq!(around[..6], [request; 6]);
    assert_eq!(around[6..11], [round, round, "-", batch, batch]);
    assert_eq!(around[11..], [request; 6]);
    let linked = &others[&root.links[0].span_id];
    assert_eq!(linked.1, "200");
}

async fn payments_go_on_beside(behaviour: Behaviour) {
    let collector = Collector::start(behaviour).await;
    let (mut world, mut soundbox) = exporting_to(&collector).await;
    let began = Instant::now();
    for amount in [10_000, 20_000, 30_000] {
        let id = soundbox.credentials.sell(&world, amount).await;
        assert_eq!(soundbox.play().await.transaction_id, id);
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "payments were delayed"
    );
    if behaviour != Behaviour::Hangs {
        eventually("the count of spans that were not exported", || async {
            let metrics = world.metrics().await;
            let dropped = r#"otel_spans_dropped_total{reason="not_exported"}"#;
            metrics.contains(dropped).then_some(())
        })
        .await;
    }
    let began = Instant::now();
    world.stop().await;
    assert!(began.elapsed() < STOPS_WITHIN, "{:?}", began.elapsed());
    assert!(collector.spans().is_empty());
}

#[tokio::test]
async fn payments_go_on_without_a_collector() {
    payments_go_on_beside(Behaviour::Absent).await;
}

#[tokio::test]
async fn payments_go_on_beside_a_collector_that_fails() {
    payments_go_on_beside(Behaviour::Fails).await;
}

#[tokio::test]
async fn payments_go_on_beside_a_collector_that_hangs() {
    payments_go_on_beside(Behaviour::Hangs).await;
}
