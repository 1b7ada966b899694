use chrono::TimeDelta;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;
use uuid::Uuid;
use wire::message::{AckStatus, CommandAckStatus};
use wire::{CommandId, Rupiah, TransactionId};

use super::*;
use crate::link::Transport;
use crate::report::{Event, Report};
use crate::soundbox::fixtures::{device_id, event_id, noon};
use crate::soundbox::settings::Settings;

/// A panel after these events, one a second from noon on.
fn panel(events: Vec<Event>) -> FrontPanel {
    let mut panel = FrontPanel::default();
    for (second, event) in (0..).zip(events) {
        panel.record(&Report {
            device_id: device_id(),
            at: noon() + TimeDelta::seconds(second),
            event,
        });
    }
    panel
}

fn started() -> Event {
    let settings = Settings::read(&json!({
        "volume": 7, "quiet_hours": { "start": "22:00", "end": "06:00" },
    }));
    Event::Started {
        transport: Transport::Mqtt,
        firmware_version: "1.0.3".to_owned(),
        config_version: 3,
        bound: true,
        settings: settings.unwrap(),
    }
}

const CONNECTED: Event = Event::Connected {
    session_present: false,
};

fn spoken(number: u128, amount: i64, text: &str) -> Event {
    Event::Spoken {
        event_id: event_id(number),
        transaction_id: TransactionId::from_uuid(Uuid::from_u128(number)),
        amount: Rupiah::from_i64(amount),
        text: text.to_owned(),
        delayed: false,
        volume: 7,
    }
}

fn command(kind: &str, payload: serde_json::Value) -> Event {
    Event::Command {
        command_id: CommandId::from_uuid(Uuid::from_u128(1)),
        kind: kind.to_owned(),
        payload,
        status: CommandAckStatus::Delivered,
        reason: None,
    }
}

fn drawn(panel: &FrontPanel, columns: u16, rows: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let now = noon() + TimeDelta::seconds(75);
    terminal.draw(|frame| draw(frame, panel, now)).unwrap();
    let buffer = terminal.backend().buffer();
    (0..rows)
        .map(|row| {
            let line: String = (0..columns)
                .map(|column| buffer[(column, row)].symbol())
                .collect();
            line.trim_end().to_owned()
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_box_shows_its_state_and_its_payments() {
    let panel = panel(vec![
        started(),
        CONNECTED,
        Event::ClockSet,
        spoken(
            1,
            50_000,
            "Pembayaran QRIS diterima, lima puluh ribu rupiah",
        ),
        Event::Acked {
            event_id: event_id(1),
            status: AckStatus::Played,
            reason: None,
        },
        spoken(
            2,
            8_500,
            "Pembayaran QRIS diterima, delapan ribu lima ratus rupiah",
        ),
    ]);
    insta::assert_snapshot!(drawn(&panel, 100, 24));
}

#[test]
fn a_code_is_drawn_with_its_amount_and_its_end() {
    let panel = panel(vec![
        started(),
        CONNECTED,
        command(
            "display_qr",
            json!({ "qr_payload": "00020101021226610014ID.CO.EXAMPLE.WWW", "amount": 50000, "expires_in": 300 }),
        ),
    ]);
    insta::assert_snapshot!(drawn(&panel, 80, 34));
}

#[test]
fn a_terminal_that_is_too_small_for_a_code_says_so() {
    let payload = "Qris".repeat(45);
    let panel = panel(vec![
        started(),
        command("display_qr", json!({ "qr_payload": payload })),
    ]);
    let screen = drawn(&panel, 80, 24);
    assert!(screen.contains("enlarge the"), "{screen}");
    // The smallest terminal must not cause a panic.
    drawn(&panel, 1, 1);
}

#[test]
fn a_code_disappears_when_it_is_paid_cleared_or_expired() {
    let show = || {
        command(
            "display_qr",
            json!({ "qr_payload": "0002", "expires_in": 60 }),
        )
    };
    assert!(panel(vec![started(), show()]).shown.is_some());
    assert!(
        panel(vec![started(), show(), spoken(1, 1_000, "…")])
            .shown
            .is_none()
    );
    assert!(
        panel(vec![started(), show(), command("clear_display", json!({}))])
            .shown
            .is_none()
    );
    let mut late = panel(vec![started(), show()]);
    late.expire(noon() + TimeDelta::seconds(60));
    assert!(late.shown.is_some());
    late.expire(noon() + TimeDelta::seconds(61));
    assert!(late.shown.is_none());
}

#[test]
fn a_lost_connection_is_shown_with_its_reason() {
    let panel = panel(vec![
        started(),
        CONNECTED,
        Event::Disconnected {
            reason: "not_authorized".to_owned(),
            retry_in_ms: 250,
        },
    ]);
    let screen = drawn(&panel, 80, 24);
    assert!(
        screen.contains("○ offline for 0:01:13 by mqtt  not_authorized"),
        "{screen}"
    );
}
