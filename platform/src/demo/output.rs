//! The demonstration's standard output: text, or one JSON object per line.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use chrono::Local;
use serde_json::{Value, json};
use wire::MerchantId;

use super::demo_file::DemoFile;
use super::evidence::{Entry, Outcome, Summary, latency_ms, received_ms};
use super::rupiah;

/// The standard output.
pub(super) struct Output {
    json: bool,
    merchants: HashMap<MerchantId, String>,
}

impl Output {
    /// An output that shows merchants by their brand names.
    pub(super) fn new(json: bool, merchants: HashMap<MerchantId, String>) -> Self {
        Self { json, merchants }
    }

    fn line(&self, line: &str) {
        // A closed pipe must not stop the demonstration.
        let mut stdout = std::io::stdout().lock();
        let _gone = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    }

    /// Everything that a client needs to connect.
    ///
    /// # Errors
    /// JSON serialisation.
    pub(super) fn ready(
        &self,
        demo: &DemoFile,
        file: &std::path::Path,
        after: Duration,
    ) -> anyhow::Result<()> {
        let ready_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        if self.json {
            let mut line = serde_json::to_value(demo).context("demo.json")?;
            for secret in ["qris_partner", "payout_partner"] {
                line[secret] = json!({ "id": line[secret]["id"] });
            }
            line["event"] = json!("ready");
            line["ready_ms"] = json!(ready_ms);
            line["demo_file"] = json!(file);
            self.line(&line.to_string());
            return Ok(());
        }
        let mut text = format!(
            "QRIS soundbox platform, a demonstration\n\n  \
             Pages       {}   (the browser has to trust {})\n  \
             API         {}   (curl --cacert {})\n  \
             MQTT        {}:{}, TLS with a client certificate\n  \
             Metrics     {}/metrics\n  \
             Database    {}\n",
            demo.api_url,
            demo.ca_file.display(),
            demo.api_url,
            demo.ca_file.display(),
            demo.mqtt_host,
            demo.mqtt_port,
            demo.metrics_url,
            demo.database_url,
        );
        for merchant in &demo.merchants {
            text += &format!(
                "  Merchant    {}  {}\n",
                merchant.merchant_id,
                self.name(merchant.merchant_id)
            );
        }
        for device in demo.devices.iter().take(BOXES_SHOWN_MAX) {
            text += &format!(
                "  Box         {}  {}\n",
                device.device_id, device.serial_number
            );
        }
        if demo.devices.len() > BOXES_SHOWN_MAX {
            text += &format!("  Boxes       {} in all\n", demo.devices.len());
        }
        for (role, login) in &demo.logins {
            text += &format!(
                "  Login       {role:<16}  {}  {}\n",
                login.email, login.password
            );
        }
        for (role, token) in &demo.tokens {
            text += &format!("  Token       {role:<16}  {token}\n");
        }
        text += &format!(
            "  All of it   {}\n\nready after {ready_ms} ms; Ctrl-C stops it\n",
            file.display()
        );
        self.line(&text);
        Ok(())
    }

    fn name(&self, id: MerchantId) -> String {
        self.merchants
            .get(&id)
            .cloned()
            .unwrap_or_else(|| id.to_string())
    }

    /// Prints one payment, and returns its JSON line in either form.
    pub(super) fn payment(&self, entry: &Entry<'_>) -> String {
        let line = payment_json(entry, |id| self.name(id)).to_string();
        if self.json {
            self.line(&line);
        } else {
            self.line(&self.payment_text(entry));
        }
        line
    }

    fn payment_text(&self, entry: &Entry<'_>) -> String {
        let figures = Figures::of(entry);
        let at = entry
            .notifications
            .iter()
            .filter_map(|(notification, _)| notification.acked_at)
            .max()
            .or(entry.record.and_then(|record| record.paid_at))
            .map_or_else(
                || "--:--:--".to_owned(),
                |at| at.with_timezone(&Local).format("%H:%M:%S").to_string(),
            );
        let amount = entry
            .record
            .map_or_else(String::new, |record| rupiah::format(record.amount));
        let merchant = entry.record.map_or_else(
            || entry.id.to_string(),
            |record| self.name(record.merchant_id),
        );
        let text = entry
            .text
            .map_or_else(String::new, |text| format!("\"{text}\"  "));
        let outcome = match &entry.outcome {
            Outcome::Played => {
                let mut text = "played".to_owned();
                if let Some(ms) = figures.latency_ms {
                    text += &format!(" in {ms} ms");
                }
                if let Some(ms) = figures.received_ms {
                    text += &format!(", received after {ms} ms");
                }
                if let Some(ms) = entry.callback_ms {
                    text += &format!(", callback answered in {ms} ms");
                }
                text
            }
            Outcome::Waiting => "not played yet".to_owned(),
            Outcome::Repeated => format!("REPEATED: announced {} times", figures.plays),
            Outcome::Unfounded(problem) => format!("UNFOUNDED: {problem}"),
            Outcome::Lost(problem) => format!("LOST: {problem}"),
            Outcome::TooLate => "paid too long ago to be announced".to_owned(),
        };
        format!("{at}  {amount:<12} {merchant:<18} {text}{outcome}")
    }

    /// Prints a notice that is not about a payment.
    pub(super) fn notice(&self, kind: &str, problem: &str) {
        if self.json {
            self.line(&json!({ "event": kind, "problem": problem }).to_string());
        } else {
            eprintln!("{problem}");
        }
    }

    /// Prints the summary.
    pub(super) fn summary(&self, sum: &Summary) {
        if self.json {
            let line = json!({
                "event": "summary",
                "payments": sum.payments,
                "played_once": sum.played_once,
                "lost": sum.lost,
                "repeated": sum.repeated,
                "unfounded": sum.unfounded,
                "p50_ms": sum.p50_ms,
                "max_ms": sum.max_ms,
            });
            self.line(&line.to_string());
            return;
        }
        let mut text = format!(
            "\n{} payments: {} played exactly once, {} lost, {} repeated",
            sum.payments, sum.played_once, sum.lost, sum.repeated
        );
        if sum.unfounded > 0 {
            text += &format!(", {} unfounded", sum.unfounded);
        }
        if let (Some(p50), Some(max)) = (sum.p50_ms, sum.max_ms) {
            text += &format!("; callback to played: p50 {p50} ms, max {max} ms");
        }
        self.line(&text);
    }
}

/// The most boxes that are listed by name.
const BOXES_SHOWN_MAX: usize = 10;

/// A payment's figures over the boxes of its terminal: the longest latencies and the highest number of plays.
struct Figures {
    latency_ms: Option<i64>,
    received_ms: Option<i64>,
    plays: u32,
}

impl Figures {
    fn of(entry: &Entry<'_>) -> Self {
        let all = || entry.notifications.iter();
        Self {
            latency_ms: all().filter_map(|(one, _)| latency_ms(one)).max(),
            received_ms: all().filter_map(|(one, _)| received_ms(one)).max(),
            plays: all().map(|(_, plays)| *plays).max().unwrap_or(0),
        }
    }
}

fn payment_json(entry: &Entry<'_>, name: impl Fn(MerchantId) -> String) -> Value {
    let figures = Figures::of(entry);
    let (status, problem) = match &entry.outcome {
        Outcome::Waiting => ("waiting", None),
        Outcome::Played => ("played", None),
        Outcome::Repeated => ("repeated", None),
        Outcome::Unfounded(problem) => ("unfounded", Some((*problem).to_owned())),
        Outcome::Lost(problem) => ("lost", Some(problem.clone())),
        Outcome::TooLate => ("too_late", None),
    };
    let first = entry.notifications.first().map(|(one, _)| one);
    let boxes: Vec<Value> = entry
        .notifications
        .iter()
        .map(|(one, plays)| {
            json!({
                "device_id": one.device_id,
                "event_id": one.event_id,
                "status": one.status,
                "plays": plays,
                "received_ms": received_ms(one),
                "latency_ms": latency_ms(one),
            })
        })
        .collect();
    json!({
        "event": "payment",
        "status": status,
        "problem": problem,
        "transaction_id": entry.id,
        "device_id": first.map(|one| one.device_id),
        "event_id": first.map(|one| one.event_id),
        "merchant_id": entry.record.map(|record| record.merchant_id),
        "merchant": entry.record.map(|record| name(record.merchant_id)),
        "amount": entry.record.map(|record| record.amount),
        "text": entry.text,
        "callback_ms": entry.callback_ms,
        "received_ms": figures.received_ms,
        "latency_ms": figures.latency_ms,
        "plays": figures.plays,
        "boxes": boxes,
    })
}
