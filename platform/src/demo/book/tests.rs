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

fn announcement(event: u128, device_number: u128, transaction: u128, status: &str) -> Notification {
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

/// A book of a start with the boxes 1 and 2.
fn book() -> Book {
    Book::new([device(1), device(2)], at(0), WINDOW, HashSet::new())
}

fn outcomes(book: &mut Book, end: bool) -> Vec<Outcome> {
    book.take_decided(end)
        .into_iter()
        .map(|entry| entry.outcome)
        .collect()
}

#[test]
fn a_payment_is_played_when_all_three_witnesses_agree() {
    let now = Instant::now();
    let mut book = book();
    book.accepted(payment(1), 4, now);
    assert_eq!(outcomes(&mut book, false), []);
    let played = || record("paid", vec![announcement(1, 1, 1, "played")]);
    book.learned(payment(1), played(), now);
    assert_eq!(
        outcomes(&mut book, false),
        [],
        "the record alone is not a sentence"
    );
    book.heard(spoken(1, 1, 1), now);
    assert_eq!(
        outcomes(&mut book, false),
        [],
        "the record may be older than the sentence"
    );
    book.learned(payment(1), played(), now);
    assert_eq!(outcomes(&mut book, false), [Outcome::Played]);
    assert_eq!(outcomes(&mut book, true), [], "it is shown once");
    let sum = book.summary();
    assert!(sum.is_clean());
    assert_eq!(
        (sum.payments, sum.p50_ms, sum.max_ms),
        (1, Some(7), Some(7))
    );
}

#[test]
fn a_sentence_without_an_answer_is_waited_for() {
    let now = Instant::now();
    let mut book = book();
    book.heard(spoken(1, 1, 1), now);
    book.learned(
        payment(1),
        record("paid", vec![announcement(1, 1, 1, "received")]),
        now,
    );
    assert_eq!(outcomes(&mut book, false), []);
    assert!(book.is_waiting());
    assert_eq!(
        outcomes(&mut book, true),
        [Outcome::Lost("it was not played in time".to_owned())]
    );
    assert!(!book.summary().is_clean());
}

#[test]
fn every_box_at_the_terminal_has_to_say_it() {
    let now = Instant::now();
    let mut book = book();
    book.accepted(payment(1), 4, now);
    let both = vec![
        announcement(1, 1, 1, "played"),
        announcement(2, 2, 1, "played"),
        // A box of an earlier start, switched off now.
        announcement(3, 9, 1, "sent"),
    ];
    book.heard(spoken(1, 1, 1), now);
    book.learned(payment(1), record("paid", both.clone()), now);
    assert_eq!(outcomes(&mut book, false), []);
    book.heard(spoken(2, 2, 1), now);
    book.learned(payment(1), record("paid", both), now);
    assert_eq!(outcomes(&mut book, false), [Outcome::Played]);
}

#[test]
fn a_sentence_said_again_is_a_repetition_also_after_it_was_shown() {
    let now = Instant::now();
    let mut book = book();
    book.heard(spoken(1, 1, 1), now);
    book.learned(
        payment(1),
        record("paid", vec![announcement(1, 1, 1, "played")]),
        now,
    );
    assert_eq!(outcomes(&mut book, false), [Outcome::Played]);
    book.heard(spoken(1, 1, 1), now);
    book.learned(
        payment(1),
        record("paid", vec![announcement(1, 1, 1, "played")]),
        now,
    );
    assert_eq!(outcomes(&mut book, false), [Outcome::Repeated]);
    let sum = book.summary();
    assert_eq!((sum.payments, sum.played_once, sum.repeated), (1, 0, 1));
}

#[test]
fn a_sentence_of_an_earlier_start_counts() {
    let now = Instant::now();
    let mut book = book();
    book.heard_before(spoken(1, 1, 1));
    book.owed(&announcement(1, 1, 1, "sent"), now);
    book.learned(
        payment(1),
        record("paid", vec![announcement(1, 1, 1, "played")]),
        now,
    );
    assert_eq!(
        outcomes(&mut book, false),
        [Outcome::Played],
        "said before the kill, answered after it"
    );
    book.heard(spoken(1, 1, 1), now);
    book.learned(
        payment(1),
        record("paid", vec![announcement(1, 1, 1, "played")]),
        now,
    );
    assert_eq!(outcomes(&mut book, false), [Outcome::Repeated]);
}

#[test]
fn what_an_earlier_start_owes_is_waited_for_unless_its_time_is_over() {
    let now = Instant::now();
    let mut book = book();
    for status in ["pending", "sent", "received"] {
        book.owed(&announcement(1, 1, 1, status), now);
        assert_eq!(book.to_look_at(9, now + LOOK_MIN), [payment(1)]);
    }
    let mut book = self::book();
    book.owed(&announcement(1, 1, 1, "played"), now);
    let over = Notification {
        announce_until: at(5),
        ..announcement(2, 1, 2, "sent")
    };
    book.owed(&over, now);
    book.owed(&announcement(3, 9, 3, "sent"), now);
    assert!(!book.is_waiting());
}

#[test]
fn what_an_earlier_start_has_shown_is_not_shown_again() {
    let now = Instant::now();
    let mut book = Book::new([device(1)], at(0), WINDOW, HashSet::from([payment(1)]));
    book.heard_before(spoken(1, 1, 1));
    // The acquirer asks again for a payment whose answer it did not see.
    book.accepted(payment(1), 2, now);
    book.learned(
        payment(1),
        record("paid", vec![announcement(1, 1, 1, "played")]),
        now,
    );
    assert_eq!(outcomes(&mut book, true), []);
    assert_eq!(book.summary().payments, 0);
    book.heard(spoken(1, 1, 1), now);
    book.learned(
        payment(1),
        record("paid", vec![announcement(1, 1, 1, "played")]),
        now,
    );
    assert_eq!(outcomes(&mut book, true), [Outcome::Repeated]);
    assert_eq!(book.summary().repeated, 1);
}

#[test]
fn what_was_not_paid_must_not_be_said() {
    let now = Instant::now();
    let mut book = book();
    book.heard(spoken(1, 1, 1), now);
    book.learned(payment(1), record("paid", Vec::new()), now);
    assert_eq!(
        outcomes(&mut book, false),
        [Outcome::Unfounded("it was not announced")]
    );
    book.heard(spoken(2, 1, 2), now);
    let announced = vec![announcement(2, 1, 2, "sent")];
    book.learned(payment(2), record("awaiting_payment", announced), now);
    assert_eq!(
        outcomes(&mut book, false),
        [Outcome::Unfounded("it was not paid")]
    );
    assert_eq!(book.summary().unfounded, 2);
}

#[test]
fn another_amount_than_was_paid_must_not_be_said() {
    let now = Instant::now();
    let mut book = book();
    let wrong = Spoken {
        amount: Rupiah::from_i64(500_000),
        ..spoken(1, 1, 1)
    };
    book.heard(wrong, now);
    book.learned(
        payment(1),
        record("paid", vec![announcement(1, 1, 1, "played")]),
        now,
    );
    assert_eq!(
        outcomes(&mut book, false),
        [Outcome::Unfounded("another amount was said")]
    );
}

#[test]
fn a_box_that_failed_has_lost_the_payment() {
    let now = Instant::now();
    let mut book = book();
    book.accepted(payment(1), 4, now);
    let failed = Notification {
        reason: Some("interrupted".to_owned()),
        ..announcement(1, 1, 1, "failed")
    };
    book.learned(payment(1), record("paid", vec![failed]), now);
    assert_eq!(
        outcomes(&mut book, false),
        [Outcome::Lost("failed: interrupted".to_owned())]
    );
    book.accepted(payment(2), 4, now);
    book.learned(payment(2), record("paid", Vec::new()), now);
    assert_eq!(
        outcomes(&mut book, false),
        [Outcome::Lost("it was announced to no box".to_owned())]
    );
    book.rejected();
    let sum = book.summary();
    assert_eq!((sum.payments, sum.lost, sum.played_once), (3, 3, 0));
}

#[test]
fn a_payment_from_long_before_is_silent_and_that_is_right() {
    let now = Instant::now();
    let mut book = Book::new([device(1)], at(1_000), WINDOW, HashSet::new());
    book.accepted(payment(1), 4, now);
    book.learned(payment(1), record("paid", Vec::new()), now);
    assert_eq!(outcomes(&mut book, false), [Outcome::TooLate]);
    assert_eq!(book.summary().payments, 0);
}

#[test]
fn a_payment_that_is_not_there_yet_is_looked_at_less_and_less() {
    let now = Instant::now();
    let mut book = book();
    book.accepted(payment(1), 4, now);
    assert!(book.to_look_at(9, now).is_empty());
    let mut looks = 0;
    for ms in 0..2_000 {
        let now = now + Duration::from_millis(ms);
        for id in book.to_look_at(9, now) {
            looks += 1;
            book.learned(id, None, now);
        }
    }
    assert_eq!(looks, 7, "after 20, 40, 80, … ms");
}

#[test]
fn a_long_demonstration_forgets_payments_but_not_their_sum() {
    let now = Instant::now();
    let mut book = book();
    let count = PAYMENTS_MAX + 10;
    for number in 0..count as u128 {
        book.heard(spoken(number, 1, number), now);
        let played = record("paid", vec![announcement(number, 1, number, "played")]);
        book.learned(payment(number), played, now);
        assert_eq!(outcomes(&mut book, false), [Outcome::Played]);
    }
    assert!(book.payments.len() <= PAYMENTS_MAX && book.plays.len() <= PAYMENTS_MAX);
    let sum = book.summary();
    assert_eq!((sum.payments, sum.played_once), (count, count));
    assert_eq!(sum.max_ms, Some(7));
}
