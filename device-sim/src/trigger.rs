//! `trigger`: makes one event happen that webhook endpoints are told of, with a merchant and a box of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use wire::message::AckStatus;
use wire::{Encoding, Rupiah};

use crate::clock;
use crate::credentials;
use crate::fleet::fleet_box::FleetBox;
use crate::fleet::registrar::{self, Registrar};
use crate::output::Output;
use crate::partner::{Callback, Partner, Target};
use crate::report::{Event as BoxEvent, Listener};
use crate::run::run_box;
use crate::scenario::Environment;
use crate::scenario::merchant::{Admin, Merchant};
use crate::session::{CONTROLS_MAX, Options};
use crate::soundbox::counters::Counters;
use crate::soundbox::identity::Vitals;

/// How long an answer of the box, or a job of the platform, may take.
const HAPPENS_WITHIN: Duration = Duration::from_secs(120);

const QUERY_INTERVAL: Duration = Duration::from_millis(250);

/// The reports of the box that may wait.
const REPORTS_MAX: usize = 256;

/// The battery levels of a box that needs a charge, and of one that has it, percent.
const LOW: u8 = 3;
const FULL: u8 = 95;

/// What endpoints are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Event {
    /// A payment is accepted.
    #[value(name = "payment.paid")]
    PaymentPaid,
    /// A payment is accepted and then taken back by the acquirer.
    #[value(name = "payment.reversed")]
    PaymentReversed,
    /// A payment is accepted, and a box announces it.
    #[value(name = "payment.heard")]
    PaymentHeard,
    /// A payment is accepted at a terminal without a box.
    #[value(name = "payment.unheard")]
    PaymentUnheard,
    /// A payment is settled, and marked as paid by hand.
    #[value(name = "settlement.paid")]
    SettlementPaid,
    /// The same, and the money comes back from the bank.
    #[value(name = "settlement.returned")]
    SettlementReturned,
    /// A box connects.
    #[value(name = "device.online")]
    DeviceOnline,
    /// A box disconnects.
    #[value(name = "device.offline")]
    DeviceOffline,
    /// A box reports a low battery.
    #[value(name = "alert.opened")]
    AlertOpened,
    /// A box reports a low battery and then a full one.
    #[value(name = "alert.closed")]
    AlertClosed,
    /// An endpoint is sent a test message.
    #[value(name = "endpoint.test")]
    EndpointTest,
}

/// What happened. All of it belongs to the merchant `merchant_id`, so that an endpoint of that merchant is told of it.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "triggered")]
struct Triggered<'a> {
    what: &'a str,
    merchant_id: Option<String>,
    subject_id: String,
}

/// Makes `event` happen.
pub async fn run(
    event: Event,
    endpoint: Option<String>,
    amount: Rupiah,
    environment: Environment,
    output: Output,
) -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let dir = environment.dir.clone();
    let dir = dir.unwrap_or_else(|| temporary.path().to_owned());
    credentials::make_dir(&dir)?;
    let (merchant_id, subject_id) = if event == Event::EndpointTest {
        let endpoint =
            endpoint.context("give --endpoint, as GET /admin/webhook-endpoints names it")?;
        let path = format!("/admin/webhook-endpoints/{endpoint}/test");
        let queued = environment.admin.post(&path, &json!({})).await?;
        (None, text(&queued, "delivery_id")?)
    } else {
        let stage = Stage::set(environment, &dir, amount, output).await?;
        let subject = stage.make(event).await?;
        (Some(stage.merchant.id().to_string()), subject)
    };
    let value = event.to_possible_value();
    let what = value.as_ref().map_or("", |value| value.get_name());
    let triggered = Triggered {
        what,
        merchant_id,
        subject_id,
    };
    output.emit(&triggered, || format!("{what}: {}", triggered.subject_id));
    Ok(())
}

/// The merchant, with a box at the first of its two terminals.
struct Stage {
    admin: Admin,
    partner: Option<Partner>,
    merchant: Merchant,
    device: FleetBox,
    amount: Rupiah,
}

impl Stage {
    async fn set(
        environment: Environment,
        dir: &Path,
        amount: Rupiah,
        output: Output,
    ) -> anyhow::Result<Self> {
        let Environment {
            admin,
            ca_pem,
            partner,
            ..
        } = environment;
        let merchant = admin.merchant(dir, "Trigger", 2).await?;
        let registrar = Registrar {
            api: admin.api.clone(),
            ca_pem,
            admin_token: admin.token.clone(),
            terminals: vec![merchant.terminals[0].id],
            http: 0,
            encoding: Encoding::Json,
            firmware_version: "1.0.3".to_owned(),
            vendor: None,
        };
        let mut devices = registrar::prepare(dir, 1, Some(&registrar), output).await?;
        Ok(Self {
            admin,
            partner,
            merchant,
            device: devices.remove(0),
            amount,
        })
    }

    /// Makes it happen; the id of the payment, settlement, box or alert.
    async fn make(&self, event: Event) -> anyhow::Result<String> {
        match event {
            Event::PaymentPaid => Ok(self.pay(0).await?.id),
            Event::PaymentReversed => self.reverse().await,
            Event::PaymentHeard => self.be_heard().await,
            Event::PaymentUnheard => Ok(self.pay(1).await?.id),
            Event::SettlementPaid => self.settle().await,
            Event::SettlementReturned => self.have_returned().await,
            Event::DeviceOnline | Event::DeviceOffline => {
                let mut device = self.switch_on(FULL);
                device.until_connected().await?;
                device.switch_off().await?;
                Ok(self.device.device_id().to_string())
            }
            Event::AlertOpened => {
                self.report_battery(FULL).await?;
                self.report_battery(LOW).await
            }
            Event::AlertClosed => {
                let alert = self.report_battery(LOW).await?;
                self.report_battery(FULL).await?;
                Ok(alert)
            }
            Event::EndpointTest => anyhow::bail!("an endpoint's test needs no merchant"),
        }
    }

    /// A customer pays the printed code of a terminal.
    async fn pay(&self, terminal: usize) -> anyhow::Result<Paid> {
        let target = Target::Static {
            nmid: self.merchant.nmid.clone(),
            terminal_label: Some(self.merchant.terminals[terminal].label.clone()),
        };
        let callback = Callback::new(target, self.amount, "success", clock::now());
        let answer = self.partner()?.post(&callback).await?.answer;
        // Not every acquirer is told our id.
        let id = answer["data"]["transaction_id"].as_str();
        let id = id.unwrap_or(&callback.partner_reference).to_owned();
        Ok(Paid { id, callback })
    }

    fn partner(&self) -> anyhow::Result<&Partner> {
        let partner = self.partner.as_ref();
        partner.context("this needs an acquirer: give --partner-id and --partner-secret-file")
    }

    async fn reverse(&self) -> anyhow::Result<String> {
        let Paid { id, mut callback } = self.pay(0).await?;
        callback.status = "reversed".to_owned();
        callback.event_id = clock::random_uuid().to_string();
        self.partner()?.post(&callback).await?;
        Ok(id)
    }

    async fn be_heard(&self) -> anyhow::Result<String> {
        let mut device = self.switch_on(FULL);
        device.until_connected().await?;
        let Paid { id, .. } = self.pay(0).await?;
        let is_played = |event: &BoxEvent| {
            matches!(
                event,
                BoxEvent::Acked {
                    status: AckStatus::Played,
                    ..
                }
            )
        };
        device.until("announcement", is_played).await?;
        device.switch_off().await?;
        Ok(id)
    }

    /// Settles what this merchant was paid, and notes that it was paid out.
    async fn settle(&self) -> anyhow::Result<String> {
        self.pay(0).await?;
        let run = json!({ "merchant_id": self.merchant.id() });
        let made = self.admin.post("/admin/settlements/run", &run).await?;
        let id = made["settlements"][0]
            .as_str()
            .with_context(|| format!("nothing was settled: {made}"))?;
        let path = format!("/admin/settlements/{id}/mark-paid");
        let paid = self
            .admin
            .post(&path, &json!({ "bank_reference": "SIMULATED" }))
            .await?;
        anyhow::ensure!(
            paid["status"] == "paid",
            "another person must confirm it: {paid}"
        );
        Ok(id.to_owned())
    }

    async fn have_returned(&self) -> anyhow::Result<String> {
        let id = self.settle().await?;
        let path = format!("/admin/settlements/{id}/mark-returned");
        self.admin
            .post(&path, &json!({ "reason": "simulated" }))
            .await?;
        Ok(id)
    }

    /// Lets the box report this battery level until the alert of it is open or closed; the alert's id, if there is one.
    async fn report_battery(&self, level: u8) -> anyhow::Result<String> {
        let mut device = self.switch_on(level);
        device.until_connected().await?;
        let began = Instant::now();
        loop {
            let alert = self.open_alert().await?;
            if alert.is_some() == (level == LOW) {
                device.switch_off().await?;
                return Ok(alert.unwrap_or_default());
            }
            anyhow::ensure!(
                began.elapsed() < HAPPENS_WITHIN,
                "the platform did not notice the battery of the box"
            );
            sleep(QUERY_INTERVAL).await;
        }
    }

    async fn open_alert(&self) -> anyhow::Result<Option<String>> {
        let device_id = self.device.device_id();
        let path = format!("/admin/alerts?state=open&kind=battery_low&device_id={device_id}");
        let page = self.admin.api.get(&path, Some(&self.admin.token)).await?;
        Ok(page["data"][0]["id"].as_str().map(str::to_owned))
    }

    fn switch_on(&self, battery_level: u8) -> Running {
        let (send, reports) = mpsc::channel(REPORTS_MAX);
        // Reports beyond the channel's room are dropped: nothing waits for them.
        let listener: Listener = Arc::new(move |report| drop(send.try_send(report.event.clone())));
        let (controls, taken) = mpsc::channel(CONTROLS_MAX);
        drop(controls);
        let options = Options {
            vitals: Vitals {
                battery_level,
                ..Vitals::default()
            },
            ..Options::default()
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(run_box(
            self.device.clone(),
            options,
            listener,
            taken,
            stop.clone(),
        ));
        Running {
            reports,
            task,
            stop,
        }
    }
}

/// A payment, and the message that told of it.
struct Paid {
    /// Our id of it, or the acquirer's reference.
    id: String,
    callback: Callback,
}

/// The box while it is switched on.
struct Running {
    reports: mpsc::Receiver<BoxEvent>,
    task: JoinHandle<anyhow::Result<Counters>>,
    stop: CancellationToken,
}

impl Running {
    async fn until_connected(&mut self) -> anyhow::Result<()> {
        let is_connected = |event: &BoxEvent| matches!(event, BoxEvent::ClockSet);
        self.until("connection", is_connected).await
    }

    async fn until(&mut self, what: &str, is_it: impl Fn(&BoxEvent) -> bool) -> anyhow::Result<()> {
        let found = timeout(HAPPENS_WITHIN, async {
            while let Some(event) = self.reports.recv().await {
                if is_it(&event) {
                    return true;
                }
            }
            false
        });
        anyhow::ensure!(found.await.unwrap_or(false), "no {what} of the box");
        Ok(())
    }

    async fn switch_off(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await??;
        Ok(())
    }
}

fn text(value: &Value, field: &str) -> anyhow::Result<String> {
    let found = value[field].as_str();
    found
        .map(str::to_owned)
        .with_context(|| format!("the answer has no {field}: {value}"))
}
