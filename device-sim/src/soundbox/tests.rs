use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use tempfile::TempDir;
use wire::message::{AckStatus, Time};
use wire::{Channel, Encoding, EventId, Signer};

use super::fixtures::{binding_id, device_id, event_id, noon, payment};
use super::identity::{Vitals, WallClock};
use super::journal::Durability;
use super::*;

mod command;
mod setting;

/// A box under test, with its disk and the test's time.
struct Bench {
    dir: TempDir,
    start: Instant,
    soundbox: Soundbox,
}

fn signer() -> Signer {
    Signer::from_seed("k1", &[7; 32]).unwrap()
}

fn start(dir: &Path) -> Soundbox {
    let identity = Identity {
        device_id: device_id(),
        keys: signer().verifying_keys(),
        binding_id: Some(binding_id(1)),
        config_version: 0,
        settings: Settings::default(),
        firmware_version: "1.0.3".to_owned(),
        transport: "mqtt",
        vitals: Vitals::default(),
        wall_clock: WallClock::Right,
    };
    let journal = Journal::open(dir, Durability::Synced).unwrap();
    Soundbox::start(identity, journal, Instant::now()).unwrap()
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let soundbox = start(dir.path());
        Self {
            dir,
            start: Instant::now(),
            soundbox,
        }
    }

    /// A box whose clock is set to noon.
    fn at_noon() -> Self {
        let mut bench = Self::new();
        bench.set_clock(0);
        bench
    }

    fn after(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    /// Connects and gets the time `seconds` after noon.
    fn set_clock(&mut self, seconds: u64) -> Vec<Action> {
        let now = self.after(seconds);
        let mut actions = self.soundbox.connected(true);
        actions.push(self.soundbox.request_time("n1".to_owned(), now));
        let server_time = noon() + TimeDelta::seconds(i64::try_from(seconds).unwrap());
        let time = DownlinkMessage::Time(Time {
            nonce: "n1".to_owned(),
            server_time,
        });
        actions.extend(self.receive(&time, seconds));
        actions
    }

    fn receive(&mut self, message: &DownlinkMessage, seconds: u64) -> Vec<Action> {
        let now = self.after(seconds);
        let topic = Topic::new(device_id(), message.channel()).to_string();
        let bytes = signer().seal(message, device_id(), Encoding::Json).unwrap();
        self.soundbox.receive(&topic, &bytes, now).unwrap()
    }

    fn pay(&mut self, payment: PaymentSuccess, seconds: u64) -> Vec<Action> {
        self.receive(&DownlinkMessage::PaymentSuccess(payment), seconds)
    }

    fn spoken(&mut self, number: u128, seconds: u64) -> Vec<Action> {
        self.soundbox
            .spoken(event_id(number), self.after(seconds))
            .unwrap()
    }

    /// The box loses its power and restarts.
    fn power_cut(&mut self) {
        self.soundbox = start(self.dir.path());
    }
}

fn spoken_texts(actions: &[Action]) -> Vec<&str> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Speak(sentence) => Some(sentence.text.as_str()),
            _ => None,
        })
        .collect()
}

fn acks(actions: &[Action]) -> Vec<(EventId, AckStatus, Option<&str>)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send(UplinkMessage::PaymentAck(ack)) => {
                Some((ack.event_id, ack.status, ack.reason.as_deref()))
            }
            _ => None,
        })
        .collect()
}

const ON_TIME: &str = "Pembayaran QRIS diterima, lima puluh ribu rupiah";
const DELAYED: &str = "Pembayaran tertunda diterima, lima puluh ribu rupiah";

#[test]
fn a_payment_is_received_spoken_and_played() {
    let mut bench = Bench::at_noon();
    let actions = bench.pay(payment(1), 1);
    assert_eq!(spoken_texts(&actions), [ON_TIME]);
    assert_eq!(acks(&actions), [(event_id(1), AckStatus::Received, None)]);
    let actions = bench.spoken(1, 4);
    match &actions[..] {
        [Action::Send(UplinkMessage::PaymentAck(ack))] => {
            assert_eq!((ack.event_id, ack.status), (event_id(1), AckStatus::Played));
            assert_eq!(ack.played_at.as_deref(), Some("2026-05-24T12:00:04.000Z"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.soundbox.counters().spoken, 1);
}

#[test]
fn nothing_is_spoken_before_the_clock_is_set() {
    let mut bench = Bench::new();
    let mut actions = bench.pay(payment(1), 0);
    actions.extend(bench.pay(payment(2), 0));
    assert!(spoken_texts(&actions).is_empty());
    assert_eq!(acks(&actions).len(), 2, "both are received");

    let actions = bench.set_clock(2);
    assert_eq!(spoken_texts(&actions), [ON_TIME]);
    let actions = bench.spoken(1, 3);
    assert_eq!(acks(&actions), [(event_id(1), AckStatus::Played, None)]);
    assert_eq!(spoken_texts(&actions), [ON_TIME], "the second follows");
}

#[test]
fn a_payment_that_waited_through_a_power_cut_is_still_spoken() {
    let mut bench = Bench::new();
    bench.pay(payment(1), 0);
    bench.power_cut();
    let actions = bench.set_clock(10);
    assert_eq!(spoken_texts(&actions), [ON_TIME]);
    assert_eq!(
        acks(&bench.spoken(1, 12)),
        [(event_id(1), AckStatus::Played, None)]
    );
}

#[test]
fn a_box_that_is_stopped_finishes_its_sentence_and_begins_no_other() {
    let mut bench = Bench::at_noon();
    bench.pay(payment(1), 1);
    bench.pay(payment(2), 1);
    bench.soundbox.begin_no_more();
    let actions = bench.spoken(1, 3);
    assert_eq!(acks(&actions), [(event_id(1), AckStatus::Played, None)]);
    assert!(spoken_texts(&actions).is_empty());
    assert!(!bench.soundbox.is_speaking());
    bench.power_cut();
    assert_eq!(
        spoken_texts(&bench.set_clock(5)),
        [ON_TIME],
        "the second waits for the next start"
    );
}

#[test]
fn an_interrupted_sentence_is_reported_and_never_repeated() {
    let mut bench = Bench::at_noon();
    bench.pay(payment(1), 1);
    bench.pay(payment(2), 1);
    bench.power_cut();
    let actions = bench.set_clock(5);
    assert_eq!(
        acks(&actions),
        [(event_id(1), AckStatus::Failed, Some("interrupted"))]
    );
    assert_eq!(
        spoken_texts(&actions).len(),
        1,
        "only the second, which was not begun"
    );
    bench.spoken(2, 6);

    let again = bench.pay(payment(1), 7);
    assert!(spoken_texts(&again).is_empty());
    assert_eq!(
        acks(&again),
        [(event_id(1), AckStatus::Failed, Some("interrupted"))]
    );
}

#[test]
fn the_last_acknowledgements_are_repeated_after_a_start() {
    let mut bench = Bench::at_noon();
    for number in 1..=40 {
        bench.pay(payment(number), 1);
        bench.spoken(number, 1);
    }
    assert!(
        acks(&bench.soundbox.connected(true)).is_empty(),
        "the kept session has them"
    );
    let again = |actions: &[Action]| {
        assert!(spoken_texts(actions).is_empty(), "nothing is spoken again");
        let acks = acks(actions);
        assert!(
            acks.iter()
                .all(|(_, status, _)| *status == AckStatus::Played)
        );
        let first = acks.first().map(|(event_id, ..)| *event_id);
        (acks.len(), first)
    };
    let last_32 = (32, Some(event_id(9)));
    assert_eq!(again(&bench.soundbox.connected(false)), last_32);
    bench.power_cut();
    assert_eq!(again(&bench.set_clock(8)), last_32);
    assert!(acks(&bench.soundbox.connected(true)).is_empty(), "once");
}

#[test]
fn a_duplicate_gets_its_final_answer_and_no_second_sound() {
    let mut bench = Bench::at_noon();
    bench.pay(payment(1), 1);
    let during = bench.pay(payment(1), 1);
    assert_eq!(acks(&during), [(event_id(1), AckStatus::Received, None)]);
    assert!(spoken_texts(&during).is_empty());
    bench.spoken(1, 2);
    for _ in 0..2 {
        let again = bench.pay(payment(1), 3);
        assert!(spoken_texts(&again).is_empty());
        assert_eq!(acks(&again), [(event_id(1), AckStatus::Played, None)]);
        bench.power_cut();
        bench.set_clock(3);
    }
}

#[test]
fn two_equal_payments_are_two_announcements() {
    let mut bench = Bench::at_noon();
    assert_eq!(spoken_texts(&bench.pay(payment(1), 1)).len(), 1);
    bench.spoken(1, 2);
    assert_eq!(spoken_texts(&bench.pay(payment(2), 2)).len(), 1);
}

#[test]
fn another_bindings_payment_is_never_spoken() {
    let mut bench = Bench::at_noon();
    let foreign = PaymentSuccess {
        binding_id: binding_id(2),
        ..payment(1)
    };
    let actions = bench.pay(foreign, 1);
    assert!(spoken_texts(&actions).is_empty());
    assert_eq!(
        acks(&actions),
        [(event_id(1), AckStatus::Failed, Some("binding_mismatch"))]
    );
}

#[test]
fn a_rebind_ends_payments_that_wait_for_the_old_binding() {
    let mut bench = Bench::at_noon();
    bench.pay(payment(1), 1);
    bench.pay(payment(2), 1);
    let push = ConfigPush {
        version: 1,
        binding_id: Some(binding_id(2)),
        config: json!({}),
    };
    let actions = bench.receive(&DownlinkMessage::ConfigPush(push.clone()), 2);
    assert_eq!(
        actions[0],
        Action::Configure {
            push,
            refused: None
        },
        "stored before it is acknowledged"
    );
    assert_eq!(actions[1], config_ack(1, ConfigAckStatus::Applied, None));
    let actions = bench.spoken(1, 3);
    let expected = [
        (event_id(1), AckStatus::Played, None),
        (event_id(2), AckStatus::Failed, Some("binding_mismatch")),
    ];
    assert_eq!(acks(&actions), expected);
    assert!(spoken_texts(&actions).is_empty());

    let moved = PaymentSuccess {
        binding_id: binding_id(2),
        ..payment(3)
    };
    assert_eq!(spoken_texts(&bench.pay(moved, 4)).len(), 1);
}

#[test]
fn an_older_configuration_does_not_return() {
    let mut bench = Bench::at_noon();
    let push = |version, number| {
        DownlinkMessage::ConfigPush(ConfigPush {
            version,
            binding_id: Some(binding_id(number)),
            config: json!({}),
        })
    };
    bench.receive(&push(5, 2), 1);
    let actions = bench.receive(&push(4, 1), 1);
    assert_eq!(
        actions,
        [config_ack(
            4,
            ConfigAckStatus::Rejected,
            Some("superseded".to_owned())
        )]
    );
    assert_eq!(
        acks(&bench.pay(payment(1), 2))[0].2,
        Some("binding_mismatch")
    );
}

#[test]
fn the_words_change_when_it_is_late_and_end_when_it_is_too_late() {
    let cases = [
        (59, Some(ON_TIME)),
        (60, Some(DELAYED)),
        (299, Some(DELAYED)),
        (300, None),
    ];
    for (seconds, text) in cases {
        let mut bench = Bench::at_noon();
        let actions = bench.pay(payment(1), seconds);
        assert_eq!(
            spoken_texts(&actions).first().copied(),
            text,
            "after {seconds} s"
        );
        if text.is_none() {
            let expected = [
                (event_id(1), AckStatus::Received, None),
                (event_id(1), AckStatus::Stale, Some("too_late")),
            ];
            assert_eq!(acks(&actions), expected);
            let again = bench.pay(payment(1), seconds);
            assert_eq!(
                acks(&again),
                [(event_id(1), AckStatus::Stale, Some("too_late"))]
            );
        }
    }
}

#[test]
fn a_payment_that_waited_too_long_for_its_turn_is_not_spoken() {
    let mut bench = Bench::at_noon();
    bench.pay(payment(1), 299);
    bench.pay(payment(2), 299);
    let actions = bench.spoken(1, 301);
    assert!(spoken_texts(&actions).is_empty());
    assert_eq!(
        acks(&actions)[1],
        (event_id(2), AckStatus::Stale, Some("too_late"))
    );
}

#[test]
fn a_replay_is_always_spoken_as_delayed() {
    let mut bench = Bench::at_noon();
    assert_eq!(
        spoken_texts(&bench.pay(
            PaymentSuccess {
                replay: true,
                ..payment(1)
            },
            1
        )),
        [DELAYED]
    );
}

#[test]
fn sequence_gaps_are_counted_and_no_reason_to_refuse() {
    let mut bench = Bench::at_noon();
    for number in [3, 4, 9, 5, 10] {
        assert_eq!(
            spoken_texts(&bench.pay(payment(number), 1)).len(),
            1,
            "{number}"
        );
        bench.spoken(number, 1);
    }
    assert_eq!(bench.soundbox.counters().gaps, 4);
}

#[test]
fn messages_without_the_platforms_signature_are_refused() {
    let mut bench = Bench::at_noon();
    let message = DownlinkMessage::PaymentSuccess(payment(1));
    let topic = Topic::new(device_id(), Channel::PaymentSuccess).to_string();
    let other_key = Signer::from_seed("k1", &[8; 32]).unwrap();
    let forged = other_key
        .seal(&message, device_id(), Encoding::Json)
        .unwrap();
    let unsigned = message.encode_body(Encoding::Json).unwrap();
    for bytes in [&forged, &unsigned] {
        let actions = bench.soundbox.receive(&topic, bytes, bench.start).unwrap();
        assert!(
            matches!(actions[..], [Action::Refused { .. }]),
            "{actions:?}"
        );
    }
    let own = signer()
        .seal(&message, device_id(), Encoding::Json)
        .unwrap();
    let wrong_topic = Topic::new(device_id(), Channel::Command).to_string();
    let actions = bench
        .soundbox
        .receive(&wrong_topic, &own, bench.start)
        .unwrap();
    assert!(
        matches!(actions[..], [Action::Refused { .. }]),
        "{actions:?}"
    );
    bench.soundbox.receive("$SYS/x", &own, bench.start).unwrap();
    assert_eq!(bench.soundbox.counters().refused, 4);
    assert_eq!(bench.soundbox.counters().received, 0);
}

#[test]
fn an_old_answer_cannot_set_the_clock() {
    let mut bench = Bench::new();
    let now = bench.after(0);
    bench.soundbox.request_time("n1".to_owned(), now);
    bench.soundbox.request_time("n2".to_owned(), now);
    let old = DownlinkMessage::Time(Time {
        nonce: "n1".to_owned(),
        server_time: noon(),
    });
    assert!(matches!(
        bench.receive(&old, 0)[..],
        [Action::Refused { .. }]
    ));
    assert_eq!(bench.soundbox.time(now), None);
}

#[test]
fn payments_beyond_the_queue_limit_fail_and_are_not_queued() {
    let mut bench = Bench::new();
    for number in 0..WAITING_MAX as u128 {
        bench.pay(payment(number), 0);
    }
    let actions = bench.pay(payment(9_999), 0);
    assert_eq!(
        acks(&actions),
        [(event_id(9_999), AckStatus::Failed, Some("queue_full"))]
    );
}
