//! Configurations.

use super::*;

fn push(version: i64, config: serde_json::Value) -> DownlinkMessage {
    DownlinkMessage::ConfigPush(ConfigPush {
        version,
        binding_id: Some(binding_id(1)),
        config,
    })
}

fn volume(bench: &Bench) -> u8 {
    bench.soundbox.settings().volume
}

#[test]
fn an_unknown_configuration_is_rejected_with_a_reason_and_the_old_one_stays() {
    let mut bench = Bench::at_noon();
    bench.receive(&push(1, json!({ "volume": 4 })), 1);
    let actions = bench.receive(&push(2, json!({ "volume": 9, "colour": "red" })), 2);
    assert_eq!(
        actions[1],
        config_ack(
            2,
            ConfigAckStatus::Rejected,
            Some("unknown key: colour".to_owned())
        )
    );
    assert_eq!(volume(&bench), 4);
    bench.receive(&push(3, json!({ "volume": 9 })), 3);
    assert_eq!(volume(&bench), 9);
}

#[test]
fn the_binding_of_a_rejected_configuration_is_applied() {
    let mut bench = Bench::at_noon();
    let moved = ConfigPush {
        version: 2,
        binding_id: Some(binding_id(2)),
        config: json!({ "volume": 99 }),
    };
    let actions = bench.receive(&DownlinkMessage::ConfigPush(moved), 1);
    assert!(
        matches!(&actions[0], Action::Configure { refused: Some(reason), .. } if reason.starts_with("volume"))
    );
    assert_eq!(
        acks(&bench.pay(payment(1), 2))[0].2,
        Some("binding_mismatch"),
        "payments of the old merchant are not spoken"
    );
    let actions = bench.receive(&push(1, json!({})), 3);
    assert_eq!(
        actions,
        [config_ack(
            1,
            ConfigAckStatus::Rejected,
            Some("superseded".to_owned())
        )]
    );
}

#[test]
fn a_wrong_wall_clock_is_stated_and_decides_nothing() {
    for (wall_clock, stated) in [
        (
            WallClock::Off(TimeDelta::days(-1)),
            Some("2026-05-23T12:00:01.000Z"),
        ),
        (WallClock::Absent, None),
    ] {
        let mut bench = Bench::at_noon();
        bench.soundbox.identity.wall_clock = wall_clock;
        let actions = bench.pay(payment(1), 1);
        assert_eq!(spoken_texts(&actions), [ON_TIME]);
        match bench.soundbox.heartbeat(bench.after(1)) {
            UplinkMessage::Heartbeat(heartbeat) => {
                assert_eq!(heartbeat.timestamp.as_deref(), stated)
            }
            other => panic!("{other:?}"),
        }
    }
}
