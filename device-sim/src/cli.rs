//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use wire::{Encoding, Rupiah, TerminalId, TransactionId};

use crate::acquirer::Acquirer;
use crate::api::Api;
use crate::bank::{self, Bank};
use crate::clock;
use crate::credentials::Credentials;
use crate::duration;
use crate::faults::Faults;
use crate::fleet::{self, Registrar};
use crate::output::Output;
use crate::partner::snap::{self, PublicKey, Snap};
use crate::partner::{Callback, Partner, Target};
use crate::pay;
use crate::provision::{self, Activation};
use crate::qr;
use crate::run;
use crate::session::Options;
use crate::soundbox::journal::Durability;
use crate::voice::Voice;

/// Simulated soundboxes, and an acquirer to pay them.
#[derive(Parser)]
#[command(name = "device-sim", version, about)]
struct Cli {
    /// Print one JSON object per line.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a box: its key, its certificate, its credentials directory.
    Provision(Provision),
    /// Run one box.
    Run(Run),
    /// Run many boxes.
    Fleet(Fleet),
    /// Ask for a QR with an amount, as a box, and draw it.
    Qr(Qr),
    /// Send one payment callback, as the acquirer.
    Pay(Pay),
    /// Pay again and again: boxes ask for QRs, customers pay them.
    Acquirer(AcquirerArgs),
}

#[derive(Args)]
struct Server {
    /// The HTTPS API, for example https://localhost:8443.
    #[arg(long)]
    url: String,
    /// The CA certificates that verify the server; no others are trusted.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
}

impl Server {
    fn ca_pem(&self) -> anyhow::Result<String> {
        std::fs::read_to_string(&self.ca).with_context(|| self.ca.display().to_string())
    }

    fn api(&self) -> anyhow::Result<Api> {
        Api::new(&self.url, &self.ca_pem()?)
    }
}

#[derive(Args)]
struct PartnerArgs {
    /// Who the acquirer is to the platform.
    #[arg(long)]
    partner_id: String,
    /// The shared secret; better in a file or in the environment, where other users do not see it.
    #[arg(long, env = "PARTNER_SECRET", hide_env_values = true)]
    partner_secret: Option<String>,
    /// A file with the shared secret.
    #[arg(long, value_name = "FILE", conflicts_with = "partner_secret")]
    partner_secret_file: Option<PathBuf>,
    /// How the acquirer signs.
    #[arg(long, value_enum, default_value_t = ProfileArg::Hmac)]
    profile: ProfileArg,
    /// The acquirer's RSA key (PKCS#8 PEM), with which it asks for tokens; for profile snap.
    #[arg(long, value_name = "FILE", required_if_eq("profile", "snap"))]
    partner_key_file: Option<PathBuf>,
}

/// How an acquirer signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ProfileArg {
    /// HMAC-SHA256 over time and body.
    Hmac,
    /// SNAP BI.
    Snap,
}

impl PartnerArgs {
    fn partner(&self, api: Api) -> anyhow::Result<Partner> {
        let secret = self.secret()?;
        let id = self.partner_id.clone();
        let Some(file) = self
            .partner_key_file
            .as_ref()
            .filter(|_| self.profile == ProfileArg::Snap)
        else {
            return Ok(Partner::new(api, id, &secret));
        };
        let pem = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Ok(Partner::snap(api, id, Snap::new(&secret, &pem)?))
    }

    fn secret(&self) -> anyhow::Result<String> {
        let secret = match (&self.partner_secret, &self.partner_secret_file) {
            (_, Some(file)) => std::fs::read_to_string(file)
                .with_context(|| file.display().to_string())?
                .trim_end()
                .to_owned(),
            (Some(secret), None) => secret.clone(),
            (None, None) => anyhow::bail!("give --partner-secret-file or --partner-secret"),
        };
        Ok(secret)
    }
}

#[derive(Args)]
struct Provision {
    #[command(flatten)]
    server: Server,
    /// What is printed on the box.
    #[arg(long)]
    serial: String,
    /// The one-time code.
    #[arg(long, env = "ACTIVATION_CODE", hide_env_values = true)]
    activation_code: String,
    /// The credentials directory to make.
    #[arg(long)]
    dir: PathBuf,
    /// json or msgpack.
    #[arg(long, default_value = "json")]
    encoding: Encoding,
    /// What the box says it runs.
    #[arg(long, default_value = "1.0.3")]
    firmware: String,
    /// The terminal it will be bound to, if that is known.
    #[arg(long, value_name = "ID")]
    terminal: Option<TerminalId>,
}

#[derive(Args)]
struct Running {
    /// The time between signs of life; default what the box's configuration says.
    #[arg(long, value_parser = duration::parse)]
    heartbeat: Option<Duration>,
    /// MQTT's keepalive.
    #[arg(long, default_value = "60s", value_parser = duration::parse)]
    keep_alive: Duration,
    /// End after this long.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    end_after: Option<Duration>,
}

impl Running {
    fn options(&self, voice: Voice, durability: Durability) -> anyhow::Result<Options> {
        anyhow::ensure!(
            self.heartbeat.is_none_or(|every| !every.is_zero()),
            "--heartbeat must not be zero"
        );
        anyhow::ensure!(
            self.keep_alive >= Duration::from_secs(1),
            "--keep-alive must be a second or more"
        );
        Ok(Options {
            heartbeat: self.heartbeat,
            keep_alive: self.keep_alive,
            voice,
            durability,
        })
    }
}

#[derive(Args)]
struct Run {
    /// The credentials directory.
    #[arg(long)]
    dir: PathBuf,
    #[command(flatten)]
    common: Running,
    /// Say it aloud, with espeak-ng where that is installed.
    #[arg(long)]
    speak: bool,
    /// Draw the box in the terminal.
    #[arg(long, conflicts_with = "json")]
    screen: bool,
}

#[derive(Args)]
struct Fleet {
    /// Where the boxes of this fleet live; missing ones are made when there is an admin token.
    #[arg(long, required_unless_present = "boxes")]
    dir: Option<PathBuf>,
    /// How many boxes.
    #[arg(long, required_unless_present = "boxes")]
    count: Option<usize>,
    /// Run the boxes in the subdirectories of this directory instead.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dir", "count", "url"])]
    boxes: Option<PathBuf>,
    #[command(flatten)]
    common: Running,
    /// The HTTPS API, to make missing boxes.
    #[arg(long, requires = "ca", requires = "admin_token")]
    url: Option<String>,
    /// The CA certificates that verify the server.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// An administrator's token.
    #[arg(long, env = "ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// Bind new boxes to these terminals, in turn.
    #[arg(long, value_name = "ID")]
    terminal: Vec<TerminalId>,
    /// json or msgpack, for new boxes.
    #[arg(long, default_value = "json")]
    encoding: Encoding,
    /// What new boxes say they run.
    #[arg(long, default_value = "1.0.3")]
    firmware: String,
    /// How many boxes begin to connect each second.
    #[arg(long, default_value_t = 200, value_name = "PER_SECOND")]
    connect_rate: u32,
}

#[derive(Args)]
struct Qr {
    /// The credentials directory of the box that asks.
    #[arg(long)]
    dir: PathBuf,
    /// How much, in rupiah.
    #[arg(long)]
    amount: Rupiah,
    /// Ask by MQTT.
    #[arg(long)]
    mqtt: bool,
}

#[derive(Args)]
struct Pay {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    partner: PartnerArgs,
    /// The payment of a dynamic QR.
    #[arg(
        long,
        value_name = "ID",
        required_unless_present = "static_qr",
        conflicts_with = "static_qr"
    )]
    transaction: Option<TransactionId>,
    /// The payment of a static QR.
    #[arg(long = "static", requires = "nmid")]
    static_qr: bool,
    /// The merchant of a static QR.
    #[arg(long, requires = "static_qr")]
    nmid: Option<String>,
    /// The terminal of a static QR.
    #[arg(long, requires = "static_qr")]
    terminal_label: Option<String>,
    /// How much, in rupiah.
    #[arg(long)]
    amount: Rupiah,
    /// success, failed, expired or reversed.
    #[arg(long, default_value = "success")]
    status: String,
    /// The acquirer's reference, instead of a new one.
    #[arg(long)]
    reference: Option<String>,
    /// The callback's event id, instead of a new one.
    #[arg(long)]
    event_id: Option<String>,
    /// When the customer paid (RFC 3339); default now.
    #[arg(long, value_name = "TIME")]
    paid_at: Option<DateTime<Utc>>,
}

#[derive(Args)]
struct AcquirerArgs {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    partner: PartnerArgs,
    /// A directory whose subdirectories are credentials directories: their boxes ask for codes.
    #[arg(long, value_name = "DIR", required_unless_present = "listen")]
    boxes: Option<PathBuf>,
    /// Be the partner that the platform asks for codes (profile snap), here.
    #[arg(long, value_name = "ADDRESS", requires = "platform_key_file")]
    listen: Option<SocketAddr>,
    /// The platform's RSA key (PEM), with which it asks for tokens.
    #[arg(long, value_name = "FILE", requires = "listen")]
    platform_key_file: Option<PathBuf>,
    /// How long customers take to pay the codes that were asked for here; 0: they do not.
    #[arg(long, default_value = "2s", value_parser = duration::parse, requires = "listen")]
    pay_after: Duration,
    #[command(flatten)]
    faults: Faults,
    /// The time between payments.
    #[arg(long, default_value = "5s", value_parser = duration::parse)]
    every: Duration,
    /// Remember payments here until they are accepted.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Repeats the choice of boxes and amounts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(dispatch(cli));
    // A voice in the middle of a sentence, or a lookup of a name, need not be awaited.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(cli: Cli) -> anyhow::Result<()> {
    let output = Output::new(cli.json);
    let stop = stop_by_signal()?;
    match cli.command {
        Command::Provision(args) => {
            let ca_pem = args.server.ca_pem()?;
            let api = args.server.api()?;
            let activation = Activation {
                serial_number: args.serial,
                activation_code: args.activation_code,
                payload_encoding: args.encoding,
                firmware_version: args.firmware,
                terminal_id: args.terminal,
            };
            until(
                &stop,
                provision::provision(&api, &ca_pem, &args.dir, &activation, output),
            )
            .await?;
            Ok(())
        }
        Command::Run(args) => {
            let voice = if args.speak {
                Voice::find()
            } else {
                Voice::Silent
            };
            let options = args.common.options(voice, Durability::Synced)?;
            stop_after(args.common.end_after, &stop);
            run::run(&args.dir, options, args.screen, output, stop).await
        }
        Command::Fleet(args) => {
            let options = args.common.options(Voice::Silent, Durability::Buffered)?;
            let end_after = args.common.end_after;
            let connect_rate = args.connect_rate;
            let boxes = until(&stop, fleet_boxes(args, output)).await?;
            stop_after(end_after, &stop);
            fleet::run(boxes, options, connect_rate, output, stop).await
        }
        Command::Qr(args) => until(&stop, qr::run(&args.dir, args.amount, args.mqtt, output)).await,
        Command::Pay(args) => {
            let partner = args.partner.partner(args.server.api()?)?;
            let target = match (args.transaction, args.nmid) {
                (Some(transaction_id), _) => Target::Transaction(transaction_id),
                (None, Some(nmid)) => Target::Static {
                    nmid,
                    terminal_label: args.terminal_label,
                },
                (None, None) => anyhow::bail!("give --transaction, or --static and --nmid"),
            };
            let paid_at = args.paid_at.unwrap_or_else(clock::now);
            let mut callback = Callback::new(target, args.amount, &args.status, paid_at);
            if let Some(reference) = args.reference {
                callback.partner_reference = reference;
            }
            if let Some(event_id) = args.event_id {
                callback.event_id = event_id;
            }
            until(&stop, pay::run(&partner, &callback, output)).await
        }
        Command::Acquirer(args) => {
            anyhow::ensure!(!args.every.is_zero(), "--every must not be zero");
            acquirer(args, output, stop).await
        }
    }
}

/// The acquirer that pays boxes' codes, the one that issues codes, or both.
async fn acquirer(
    args: AcquirerArgs,
    output: Output,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let api = args.server.api()?;
    let issues = async {
        let (Some(listen), Some(file)) = (args.listen, &args.platform_key_file) else {
            return Ok(());
        };
        anyhow::ensure!(
            args.partner.profile == ProfileArg::Snap,
            "--listen is for --profile snap"
        );
        let pem = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let bank = Bank {
            partner: args.partner.partner(api.clone())?,
            secret: snap::key(&args.partner.secret()?),
            platform_key: PublicKey::from_pem(&pem)?,
            pay_after: (!args.pay_after.is_zero()).then_some(args.pay_after),
            faults: args.faults,
            seed: args.seed,
            output,
        };
        bank::run(bank, listen, stop.clone()).await
    };
    let pays = async {
        let Some(boxes) = &args.boxes else {
            return Ok(());
        };
        let acquirer = Acquirer {
            partner: args.partner.partner(api.clone())?,
            api: api.clone(),
            boxes: Credentials::load_all(boxes)?,
            every: args.every,
            faults: args.faults,
            seed: args.seed,
            journal: args.journal.clone(),
            output,
        };
        acquirer.run(stop.clone()).await
    };
    let (issued, paid) = futures_util::future::join(issues, pays).await;
    issued.and(paid)
}

async fn fleet_boxes(args: Fleet, output: Output) -> anyhow::Result<Vec<Credentials>> {
    if let Some(dir) = &args.boxes {
        return Credentials::load_all(dir);
    }
    let (Some(dir), Some(count)) = (args.dir, args.count) else {
        anyhow::bail!("give --dir and --count, or --boxes");
    };
    let registrar = match (args.url, args.ca, args.admin_token) {
        (Some(url), Some(ca), Some(admin_token)) => {
            let server = Server { url, ca };
            Some(Registrar {
                api: server.api()?,
                ca_pem: server.ca_pem()?,
                admin_token,
                terminals: args.terminal,
                encoding: args.encoding,
                firmware_version: args.firmware,
            })
        }
        _ => None,
    };
    fleet::prepare(&dir, count, registrar.as_ref(), output).await
}

/// What `work` yields, unless a signal comes first.
async fn until<T>(
    stop: &CancellationToken,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::select! {
        result = work => result,
        () = stop.cancelled() => anyhow::bail!("interrupted"),
    }
}

/// A token that SIGINT and SIGTERM cancel.
fn stop_by_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}

fn stop_after(end_after: Option<Duration>, stop: &CancellationToken) {
    if let Some(duration) = end_after {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            stop.cancel();
        });
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_payment_is_of_a_transaction_or_of_a_static_qr() {
        let base = [
            "device-sim",
            "pay",
            "--url",
            "https://x",
            "--ca",
            "ca.pem",
            "--partner-id",
            "p",
            "--amount",
            "5",
        ];
        let parse = |more: &[&str]| Cli::try_parse_from(base.iter().chain(more)).is_ok();
        let transaction = format!("tx_{}", "0".repeat(32));
        assert!(parse(&["--transaction", &transaction]));
        assert!(parse(&["--static", "--nmid", "ID1"]));
        assert!(parse(&[
            "--static",
            "--nmid",
            "ID1",
            "--terminal-label",
            "A1",
            "--json"
        ]));
        assert!(!parse(&[]));
        assert!(!parse(&["--static"]));
        assert!(!parse(&[
            "--transaction",
            &transaction,
            "--static",
            "--nmid",
            "ID1"
        ]));
    }
}
