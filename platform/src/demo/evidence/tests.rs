use super::*;

const WINDOW: TimeDelta = TimeDelta::seconds(300);

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(prefix: &str, number: u128) -> T {
    format!("{prefix}_{number:032x}").parse().unwrap()
}

fn device(number: u128) -> DeviceId {
    id("sbx", number)
}

fn payment(number: u128) -> TransactionId {
    id("tx", number)
}

fn spoken(event: u128, device_number: u128, transaction: u128) -> Spoken {
    Spoken {
        device_id: device(device_number),
        event_id: id("evt", event),
        transaction_id: payment(transaction),
        amount: Rupiah::from_i64(50_000),
        text: "Pembayaran QRIS diterima".to_owned(),
    }
}

fn notification(event: u128, device_number: u128, transaction: u128, status: &str) -> Notification {
    Notification {
        event_id: id("evt", event),
        transaction_id: payment(transaction),
        device_id: device(device_number),
        status: status.to_owned(),
        reason: None,
        created_at: at(10),
        received_at: Some(at(10) + TimeDelta::milliseconds(3)),
        acked_at: Some(at(10) + TimeDelta::microseconds(6_500)),
        announce_until: at(310),
    }
}

fn record(status: &str, notifications: Vec<Notification>) -> Option<Transaction> {
    Some(Transaction {
        merchant_id: id("m", 1),
        amount: Rupiah::from_i64(50_000),
        status: status.to_owned(),
        paid_at: Some(at(10)),
        notifications,
    })
}

/// The evidence of a run with the boxes 1 and 2.
fn evidence() -> Evidence {
    Evidence::new([device(1), device(2)], at(0), WINDOW, HashSet::new())
}

/// The platform's record of payment 1, played by its only box.
fn played() -> Option<Transaction> {
    record("paid", vec![notification(1, 1, 1, "played")])
}

fn outcomes(evidence: &mut Evidence, end: bool) -> Vec<Outcome> {
    evidence
        .take_decided(end)
        .into_iter()
        .map(|entry| entry.outcome)
        .collect()
}

#[test]
fn a_payment_is_played_when_all_three_sources_agree() {
    let now = Instant::now();
    let mut evidence = evidence();
    evidence.accepted(payment(1), 4, now);
    assert_eq!(outcomes(&mut evidence, false), []);
    evidence.record_read(payment(1), played(), now);
    assert_eq!(
        outcomes(&mut evidence, false),
        [],
        "the record alone is not enough"
    );
    evidence.spoken(spoken(1, 1, 1), now);
    assert_eq!(
        outcomes(&mut evidence, false),
        [],
        "the record may have been read before the box spoke"
    );
    evidence.record_read(payment(1), played(), now);
    assert_eq!(outcomes(&mut evidence, false), [Outcome::Played]);
    assert_eq!(outcomes(&mut evidence, true), [], "it is printed once");
    let sum = evidence.summary();
    assert!(sum.is_clean());
    assert_eq!(
        (sum.payments, sum.p50_ms, sum.max_ms),
        (1, Some(7), Some(7))
    );
}

#[test]
fn a_missing_acknowledgement_is_waited_for() {
    let now = Instant::now();
    let mut evidence = evidence();
    evidence.spoken(spoken(1, 1, 1), now);
    evidence.record_read(
        payment(1),
        record("paid", vec![notification(1, 1, 1, "received")]),
        now,
    );
    assert_eq!(outcomes(&mut evidence, false), []);
    assert!(evidence.is_waiting());
    assert_eq!(
        outcomes(&mut evidence, true),
        [Outcome::Lost("it was not played in time".to_owned())]
    );
    assert!(!evidence.summary().is_clean());
}

#[test]
fn every_box_at_the_terminal_must_speak() {
    let now = Instant::now();
    let mut evidence = evidence();
    evidence.accepted(payment(1), 4, now);
    let both = vec![
        notification(1, 1, 1, "played"),
        notification(2, 2, 1, "played"),
        // A box of an earlier run that is not running now.
        notification(3, 9, 1, "sent"),
    ];
    evidence.spoken(spoken(1, 1, 1), now);
    evidence.record_read(payment(1), record("paid", both.clone()), now);
    assert_eq!(outcomes(&mut evidence, false), []);
    evidence.spoken(spoken(2, 2, 1), now);
    evidence.record_read(payment(1), record("paid", both), now);
    assert_eq!(outcomes(&mut evidence, false), [Outcome::Played]);
}

#[test]
fn a_payment_spoken_again_is_repeated_also_after_it_was_printed() {
    let now = Instant::now();
    let mut evidence = evidence();
    evidence.spoken(spoken(1, 1, 1), now);
    evidence.record_read(payment(1), played(), now);
    assert_eq!(outcomes(&mut evidence, false), [Outcome::Played]);
    evidence.spoken(spoken(1, 1, 1), now);
    evidence.record_read(payment(1), played(), now);
    assert_eq!(outcomes(&mut evidence, false), [Outcome::Repeated]);
    let sum = evidence.summary();
    assert_eq!((sum.payments, sum.played_once, sum.repeated), (1, 0, 1));
}

#[test]
fn a_payment_spoken_in_an_earlier_run_counts() {
    let now = Instant::now();
    let mut evidence = evidence();
    evidence.spoken_earlier(spoken(1, 1, 1));
    evidence.notification_open(&notification(1, 1, 1, "sent"), now);
    evidence.record_read(payment(1), played(), now);
    assert_eq!(
        outcomes(&mut evidence, false),
        [Outcome::Played],
        "spoken before the kill, acknowledged after it"
    );
    evidence.spoken(spoken(1, 1, 1), now);
    evidence.record_read(payment(1), played(), now);
    assert_eq!(outcomes(&mut evidence, false), [Outcome::Repeated]);
}

#[test]
fn open_notifications_of_an_earlier_run_are_waited_for_unless_they_expire() {
    let now = Instant::now();
    let mut evidence = evidence();
    for status in ["pending", "sent", "received"] {
        evidence.notification_open(&notification(1, 1, 1, status), now);
        assert_eq!(
            evidence.due_lookups(9, now + LOOKUP_INTERVAL_MIN),
            [payment(1)]
        );
    }
    let mut evidence = self::evidence();
    evidence.notification_open(&notification(1, 1, 1, "played"), now);
    let over = Notification {
        announce_until: at(5),
        ..notification(2, 1, 2, "sent")
    };
    evidence.notification_open(&over, now);
    evidence.notification_open(&notification(3, 9, 3, "sent"), now);
    assert!(!evidence.is_waiting());
}

#[test]
fn payments_printed_by_an_earlier_run_are_not_printed_again() {
    let now = Instant::now();
    let mut evidence = Evidence::new([device(1)], at(0), WINDOW, HashSet::from([payment(1)]));
    evidence.spoken_earlier(spoken(1, 1, 1));
    // The acquirer repeats a callback whose answer it did not receive.
    evidence.accepted(payment(1), 2, now);
    evidence.record_read(payment(1), played(), now);
    assert_eq!(outcomes(&mut evidence, true), []);
    assert_eq!(evidence.summary().payments, 0);
    evidence.spoken(spoken(1, 1, 1), now);
    evidence.record_read(payment(1), played(), now);
    assert_eq!(outcomes(&mut evidence, true), [Outcome::Repeated]);
    assert_eq!(evidence.summary().repeated, 1);
}

#[test]
fn an_unpaid_payment_must_not_be_spoken() {
    let now = Instant::now();
    let mut evidence = evidence();
    evidence.spoken(spoken(1, 1, 1), now);
    evidence.record_read(payment(1), record("paid", Vec::new()), now);
    assert_eq!(
        outcomes(&mut evidence, false),
        [Outcome::Unfounded("it was not announced")]
    );
    evidence.spoken(spoken(2, 1, 2), now);
    let announced = vec![notification(2, 1, 2, "sent")];
    evidence.record_read(payment(2), record("awaiting_payment", announced), now);
    assert_eq!(
        outcomes(&mut evidence, false),
        [Outcome::Unfounded("it was not paid")]
    );
    assert_eq!(evidence.summary().unfounded, 2);
}

#[test]
fn another_amount_than_was_paid_must_not_be_spoken() {
    let now = Instant::now();
    let mut evidence = evidence();
    let wrong = Spoken {
        amount: Rupiah::from_i64(500_000),
        ..spoken(1, 1, 1)
    };
    evidence.spoken(wrong, now);
    evidence.record_read(payment(1), played(), now);
    assert_eq!(
        outcomes(&mut evidence, false),
        [Outcome::Unfounded("another amount was spoken")]
    );
}

#[test]
fn a_box_that_failed_has_lost_the_payment() {
    let now = Instant::now();
    let mut evidence = evidence();
    evidence.accepted(payment(1), 4, now);
    let failed = Notification {
        reason: Some("interrupted".to_owned()),
        ..notification(1, 1, 1, "failed")
    };
    evidence.record_read(payment(1), record("paid", vec![failed]), now);
    assert_eq!(
        outcomes(&mut evidence, false),
        [Outcome::Lost("failed: interrupted".to_owned())]
    );
    evidence.accepted(payment(2), 4, now);
    evidence.record_read(payment(2), record("paid", Vec::new()), now);
    assert_eq!(
        outcomes(&mut evidence, false),
        [Outcome::Lost("it was announced to no box".to_owned())]
    );
    evidence.rejected();
    let sum = evidence.summary();
    assert_eq!((sum.payments, sum.lost, sum.played_once), (3, 3, 0));
}

#[test]
fn a_payment_from_long_ago_is_too_late_and_not_counted() {
    let now = Instant::now();
    let mut evidence = Evidence::new([device(1)], at(1_000), WINDOW, HashSet::new());
    evidence.accepted(payment(1), 4, now);
    evidence.record_read(payment(1), record("paid", Vec::new()), now);
    assert_eq!(outcomes(&mut evidence, false), [Outcome::TooLate]);
    assert_eq!(evidence.summary().payments, 0);
}

#[test]
fn the_interval_between_lookups_doubles() {
    let now = Instant::now();
    let mut evidence = evidence();
    evidence.accepted(payment(1), 4, now);
    assert!(evidence.due_lookups(9, now).is_empty());
    let mut looks = 0;
    for ms in 0..2_000 {
        let now = now + Duration::from_millis(ms);
        for id in evidence.due_lookups(9, now) {
            looks += 1;
            evidence.record_read(id, None, now);
        }
    }
    assert_eq!(looks, 7, "after 20, 40, 80, … ms");
}

#[test]
fn a_long_demonstration_drops_payments_but_not_their_sums() {
    let now = Instant::now();
    let mut evidence = evidence();
    let count = PAYMENTS_MAX + 10;
    for number in 0..count as u128 {
        evidence.spoken(spoken(number, 1, number), now);
        let played = record("paid", vec![notification(number, 1, number, "played")]);
        evidence.record_read(payment(number), played, now);
        assert_eq!(outcomes(&mut evidence, false), [Outcome::Played]);
    }
    assert!(evidence.payments.len() <= PAYMENTS_MAX && evidence.plays.len() <= PAYMENTS_MAX);
    let sum = evidence.summary();
    assert_eq!((sum.payments, sum.played_once), (count, count));
    assert_eq!(sum.max_ms, Some(7));
}
