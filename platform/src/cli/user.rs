//! `platform user create`: the first user of an installation, before anybody can log in.

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use domain::role::Role;
use platform::app;
use platform::service::people::user::{self, Made, NewUser};
use platform::service::{Actor, Context};
use wire::MerchantId;

use super::{ConfigArgs, logging, sentence, token};

/// The most that is read from standard input, bytes.
const INPUT_MAX: u64 = 4096;

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Make a user; a password comes from standard input when something is piped into it, and is made and printed
    /// once otherwise.
    Create(Create),
}

#[derive(Args)]
pub(super) struct Create {
    /// What the user logs in with.
    #[arg(long)]
    email: String,
    /// What the user may do.
    #[arg(long, value_parser = token::role_parser())]
    role: Role,
    /// Whose data it may see; for merchant roles, and only for them.
    #[arg(long, value_name = "ID")]
    merchant: Option<MerchantId>,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) async fn run(command: &UserCommand) -> anyhow::Result<ExitCode> {
    let UserCommand::Create(args) = command;
    let new = NewUser {
        email: args.email.clone(),
        role: args.role.to_string(),
        merchant_id: args.merchant,
        password: piped_password()?,
    };
    let config = args.config.load()?;
    logging::init(&config.log)?;
    let (server, context) = app::offline(&config).await?;
    let made = create(&context, new).await;
    context.close().await;
    if let Some(server) = server {
        server.stop().await?;
    }
    let made = made?;
    eprintln!(
        "{} ({}) with the role {}",
        made.user.email, made.user.id, made.user.role
    );
    if let Some(password) = made.password {
        eprintln!("this is the only time that its password is shown:");
        println!("{password}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(context: &Context, new: NewUser) -> anyhow::Result<Made> {
    let mut unit = context.begin(Actor::system()).await?;
    let made = user::create(&mut unit, new).await.map_err(sentence)?;
    unit.commit().await?;
    Ok(made)
}

/// The first line of what is piped in: a password on the command line would be seen by everybody on the machine.
fn piped_password() -> anyhow::Result<Option<String>> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return Ok(None);
    }
    let mut text = String::new();
    input
        .lock()
        .take(INPUT_MAX)
        .read_to_string(&mut text)
        .context("cannot read the password from standard input")?;
    let line = text.lines().next().unwrap_or_default();
    Ok((!line.is_empty()).then(|| line.to_owned()))
}
