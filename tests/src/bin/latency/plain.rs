//! The plain bridge on the same Postgres and Mosquitto: what a team would assemble without this product, measured in the
//! same way, and what it loses when it is killed. Its boxes connect to Mosquitto over mTLS; acquirer and bridge spare
//! TLS; boxes do not acknowledge what they played.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use rand::seq::IndexedRandom as _;
use serde::Deserialize;
use service::clock::Clock;
use sqlx::{Connection as _, PgConnection};
use tests::acquirer::Acquirer;
use tests::connection::Connection;
use tests::figures::Figures;
use tests::mosquitto::Mosquitto;
use tests::repeat::until_answered;
use tests::server::Server;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use wire::{DeviceId, EventId, TransactionId};

use crate::listener::{Heard, report};
use crate::measured::Flood;
use crate::payments::{Payments, flood, pay};

/// Clients of Mosquitto are numbered from here.
const FIRST: u128 = 1_000_000;
/// Payments a second while the bridge is killed, and in each round.
const KILLED_AT_PER_S: u32 = 1_000;
const KILLED_OF: usize = 2_000;
/// When nothing was heard for so long, the rest is lost.
const SILENCE: Duration = Duration::from_secs(5);

/// A running bridge and its connected boxes.
pub(crate) struct Plain<'a> {
    server: &'a Server,
    mosquitto: &'a Mosquitto,
    bridge: Bridge,
    boxes: Vec<DeviceId>,
    heard: mpsc::UnboundedReceiver<Heard>,
    /// They end with this value.
    _listeners: JoinSet<()>,
}

/// What became of payments while the bridge was killed.
#[derive(Default)]
pub(crate) struct Losses {
    kills: usize,
    answered: usize,
    lost: usize,
    twice: usize,
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kills,
            answered,
            lost,
            twice,
        } = self;
        write!(
            f,
            "{kills} times SIGKILL: {answered} payments answered 200, {lost} of them never heard, {twice} heard twice"
        )
    }
}

impl<'a> Plain<'a> {
    /// Makes its tables, connects so many boxes, and starts it.
    pub(crate) async fn start(
        server: &'a Server,
        mosquitto: &'a Mosquitto,
        boxes: usize,
    ) -> anyhow::Result<Self> {
        let mut conn = PgConnection::connect(&server.demo.database_url).await?;
        sqlx::raw_sql(
            "CREATE TABLE plain_codes (transaction_id uuid PRIMARY KEY, device_id uuid NOT NULL);
             CREATE TABLE plain_payments (
                 partner_reference text PRIMARY KEY, transaction_id uuid NOT NULL, device_id uuid NOT NULL,
                 amount bigint NOT NULL, paid_at timestamptz NOT NULL DEFAULT clock_timestamp())",
        )
        .execute(&mut conn)
        .await?;
        let (sender, heard) = mpsc::unbounded_channel();
        let (mut ids, mut listeners) = (Vec::new(), JoinSet::new());
        for number in 0..u128::try_from(boxes)? {
            let endpoint = mosquitto.endpoint(FIRST + number)?;
            let mut connection = endpoint.connect().await?;
            let topic = format!("devices/{}/downlink/#", endpoint.device_id);
            connection.subscribe(&topic).await;
            listeners.spawn(listen(connection, sender.clone()));
            ids.push(endpoint.device_id);
        }
        Ok(Self {
            server,
            mosquitto,
            bridge: Bridge::start(server, mosquitto, None).await?,
            boxes: ids,
            heard,
            _listeners: listeners,
        })
    }

    /// Pays random boxes as fast as this many concurrent acquirers are answered.
    pub(crate) async fn flood(
        &mut self,
        payments: usize,
        acquirers: usize,
    ) -> anyhow::Result<Flood> {
        let codes = self.codes(payments).await?;
        let receivers = [self.bridge.pid()?, self.mosquitto.pid()?];
        let acquirer = self.acquirer();
        let heard = &mut self.heard;
        let all_heard = async {
            for _ in &codes {
                timeout(SILENCE, heard.recv())
                    .await
                    .context("payments of a flood were not heard")?;
            }
            Ok(())
        };
        let measured = (self.server, receivers.as_slice());
        flood(measured, &acquirer, &codes, acquirers, all_heard).await
    }

    /// Pays random boxes, so many a second.
    pub(crate) async fn pay(
        &mut self,
        payments: usize,
        per_second: u32,
    ) -> anyhow::Result<Payments> {
        let codes = self.codes(payments).await?;
        let (seen, repeated) = pay(&self.acquirer(), &codes, per_second, &mut self.heard).await?;
        Ok(Payments {
            seen,
            played: Figures::default(),
            repeated,
        })
    }

    /// Ends the bridge with SIGKILL so many times, each time under payments, and starts it again. The acquirer repeats
    /// each callback until it is answered.
    pub(crate) async fn kill(&mut self, kills: usize) -> anyhow::Result<Losses> {
        let mut answered = HashSet::new();
        for _ in 0..kills {
            let codes = self.codes(KILLED_OF).await?;
            let acquirer = self.acquirer();
            let paying = tokio::spawn(pay_until_answered(acquirer, codes.clone()));
            sleep(Duration::from_millis(rand::random_range(300..1_700))).await;
            self.bridge.kill().await?;
            self.bridge = Bridge::start(self.server, self.mosquitto, Some(self.bridge.at)).await?;
            paying.await??;
            answered.extend(codes);
        }
        let mut heard: HashMap<TransactionId, usize> = HashMap::new();
        while let Ok(Some(one)) = timeout(SILENCE, self.heard.recv()).await {
            *heard.entry(one.transaction_id).or_default() += 1;
        }
        Ok(Losses {
            kills,
            answered: answered.len(),
            lost: answered.iter().filter(|id| !heard.contains_key(id)).count(),
            twice: heard.values().filter(|times| **times > 1).count(),
        })
    }

    fn acquirer(&self) -> Acquirer {
        self.server
            .acquirer()
            .at(&format!("http://{}", self.bridge.at))
    }

    /// Codes of random boxes.
    async fn codes(&self, count: usize) -> anyhow::Result<Vec<TransactionId>> {
        let codes: Vec<TransactionId> = (0..count)
            .map(|_| TransactionId::from_uuid(uuid::Uuid::from_u128(rand::random())))
            .collect();
        let boxes: Vec<uuid::Uuid> = {
            let mut rng = rand::rng();
            let chosen = (0..count).filter_map(|_| self.boxes.choose(&mut rng));
            chosen.map(|id| id.as_uuid()).collect()
        };
        let ids: Vec<uuid::Uuid> = codes.iter().map(|id| id.as_uuid()).collect();
        let mut conn = PgConnection::connect(&self.server.demo.database_url).await?;
        sqlx::query("INSERT INTO plain_codes SELECT * FROM unnest($1::uuid[], $2::uuid[])")
            .bind(ids)
            .bind(boxes)
            .execute(&mut conn)
            .await?;
        Ok(codes)
    }
}

/// The process.
struct Bridge {
    child: Child,
    at: SocketAddr,
}

impl Bridge {
    /// At a free address, unless one is named.
    async fn start(
        server: &Server,
        mosquitto: &Mosquitto,
        at: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let executable = std::env::current_exe()?.with_file_name("plain-bridge");
        let mut command = Command::new(executable);
        command
            .args(["--database-url", &server.demo.database_url])
            .args(["--mqtt", &mosquitto.without_tls().to_string()])
            .env("PLAIN_BRIDGE_SECRET", &server.demo.qris_partner.secret)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        if let Some(at) = at {
            command.args(["--listen", &at.to_string()]);
        }
        let mut child = command.spawn().context("plain-bridge is not built")?;
        let output = child.stdout.take().context("it has no output")?;
        let mut ready = String::new();
        BufReader::new(output).read_line(&mut ready).await?;
        let at = ready.trim().parse().context("plain-bridge did not start")?;
        Ok(Self { child, at })
    }

    fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("plain-bridge has ended")
    }

    async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

async fn pay_until_answered(acquirer: Acquirer, codes: Vec<TransactionId>) -> anyhow::Result<()> {
    let mut ticks = interval(Duration::from_secs(1) / KILLED_AT_PER_S);
    let mut payments = JoinSet::new();
    for id in codes {
        ticks.tick().await;
        let (acquirer, callback) = (acquirer.clone(), acquirer.payment(id, 50_000));
        payments.spawn(async move { until_answered(|| acquirer.try_post(&callback), || {}).await });
    }
    while let Some(answered) = payments.join_next().await {
        answered?.context("a payment was refused")?;
    }
    Ok(())
}

/// What the bridge publishes, as far as it is used here.
#[derive(Deserialize)]
struct Payment {
    event_id: EventId,
    transaction_id: TransactionId,
}

async fn listen(mut connection: Connection, heard: mpsc::UnboundedSender<Heard>) {
    let clock = Clock::system();
    while let Some(publish) = connection.try_receive().await {
        let at = clock.now();
        if let Ok(payment) = serde_json::from_slice::<Payment>(&publish.payload)
            && !report(&heard, payment.transaction_id, payment.event_id, at)
        {
            return;
        }
        if !connection.try_confirm(&publish).await {
            return;
        }
    }
}
