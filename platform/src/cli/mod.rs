//! The command line. One file for each command; an error is one sentence on standard error.

mod audit;
mod callback;
mod csv_file;
mod demo;
mod device;
mod duration;
mod ledger;
mod logging;
mod migrate;
mod observer;
mod openapi;
mod partner;
mod serve;
mod signals;
mod token;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use platform::app;
use platform::config::Config;
use service::Context;

/// The QRIS soundbox platform.
#[derive(Parser)]
#[command(name = "platform", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the platform until SIGTERM or Ctrl-C.
    Serve(ConfigArgs),
    /// Bring the database to the version of this program.
    Migrate(ConfigArgs),
    /// Boxes.
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// Acquirers.
    #[command(subcommand)]
    Partner(partner::PartnerCommand),
    /// API tokens.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// The ledger.
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// The audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Messages of acquirers.
    #[command(subcommand)]
    Callback(callback::CallbackCommand),
    /// People who log in.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Services that watch the fleet over MQTT.
    #[command(subcommand)]
    Observer(observer::ObserverCommand),
    /// Write the OpenAPI document that the platform serves.
    Openapi(openapi::OpenapiArgs),
    /// Run the platform with demo merchants, simulated boxes and an acquirer that pays them.
    Demo(demo::DemoArgs),
}

#[derive(Args)]
struct ConfigArgs {
    /// A configuration file; config/default.toml explains every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    fn load(&self) -> anyhow::Result<Config> {
        Config::load(self.config.as_deref())
    }

    /// Runs `work` on the database without a server, and closes the database whatever comes of it.
    async fn offline<T>(
        &self,
        work: impl AsyncFnOnce(&Context) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let config = self.load()?;
        logging::init(&config.log)?;
        let (server, context) = app::offline(&config).await?;
        Self::finish(server, context, work).await
    }

    /// The same with the acquirers of the configuration, and their secrets.
    async fn offline_with_partners<T>(
        &self,
        work: impl AsyncFnOnce(&Context) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let config = self.load()?;
        logging::init(&config.log)?;
        let (server, context) = app::offline_with_partners(&config).await?;
        Self::finish(server, context, work).await
    }

    async fn finish<T>(
        server: Option<embedded_postgres::Server>,
        context: Context,
        work: impl AsyncFnOnce(&Context) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let outcome = work(&context).await;
        context.close().await;
        if let Some(server) = server {
            server.stop().await?;
        }
        outcome
    }
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = tokio::runtime::Runtime::new()
        .context("cannot start the asynchronous runtime")
        // On the main thread, which runs as long as the process: child processes are tied to the thread that starts them.
        .and_then(|runtime| runtime.block_on(dispatch(cli)));
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", causes(&error));
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => serve::run(&args.load()?).await,
        Command::Migrate(args) => migrate::run(&args.load()?).await,
        Command::Device(command) => device::run(&command).await,
        Command::Partner(command) => partner::run(&command).await,
        Command::Token(command) => token::run(&command).await,
        Command::Ledger(command) => ledger::run(&command).await,
        Command::Audit(command) => audit::run(&command).await,
        Command::Callback(command) => callback::run(&command).await,
        Command::User(command) => user::run(&command).await,
        Command::Observer(command) => observer::run(&command).await,
        Command::Openapi(args) => openapi::run(&args),
        Command::Demo(args) => demo::run(args).await,
    }
}

/// An error with its causes, each once; a database's without positions in statements.
fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let (words, is_last) = match cause.downcast_ref::<sqlx::Error>() {
            Some(error) => (app::problem(error), true),
            None => (cause.to_string(), false),
        };
        if text.is_empty() {
            text = words;
        } else if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        if is_last {
            break;
        }
    }
    text
}

/// What a use case refused, in a sentence that names each wrong field.
fn sentence(error: service::Error) -> anyhow::Error {
    match error {
        service::Error::Validation(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|wrong| format!("{}: {}", wrong.field, wrong.message))
                .collect();
            anyhow::anyhow!("{}", fields.join("; "))
        }
        error => error.into(),
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
    fn what_went_wrong_is_said_once() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let twice = anyhow::Error::new(io).context("no such file");
        assert_eq!(causes(&twice), "no such file");
        let database = anyhow::Error::new(sqlx::Error::PoolTimedOut).context("cannot do it");
        assert_eq!(
            causes(&database),
            "cannot do it: no connection became free in time"
        );
    }

    #[test]
    fn a_wrong_flag_is_named() {
        let refused = |line: &[&str]| {
            Cli::try_parse_from(line)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        let unit = refused(&["platform", "demo", "--pay-every", "5 seconds"]);
        assert!(unit.contains("--pay-every"), "{unit}");
        let role = refused(&[
            "platform", "token", "create", "--role", "boss", "--name", "x",
        ]);
        assert!(
            role.contains("--role") && role.contains("merchant_owner"),
            "{role}"
        );
    }
}
