//! Tests of the queue together with the window.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;
use std::time::Duration;
use wire::DownlinkFilter;

const WINDOW: usize = 4;
const QUEUE_MAX: usize = 8;

fn outbound(qos: u8) -> Outbound {
    let mut outbound = Outbound::new(QUEUE_MAX);
    outbound.set_subscriptions(vec![Subscription {
        filter: DownlinkFilter::All,
        qos,
    }]);
    outbound
}

fn message(sequence: u64) -> Message {
    Message {
        topic: Bytes::from_static(b"t"),
        channel: Channel::PaymentSuccess,
        payload: Bytes::from(sequence.to_string()),
        key: Some(Uuid::from_u128(u128::from(sequence))),
        expires_at: None,
        sequence,
    }
}

fn next(outbound: &mut Outbound) -> Option<Transmission> {
    outbound.next(Instant::now(), WINDOW, &mut 0)
}

fn drain(outbound: &mut Outbound) -> Vec<(u64, Option<u16>, bool)> {
    std::iter::from_fn(|| next(outbound))
        .map(|d| (d.message.sequence, d.packet_id, d.dup))
        .collect()
}

#[test]
fn no_more_than_the_window_is_sent_until_an_acknowledgement() {
    let mut outbound = outbound(1);
    for sequence in 1..=6 {
        assert_eq!(outbound.offer(message(sequence)), Offered::Queued);
    }
    assert_eq!(
        drain(&mut outbound),
        [
            (1, Some(1), false),
            (2, Some(2), false),
            (3, Some(3), false),
            (4, Some(4), false)
        ]
    );
    assert!(!outbound.acknowledged(9));
    assert!(outbound.acknowledged(2));
    assert!(!outbound.acknowledged(2));
    assert_eq!(drain(&mut outbound), [(5, Some(5), false)]);
}

#[test]
fn quality_0_needs_no_window() {
    let mut outbound = outbound(0);
    for sequence in 1..=6 {
        outbound.offer(message(sequence));
    }
    assert_eq!(drain(&mut outbound).len(), 6);
    assert!(outbound.detach().is_none());
}

#[test]
fn a_full_queue_drops_the_newest() {
    let mut outbound = outbound(1);
    for sequence in 1..=QUEUE_MAX as u64 {
        assert_eq!(outbound.offer(message(sequence)), Offered::Queued);
    }
    assert_eq!(outbound.offer(message(99)), Offered::Full);
}

#[test]
fn a_key_that_is_queued_or_in_flight_is_not_taken_again() {
    let mut outbound = outbound(1);
    assert_eq!(outbound.offer(message(1)), Offered::Queued);
    assert_eq!(outbound.offer(message(1)), Offered::Duplicate);
    let id = next(&mut outbound).unwrap().packet_id.unwrap();
    assert_eq!(outbound.offer(message(1)), Offered::Duplicate);
    outbound.acknowledged(id);
    assert_eq!(outbound.offer(message(1)), Offered::Queued);
}

#[test]
fn only_subscribed_channels_are_taken() {
    let mut outbound = Outbound::new(QUEUE_MAX);
    assert_eq!(outbound.offer(message(1)), Offered::NotSubscribed);
    outbound.set_subscriptions(vec![Subscription {
        filter: DownlinkFilter::Exact(Channel::Time),
        qos: 1,
    }]);
    assert_eq!(outbound.offer(message(1)), Offered::NotSubscribed);
}

#[test]
fn unacknowledged_packets_are_sent_first_after_a_resume_marked_dup_with_their_old_ids() {
    let mut before = outbound(1);
    for sequence in 1..=3 {
        before.offer(message(sequence));
    }
    drain(&mut before);
    before.acknowledged(2);
    let left = before.detach().unwrap();
    assert_eq!(left.len(), 2);

    let mut after = outbound(1);
    after.resume(left);
    assert_eq!(after.offer(message(1)), Offered::Duplicate);
    assert_eq!(after.offer(message(4)), Offered::Queued);
    assert!(!after.acknowledged(1), "not sent on this connection yet");
    assert_eq!(
        drain(&mut after),
        [(1, Some(1), true), (3, Some(3), true), (4, Some(4), false)]
    );
}

#[test]
fn a_resumed_window_may_be_smaller_than_the_number_of_unacknowledged_packets() {
    let mut before = outbound(1);
    for sequence in 1..=4 {
        before.offer(message(sequence));
    }
    drain(&mut before);
    let mut after = outbound(1);
    after.resume(before.detach().unwrap());
    let mut small = || after.next(Instant::now(), 2, &mut 0).map(|d| d.packet_id);
    assert_eq!(
        [small(), small(), small()],
        [Some(Some(1)), Some(Some(2)), None]
    );
}

#[test]
fn an_expired_message_is_not_sent() {
    let now = Instant::now();
    let mut outbound = outbound(1);
    let expiring = |sequence, ms| Message {
        expires_at: Some(now + Duration::from_millis(ms)),
        ..message(sequence)
    };
    outbound.offer(expiring(1, 500));
    outbound.offer(expiring(2, 2_500));
    let mut expired = 0;
    let transmission = outbound
        .next(now + Duration::from_secs(1), WINDOW, &mut expired)
        .unwrap();
    assert_eq!(
        (transmission.message.sequence, transmission.expires_s),
        (2, Some(2))
    );
    assert_eq!(expired, 1);
}

#[test]
fn a_withdrawal_empties_the_queue_and_stops_what_is_still_inside_the_router() {
    let mut outbound = outbound(1);
    outbound.offer(message(1));
    let id = next(&mut outbound).unwrap().packet_id.unwrap();
    outbound.offer(message(2));
    outbound.withdraw(10);
    assert!(next(&mut outbound).is_none());
    assert_eq!(outbound.offer(message(9)), Offered::Withdrawn);
    assert_eq!(outbound.offer(message(10)), Offered::Queued);
    assert_ne!(next(&mut outbound).unwrap().packet_id, Some(id));
    assert!(
        outbound.acknowledged(id),
        "the box may still acknowledge it"
    );
    let left = outbound.detach().unwrap();
    assert_eq!(left.len(), 1, "only the one after the withdrawal");
}

#[test]
fn a_withdrawn_packet_is_not_sent_again_after_a_resume() {
    let mut outbound = outbound(1);
    outbound.offer(message(1));
    next(&mut outbound);
    outbound.withdraw(2);
    assert!(outbound.detach().is_none());
}

#[test]
fn packet_identifiers_skip_zero_and_those_in_use() {
    let mut outbound = outbound(1);
    outbound.window.last_packet_id = u16::MAX - 1;
    outbound.offer(message(1));
    outbound.offer(message(2));
    assert_eq!(
        drain(&mut outbound),
        [(1, Some(u16::MAX), false), (2, Some(1), false)]
    );
    outbound.window.last_packet_id = u16::MAX - 1;
    outbound.offer(message(3));
    assert_eq!(drain(&mut outbound), [(3, Some(2), false)]);
}

#[derive(Debug, Clone)]
enum Step {
    Offer(u64),
    Send,
    Acknowledge(usize),
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..40).prop_map(Step::Offer),
        4 => Just(Step::Send),
        3 => (0_usize..4).prop_map(Step::Acknowledge),
        1 => Just(Step::Reconnect),
    ]
}

proptest! {
    #[test]
    fn the_window_order_and_identifiers_hold_in_every_history(steps in prop::collection::vec(step(), 0..200)) {
        let mut outbound = outbound(1);
        let mut in_flight: Vec<u16> = Vec::new();
        let mut first_sent: Vec<u64> = Vec::new();
        let mut offered: Vec<u64> = Vec::new();
        let mut sequence = 0;
        for step in steps {
            match step {
                Step::Offer(key) => {
                    sequence += 1;
                    let key = Some(Uuid::from_u128(u128::from(key)));
                    if outbound.offer(Message { key, ..message(sequence) }) == Offered::Queued {
                        offered.push(sequence);
                    }
                }
                Step::Send => {
                    if let Some(transmission) = next(&mut outbound) {
                        let id = transmission.packet_id.unwrap();
                        prop_assert!(!in_flight.contains(&id));
                        in_flight.push(id);
                        if transmission.dup {
                            prop_assert!(first_sent.contains(&transmission.message.sequence));
                        } else {
                            first_sent.push(transmission.message.sequence);
                        }
                    }
                    prop_assert!(in_flight.len() <= WINDOW);
                }
                Step::Acknowledge(index) => {
                    if index < in_flight.len() {
                        prop_assert!(outbound.acknowledged(in_flight.remove(index)));
                    }
                }
                Step::Reconnect => {
                    let queued: HashSet<u64> = outbound.queue.iter().map(|q| q.message.sequence).collect();
                    offered.retain(|sequence| !queued.contains(sequence));
                    let left = outbound.detach();
                    let subscriptions = outbound.subscriptions.clone();
                    outbound = Outbound::new(QUEUE_MAX);
                    outbound.set_subscriptions(subscriptions);
                    if let Some(left) = left {
                        outbound.resume(left);
                    }
                    in_flight.clear();
                }
            }
        }
        prop_assert!(first_sent.is_sorted(), "sent in the order in which they were offered");
        prop_assert_eq!(&offered[..first_sent.len()], &first_sent[..], "each once, none skipped");
    }
}
