//! Draws the front panel of a box.

use chrono::{DateTime, FixedOffset, Utc};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Paragraph, Wrap};
use wire::Rupiah;

use super::front_panel::{FrontPanel, Shown};
use crate::soundbox::settings::VOLUME_MAX;

/// The minimum width of the payments.
const PAYMENTS_COLUMNS_MIN: u16 = 34;

/// The width of a display without a code.
const EMPTY_COLUMNS: u16 = 30;

/// Draws the panel at this time.
pub(super) fn draw(frame: &mut Frame<'_>, panel: &FrontPanel, now: DateTime<Utc>) {
    let code_rows = code_size(panel).map_or(0, |(_, rows)| rows + 2);
    let [head, middle, log, foot] = Layout::vertical([
        Constraint::Length(5),
        Constraint::Min(code_rows.max(8)),
        Constraint::Max(8),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let display_columns = code_size(panel).map_or(EMPTY_COLUMNS, |(columns, _)| {
        (columns + 2).min(middle.width.saturating_sub(PAYMENTS_COLUMNS_MIN))
    });
    let [display, payments] = Layout::horizontal([
        Constraint::Length(display_columns.max(EMPTY_COLUMNS)),
        Constraint::Min(0),
    ])
    .areas(middle);
    draw_head(frame, head, panel, now);
    draw_display(frame, display, panel, now);
    draw_payments(frame, payments, panel);
    draw_log(frame, log, panel);
    let keys = " digits, Enter: request a QR   Esc: clear   q: stop";
    frame.render_widget(Paragraph::new(keys).style(Style::new().dim()), foot);
}

/// Columns and rows of the code on the display.
fn code_size(panel: &FrontPanel) -> Option<(u16, u16)> {
    let (columns, rows) = panel.shown.as_ref()?.code.as_ref()?.size();
    Some((u16::try_from(columns).ok()?, u16::try_from(rows).ok()? + 1))
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, panel: &FrontPanel, now: DateTime<Utc>) {
    let block = Block::bordered().title(format!(" SOUNDBOX {} ", panel.name));
    let (lamp, colour) = if panel.online {
        ("● online", Color::Green)
    } else {
        ("○ offline", Color::Red)
    };
    let mut first = vec![
        Span::styled(format!(" {lamp}"), Style::new().fg(colour)),
        Span::raw(format!(
            " {} by {}",
            panel
                .since
                .map_or_else(String::new, |since| age(since, now)),
            panel.transport.as_str()
        )),
    ];
    if let Some(problem) = panel.problem.as_ref().filter(|_| !panel.online) {
        first.push(Span::styled(
            format!("  {problem}"),
            Style::new().fg(Color::Red),
        ));
    }
    let settings = &panel.settings;
    let volume = usize::from(settings.volume.min(VOLUME_MAX));
    let rest = usize::from(VOLUME_MAX) - volume;
    let quiet = settings
        .quiet_hours
        .as_ref()
        .map_or_else(String::new, |hours| format!("   quiet {hours}"));
    let lines = vec![
        Line::from(first),
        Line::raw(format!(
            " volume {}{} {}/10   brightness {} %   speaks {}{quiet}",
            "█".repeat(volume),
            "░".repeat(rest),
            settings.volume,
            settings.display_brightness,
            settings.language.as_str(),
        )),
        Line::raw(format!(
            " firmware {}   configuration {}, {}   heartbeat every {} s   {} spoken",
            panel.firmware_version,
            panel.config_version,
            if panel.bound { "bound" } else { "not bound" },
            settings.heartbeat_interval_s,
            panel.spoken,
        )),
    ];
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_display(frame: &mut Frame<'_>, area: Rect, panel: &FrontPanel, now: DateTime<Utc>) {
    let block = Block::bordered().title(" display ");
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let Some(shown) = &panel.shown else {
        let text = if panel.keyed.is_empty() {
            "\n QRIS".to_owned()
        } else {
            format!("\n Rp {}_", panel.keyed)
        };
        frame.render_widget(Paragraph::new(text), inside);
        return;
    };
    let caption = caption(shown, now);
    match &shown.code {
        Some(code) if fits(code.size(), inside) => {
            let paper = Style::new().fg(Color::Black).bg(Color::White);
            let mut text = Text::default();
            for line in code.lines() {
                text.push_line(Line::styled(line.clone(), paper));
            }
            text.push_line(Line::raw(caption));
            frame.render_widget(Paragraph::new(text), inside);
        }
        Some(code) => {
            let (columns, rows) = code.size();
            let text = format!(
                "{caption}\n\nThe code needs {columns} × {} characters here: enlarge the terminal.\n\n{}",
                rows + 1,
                shown.payload
            );
            frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }), inside);
        }
        None => {
            let text = format!("{caption}\n\n{}", shown.payload);
            frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }), inside);
        }
    }
}

fn fits((columns, rows): (usize, usize), area: Rect) -> bool {
    columns <= usize::from(area.width) && rows < usize::from(area.height)
}

fn caption(shown: &Shown, now: DateTime<Utc>) -> String {
    let amount = shown
        .amount
        .map_or_else(String::new, |amount| format!(" Rp {}", grouped(amount)));
    let left = shown.until.map_or_else(String::new, |until| {
        format!("   {} s left", (until - now).num_seconds().max(0))
    });
    format!("{amount}{left}")
}

fn draw_payments(frame: &mut Frame<'_>, area: Rect, panel: &FrontPanel) {
    let mut text = Text::default();
    for payment in &panel.payments {
        let mark = match payment.acknowledged {
            "played" => Span::styled("✔", Style::new().fg(Color::Green)),
            "speaking" => Span::styled("♪", Style::new().fg(Color::Yellow)),
            _ => Span::styled("✘", Style::new().fg(Color::Red)),
        };
        let late = if payment.delayed { "  delayed" } else { "" };
        text.push_line(Line::from(vec![
            Span::raw(format!(" {} ", local(payment.at))),
            mark,
            Span::styled(
                format!(" Rp {}", grouped(payment.amount)),
                Style::new().add_modifier(Modifier::BOLD),
            ),
            Span::raw(format!("  {}{late}", payment.acknowledged)),
        ]));
        text.push_line(Line::styled(
            format!("   {}", payment.text),
            Style::new().dim(),
        ));
    }
    let block = Block::bordered().title(" payments ");
    frame.render_widget(Paragraph::new(text).block(block), area);
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, panel: &FrontPanel) {
    let rows = usize::from(area.height.saturating_sub(2));
    let from = panel.log.len().saturating_sub(rows);
    let lines: Vec<Line<'_>> = panel
        .log
        .iter()
        .skip(from)
        .map(|(at, what)| Line::raw(format!(" {} {what}", local(*at))))
        .collect();
    let block = Block::bordered().title(" events ");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// The time in Jakarta (UTC+7).
fn local(at: DateTime<Utc>) -> String {
    match FixedOffset::east_opt(7 * 3600) {
        Some(zone) => at.with_timezone(&zone).format("%H:%M:%S").to_string(),
        None => at.format("%H:%M:%S").to_string(),
    }
}

/// An amount as it is written in Indonesia: 1.250.000.
fn grouped(amount: Rupiah) -> String {
    let digits = amount.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('.');
        }
        grouped.push(digit);
    }
    grouped
}

fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - since).num_seconds().max(0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("for {hours}:{minutes:02}:{seconds:02}")
}

#[cfg(test)]
mod tests;
