//! `run --screen`: the front of a box, drawn in the terminal: its state, its last sentence, and the QR it shows.

use std::io::{self, Write};
use std::sync::Mutex;

use wire::message::CommandAckStatus;

use crate::report::{Event, Report};

/// Clears the terminal and goes to its upper left corner (ECMA-48).
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// The sentences that stay on the screen.
const LINES_MAX: usize = 5;

#[derive(Default)]
struct Face {
    online: bool,
    qr: Option<String>,
    lines: Vec<String>,
}

/// The screen of one box.
#[derive(Default)]
pub struct Screen {
    face: Mutex<Face>,
}

/// A QR code as lines of half blocks.
///
/// # Errors
/// A payload that is too long for a QR code.
pub fn qr_lines(payload: &str) -> anyhow::Result<String> {
    let code = fast_qr::QRBuilder::new(payload)
        .ecl(fast_qr::ECL::M)
        .build()
        .map_err(|error| anyhow::anyhow!("no QR code for this payload: {error}"))?;
    Ok(code.to_str())
}

impl Screen {
    /// Takes in what happened, and draws the box anew.
    pub fn show(&self, report: &Report) {
        let Ok(mut face) = self.face.lock() else {
            return;
        };
        match &report.event {
            Event::Connected { .. } => face.online = true,
            Event::Disconnected { .. } | Event::Stopped { .. } => face.online = false,
            Event::Qr {
                qr_payload: Some(payload),
                ..
            } => face.qr = Some(payload.clone()),
            Event::Command {
                kind,
                payload,
                status: CommandAckStatus::Delivered,
                ..
            } => match kind.as_str() {
                "display_qr" => face.qr = payload["qr_payload"].as_str().map(str::to_owned),
                "clear_display" => face.qr = None,
                _ => {}
            },
            Event::Spoken { .. } => face.qr = None,
            _ => {}
        }
        if matches!(
            report.event,
            Event::Spoken { .. } | Event::Command { .. } | Event::Refused { .. }
        ) {
            face.lines.push(report.sentence());
            let excess = face.lines.len().saturating_sub(LINES_MAX);
            face.lines.drain(..excess);
        }
        let mut text = format!("{CLEAR}  SOUNDBOX {}\n", report.device_id);
        text.push_str(if face.online {
            "  ● online\n\n"
        } else {
            "  ○ offline\n\n"
        });
        if let Some(payload) = &face.qr
            && let Ok(lines) = qr_lines(payload)
        {
            text.push_str(&lines);
            text.push_str("\n\n");
        }
        for line in &face.lines {
            text.push_str("  ");
            text.push_str(line);
            text.push('\n');
        }
        let mut stdout = io::stdout().lock();
        let _gone = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_becomes_a_square_of_blocks() {
        let lines = qr_lines("00020101021226610014ID.CO.EXAMPLE.WWW").unwrap();
        let widths: Vec<usize> = lines.lines().map(|line| line.chars().count()).collect();
        assert!(widths.len() > 10 && widths.iter().all(|width| *width == widths[0]));
        assert!(qr_lines(&"x".repeat(5_000)).is_err());
    }
}
