//! Commands.

use serde_json::Value;
use uuid::Uuid;
use wire::CommandId;
use wire::message::{Command, CommandAckStatus};

use super::*;

fn command_id(number: u128) -> CommandId {
    CommandId::from_uuid(Uuid::from_u128(number))
}

/// Expires one minute after noon.
fn command(number: u128, kind: &str, payload: Value) -> DownlinkMessage {
    DownlinkMessage::Command(Command {
        command_id: command_id(number),
        kind: kind.to_owned(),
        payload,
        issued_at: noon(),
        expires_at: noon() + TimeDelta::seconds(60),
    })
}

fn answers(actions: &[Action]) -> Vec<(CommandAckStatus, Option<&str>)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send(UplinkMessage::CommandAck(ack)) => {
                Some((ack.status, ack.reason.as_deref()))
            }
            _ => None,
        })
        .collect()
}

fn ended_commands(actions: &[Action]) -> usize {
    actions
        .iter()
        .filter(|action| matches!(action, Action::CommandEnded { .. }))
        .count()
}

const DELIVERED: (CommandAckStatus, Option<&str>) = (CommandAckStatus::Delivered, None);

fn failed(reason: &str) -> (CommandAckStatus, Option<&str>) {
    (CommandAckStatus::Failed, Some(reason))
}

#[test]
fn a_command_is_carried_out_once_and_not_after_it_expired() {
    let mut bench = Bench::new();
    let show = command(1, "clear_display", json!({}));
    assert!(bench.receive(&show, 0).is_empty(), "it waits for the clock");
    assert!(bench.receive(&show, 0).is_empty());
    let actions = bench.set_clock(1);
    assert_eq!(
        (ended_commands(&actions), answers(&actions)),
        (1, vec![DELIVERED])
    );
    bench.power_cut();
    bench.set_clock(2);
    let actions = bench.receive(&show, 3);
    assert_eq!(
        (ended_commands(&actions), answers(&actions)),
        (0, vec![DELIVERED])
    );
    let late = bench.receive(&command(2, "clear_display", json!({})), 60);
    assert_eq!(
        answers(&late),
        [(CommandAckStatus::Timeout, Some("expired"))]
    );
    let unknown = bench.receive(&command(3, "dance", json!({})), 4);
    assert_eq!(answers(&unknown), [failed("unknown_command")]);
    let reboot = bench.receive(&command(4, "reboot", json!({})), 5);
    assert_eq!(
        reboot.last(),
        Some(&Action::Reboot),
        "after the acknowledgement"
    );
}

#[test]
fn a_sentence_of_a_command_waits_for_payments_and_is_acknowledged_when_it_was_spoken() {
    let mut bench = Bench::at_noon();
    bench.pay(payment(1), 1);
    let text = command(1, "announce_text", json!({ "text": "Selamat pagi" }));
    assert!(
        bench.receive(&text, 1).is_empty(),
        "a payment is being spoken"
    );
    assert!(bench.receive(&text, 1).is_empty(), "it is waiting already");
    bench.pay(payment(2), 1);
    assert_eq!(spoken_texts(&bench.spoken(1, 2)), [ON_TIME]);
    let actions = bench.spoken(2, 3);
    assert_eq!(spoken_texts(&actions), ["Selamat pagi"]);
    assert!(answers(&actions).is_empty());
    assert!(
        bench.receive(&text, 3).is_empty(),
        "it is being spoken already"
    );
    let now = bench.after(4);
    let actions = bench
        .soundbox
        .spoken(Utterance::Command(command_id(1)), now);
    assert_eq!(answers(&actions.unwrap()), [DELIVERED]);
    assert_eq!(answers(&bench.receive(&text, 5)), [DELIVERED]);
}

#[test]
fn an_interrupted_command_is_reported_and_one_that_waited_is_carried_out_when_repeated() {
    let mut bench = Bench::at_noon();
    let (first, second) = (
        command(1, "play_test", json!({})),
        command(2, "play_test", json!({})),
    );
    assert_eq!(
        spoken_texts(&bench.receive(&first, 1)),
        ["Ini suara percobaan"]
    );
    assert!(bench.receive(&second, 1).is_empty());
    bench.power_cut();
    bench.set_clock(2);
    assert_eq!(answers(&bench.receive(&first, 3)), [failed("interrupted")]);
    assert_eq!(spoken_texts(&bench.receive(&second, 3)).len(), 1);
}

#[test]
fn a_sentence_of_the_platform_is_said_in_its_language() {
    let mut bench = Bench::at_noon();
    let speech = json!({ "language": "jv", "text": "Gunggung dina iki, seket ewu rupiah" });
    let total = json!({ "amount": 50_000, "speech": speech });
    let actions = bench.receive(&command(1, "announce_total", total), 1);
    let said: Vec<(&str, &str)> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Speak(sentence) => Some((sentence.language.as_str(), sentence.text.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(said, [("jv", "Gunggung dina iki, seket ewu rupiah")]);
    let bare = command(2, "announce_total", json!({ "amount": 50_000 }));
    assert_eq!(
        answers(&bench.receive(&bare, 2)),
        [failed("invalid_payload")]
    );
}

#[test]
fn a_command_that_expires_while_it_waits_is_not_spoken() {
    let mut bench = Bench::at_noon();
    bench.pay(payment(1), 1);
    bench.receive(&command(1, "play_test", json!({})), 2);
    let actions = bench.spoken(1, 61);
    assert!(spoken_texts(&actions).is_empty());
    assert_eq!(
        answers(&actions),
        [(CommandAckStatus::Timeout, Some("expired"))]
    );
}

#[test]
fn invalid_parameters_are_acknowledged_as_failed() {
    let mut bench = Bench::at_noon();
    let wrong = [
        ("announce_text", json!({})),
        ("set_volume", json!({ "volume": 11 })),
        ("set_volume", json!({ "volume": "loud" })),
        ("display_qr", json!({ "qr_payload": "" })),
        ("update_firmware", json!({ "version": "2.0.0" })),
    ];
    for (number, (kind, payload)) in (10..).zip(wrong) {
        let actions = bench.receive(&command(number, kind, payload.clone()), 1);
        assert_eq!(
            answers(&actions),
            [failed("invalid_payload")],
            "{kind} {payload}"
        );
    }
}

#[test]
fn a_set_volume_command_applies_to_the_next_sentence() {
    let mut bench = Bench::at_noon();
    bench.receive(&command(1, "set_volume", json!({ "volume": 3 })), 1);
    let actions = bench.pay(payment(1), 2);
    let volumes: Vec<u8> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Speak(sentence) => Some(sentence.volume),
            _ => None,
        })
        .collect();
    assert_eq!(volumes, [3]);
}

#[test]
fn a_repeated_diagnosis_has_the_same_result() {
    let mut bench = Bench::at_noon();
    bench.pay(payment(1), 1);
    bench.spoken(1, 1);
    let diagnose = command(1, "collect_diagnostics", json!({}));
    let result = |actions: &[Action]| {
        actions.iter().find_map(|action| match action {
            Action::Send(UplinkMessage::CommandAck(ack)) => ack.result_payload.clone(),
            _ => None,
        })
    };
    let first = result(&bench.receive(&diagnose, 2)).unwrap();
    assert_eq!(first["counters"]["spoken"], 1);
    assert_eq!(first["settings"]["volume"], 8);
    assert_eq!(first["network"]["connects"], 1);
    assert_eq!(first["server_time"], "2026-05-24T12:00:02.000Z");
    bench.power_cut();
    bench.set_clock(9);
    assert_eq!(result(&bench.receive(&diagnose, 9)), Some(first));
}

#[test]
fn a_background_task_ends_with_its_result_and_new_firmware_reboots() {
    let mut bench = Bench::at_noon();
    let install = |number, version: &str| {
        let payload = json!({
            "url": "https://firmware.example/2.bin", "sha256": "ab".repeat(32), "version": version,
        });
        command(number, "update_firmware", payload)
    };
    let actions = bench.receive(&install(1, "2.0.0"), 1);
    let task = BackgroundTask::Install {
        version: "2.0.0".to_owned(),
    };
    let command_id_1 = command_id(1);
    assert_eq!(
        actions,
        [Action::StartTask {
            command_id: command_id_1,
            task
        }]
    );
    assert!(bench.receive(&install(1, "2.0.0"), 1).is_empty());
    let actions = bench.soundbox.task_ended(command_id_1, Ok(None)).unwrap();
    assert_eq!(answers(&actions), [DELIVERED]);
    assert_eq!(actions.last(), Some(&Action::Reboot));

    bench.receive(&install(2, "3.0.0"), 2);
    let actions = bench
        .soundbox
        .task_ended(command_id(2), Err("checksum_mismatch"))
        .unwrap();
    assert_eq!(answers(&actions), [failed("checksum_mismatch")]);
    assert!(!actions.contains(&Action::Reboot));

    bench.receive(&install(3, "3.0.0"), 3);
    bench.power_cut();
    bench.set_clock(4);
    assert_eq!(
        answers(&bench.receive(&install(3, "3.0.0"), 4)),
        [failed("interrupted")]
    );
}
