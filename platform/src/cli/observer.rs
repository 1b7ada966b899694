//! `platform observer`: the services that watch the fleet, and the end of any.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use service::fleet::observer;
use service::{Actor, Context};
use store::fleet::observer::Observer;

use super::{ConfigArgs, sentence};

#[derive(Subcommand)]
pub(super) enum ObserverCommand {
    /// Those that were seen, and the certificates that are revoked.
    List(ConfigArgs),
    /// Revoke a service's certificate: its connections end within a second, and it does not come back.
    Revoke(Revoke),
}

#[derive(Args)]
pub(super) struct Revoke {
    /// The certificate's serial number in hex, as `certs issue` and `certs show` print it.
    #[arg(value_name = "SERIAL")]
    certificate_serial: String,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) async fn run(command: &ObserverCommand) -> anyhow::Result<ExitCode> {
    let done = match command {
        ObserverCommand::List(args) => {
            args.offline(async |context| observer::list(context).await.map_err(sentence))
                .await?
        }
        ObserverCommand::Revoke(args) => {
            args.config
                .offline(async |context| revoke(context, &args.certificate_serial).await)
                .await?
        }
    };
    for observer in done {
        println!("{}", line(&observer));
    }
    Ok(ExitCode::SUCCESS)
}

async fn revoke(context: &Context, certificate_serial: &str) -> anyhow::Result<Vec<Observer>> {
    let mut unit = context.begin(Actor::system()).await?;
    let revoked = observer::revoke(&mut unit, certificate_serial)
        .await
        .map_err(sentence)?;
    unit.commit().await?;
    Ok(vec![revoked])
}

fn line(observer: &Observer) -> String {
    let time = |at: Option<_>| at.map_or_else(|| "never".to_owned(), wire::time::format);
    let state = observer.revoked_at.map_or_else(String::new, |at| {
        format!(", revoked {}", wire::time::format(at))
    });
    format!(
        "{}  {}  last seen {}{state}",
        observer.certificate_serial,
        observer.name.as_deref().unwrap_or("(never seen)"),
        time(observer.last_seen_at)
    )
}
