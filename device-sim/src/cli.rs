//! The command line.

mod args;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use axum::http::StatusCode;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::acquirer::Acquirer;
use crate::api_faults::ApiFaults;
use crate::clock;
use crate::credentials::Credentials;
use crate::fleet;
use crate::fleet::fleet_box::FleetBox;
use crate::fleet::registrar::{self, Registrar, VendorKind};
use crate::issuer_orders::Orders;
use crate::link::Transport;
use crate::output::Output;
use crate::partner::issuer_api::IssuerApi;
use crate::partner::snap::{self, PublicKey};
use crate::partner::{Callback, Partner, Target};
use crate::pay;
use crate::payout_bank::PayoutBank;
use crate::provision::{self, Activation};
use crate::qr;
use crate::qr_issuer::{self, QrIssuer};
use crate::run;
use crate::scenario::plan::Plan;
use crate::scenario::{self, Environment};
use crate::session::Options;
use crate::soundbox::journal::Durability;
use crate::trigger;
use crate::vendor::firmware::Model;
use crate::vendor::{self, provision::NewVendorBox};
use crate::voice::Voice;
use crate::webhook_listener::WebhookListener;
use args::access::Server;

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
    /// Provision a box: key, certificate, credentials directory.
    Provision(args::Provision),
    /// Run one box by MQTT.
    Run(args::Run),
    /// Run one box by HTTPS, for networks that block MQTT.
    Http(args::Run),
    /// Run many boxes.
    Fleet(args::Fleet),
    /// Run a scenario of boxes, payments and faults; fails when an expectation is not met.
    Scenario(args::Scenario),
    /// Run a fleet with faults: lost connections, late and duplicate acknowledgements, wrong clocks, reboot storms.
    Chaos(args::Chaos),
    /// Request a dynamic QR as a box, and draw it.
    Qr(args::Qr),
    /// Send one payment callback, as the acquirer.
    Pay(args::Pay),
    /// Run a payout partner that accepts payouts and calls back with their results.
    Bank(args::BankArgs),
    /// Receive webhooks, verify them and print them.
    Listen(args::Listen),
    /// Make one event happen that webhook endpoints are told of.
    Trigger(args::Trigger),
    /// Pay repeatedly: boxes request QRs, customers pay them.
    Acquirer(args::AcquirerArgs),
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    execute(Cli::parse())
}

/// Runs the program with these arguments, of which the first is its name.
pub fn run_with<T: Into<OsString> + Clone>(
    args: impl IntoIterator<Item = T>,
) -> Result<ExitCode, clap::Error> {
    Ok(execute(Cli::try_parse_from(args)?))
}

fn execute(cli: Cli) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    // Fails harmlessly when this process has a subscriber already.
    let _first = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(dispatch(cli));
    // Blocking tasks, such as a name lookup, are not awaited.
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
            if let Some(profile) = args.profile {
                let token = args.admin.token()?;
                let new = NewVendorBox {
                    profile,
                    serial_number: args.serial,
                    imei: args.imei,
                    product_key: args.product_key,
                    terminal_id: args.terminal,
                    plain: args.plain,
                    asks: false,
                };
                let registering =
                    vendor::provision::provision(&api, &token, &ca_pem, &args.dir, &new, output);
                until(&stop, registering).await?;
                return Ok(());
            }
            let activation = Activation {
                serial_number: args.serial,
                activation_code: args.activation_code.context("give --activation-code")?,
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
        Command::Run(args) => run_one(args, Transport::Mqtt, output, stop).await,
        Command::Http(args) => run_one(args, Transport::Http, output, stop).await,
        Command::Fleet(args) => {
            let transport = if args.http {
                Transport::Http
            } else {
                Transport::Mqtt
            };
            let options = args
                .common
                .options(transport, Voice::Silent, Durability::Buffered)?;
            let end_after = args.common.end_after;
            let connect_rate = args.connect_rate;
            let boxes = until(&stop, fleet_boxes(args, transport, output)).await?;
            stop_after(end_after, &stop);
            fleet::run(boxes, options, connect_rate, output, stop).await
        }
        Command::Scenario(args) => {
            let text = std::fs::read_to_string(&args.file)
                .with_context(|| args.file.display().to_string())?;
            let mut plan = Plan::read(&text).with_context(|| args.file.display().to_string())?;
            plan.seed = args.seed.unwrap_or(plan.seed);
            run_scenario(&plan, args.environment.environment()?, output, stop).await
        }
        Command::Chaos(args) => {
            let plan = args.plan();
            plan.check()?;
            run_scenario(&plan, args.environment.environment()?, output, stop).await
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
        Command::Bank(args) => {
            let (id, secret) = (args.partner.partner_id.clone(), args.partner.secret()?);
            let bank = PayoutBank {
                partner: Partner::new(args.server.api()?, id.clone(), &secret),
                id,
                secret,
                listen: args.listen,
                after: args.after,
                fail_percent: args.fail,
                seed: args.seed,
                journal: args.journal,
                output,
            };
            bank.run(stop).await
        }
        Command::Listen(args) => {
            let listener = WebhookListener {
                secret: args.secret()?,
                listen: args.listen,
                answer: StatusCode::from_u16(args.answer).context("--answer is an HTTP status")?,
                output,
            };
            listener.run(stop).await
        }
        Command::Trigger(args) => {
            let environment = args.environment.environment()?;
            let happens = trigger::run(args.event, args.endpoint, args.amount, environment, output);
            until(&stop, happens).await
        }
        Command::Acquirer(args) => {
            anyhow::ensure!(!args.every.is_zero(), "--every must not be zero");
            acquirer(args, output, stop).await
        }
    }
}

/// The acquirer that pays boxes' codes, the QR issuer, or both.
async fn acquirer(
    args: args::AcquirerArgs,
    output: Output,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let api = args.server.api()?;
    let issues = async {
        let (Some(listen), Some(file)) = (args.listen, &args.platform_key_file) else {
            return Ok(());
        };
        let pem = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let partner = args.partner.partner(api.clone())?;
        let issuer = QrIssuer {
            api: IssuerApi::of(partner.dialect()).context("--listen")?,
            partner,
            secret: snap::key(&args.partner.secret()?),
            platform_key: PublicKey::from_pem(&pem)?,
            pay_after: (!args.pay_after.is_zero()).then_some(args.pay_after),
            faults: args.faults,
            api_faults: ApiFaults::new(args.seed, args.api_faults),
            orders: Orders::default(),
            seed: args.seed,
            output,
        };
        qr_issuer::run(issuer, listen, stop.clone()).await
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

/// Runs a scenario; fails when an expectation is not met.
async fn run_scenario(
    plan: &Plan,
    environment: Environment,
    output: Output,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let report = scenario::run(plan, environment, Options::default(), output, stop).await?;
    anyhow::ensure!(
        report.passed,
        "an expectation of the scenario is not met; seed {} repeats it",
        report.seed
    );
    Ok(())
}

async fn run_one(
    args: args::Run,
    transport: Transport,
    output: Output,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let voice = if args.speak {
        Voice::find()
    } else {
        Voice::Silent
    };
    let mut options = args.common.options(transport, voice, Durability::Synced)?;
    options.press = args.press;
    stop_after(args.common.end_after, &stop);
    if let Some((server, asking)) = args.dev_config.asking()
        && !FleetBox::exist(&args.dir)
    {
        anyhow::ensure!(
            args.profile == Some(Model::Qf100),
            "only a qf100 asks for its settings"
        );
        let (api, ca_pem) = (server.api()?, server.ca_pem()?);
        let asked = vendor::dev_config::ask(&api, &ca_pem, &args.dir, &asking);
        until(&stop, asked).await?;
    }
    let one = FleetBox::load(&args.dir, transport)?;
    if let Some(profile) = args.profile {
        let is_it = matches!(&one, FleetBox::Vendor(known) if known.device.profile == profile);
        anyhow::ensure!(is_it, "{} holds another box", args.dir.display());
    }
    run::run(one, options, args.screen, output, stop).await
}

async fn fleet_boxes(
    args: args::Fleet,
    transport: Transport,
    output: Output,
) -> anyhow::Result<Vec<FleetBox>> {
    if let Some(dir) = &args.boxes {
        return FleetBox::load_all(dir, transport);
    }
    let (Some(dir), Some(count)) = (args.dir, args.count) else {
        anyhow::bail!("give --dir and --count, or --boxes");
    };
    let http = if args.http { count } else { 0 };
    let registrar = match (args.url, args.ca) {
        (Some(url), Some(ca)) => {
            let admin_token = args.admin.token()?;
            let server = Server { url, ca };
            Some(Registrar {
                api: server.api()?,
                ca_pem: server.ca_pem()?,
                admin_token,
                terminals: args.terminal,
                http,
                encoding: args.encoding,
                firmware_version: args.firmware,
                vendor: args.profile.map(|profile| VendorKind {
                    profile,
                    plain: args.plain,
                    asks: args.dev_config,
                }),
            })
        }
        _ => None,
    };
    registrar::prepare(&dir, count, registrar.as_ref(), output).await
}

/// The result of `work`, or an error when a signal arrives first.
async fn until<T>(
    stop: &CancellationToken,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::select! {
        result = work => result,
        () = stop.cancelled() => anyhow::bail!("interrupted"),
    }
}

/// A token that is cancelled by SIGINT and SIGTERM.
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
