//! `platform user`: creates the first users of an installation, lists users, and resets passwords.
//!
//! A password is never an argument: every user of the machine can read those. Access to the database counts as two people.

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use domain::role::Role;
use service::people::user::{self, Made, NewUser, SetUp};
use service::{Actor, Context};
use store::people::user::{Filter, User};
use store::{Page, Scope};
use wire::MerchantId;

use super::{ConfigArgs, sentence, token};

/// The most that is read from standard input, bytes.
const INPUT_MAX: u64 = 4096;
/// How many users are read at a time.
const PAGE: i64 = 200;

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Make a user; a password comes from standard input when something is piped into it, and is made and printed
    /// once otherwise.
    Create(Create),
    /// Who there is, newest first.
    List(List),
    /// Take a user's password away, end its sessions, and print a one-time code for setting another.
    Reset(Reset),
}

#[derive(Args)]
pub(super) struct List {
    /// Only users with this role.
    #[arg(long, value_parser = token::role_parser())]
    role: Option<Role>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Args)]
pub(super) struct Reset {
    /// What the user logs in with.
    #[arg(value_name = "EMAIL")]
    email: String,
    #[command(flatten)]
    config: ConfigArgs,
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
    match command {
        UserCommand::Create(args) => create_one(args).await,
        UserCommand::List(args) => list_all(args).await,
        UserCommand::Reset(args) => reset_one(args).await,
    }
}

async fn create_one(args: &Create) -> anyhow::Result<ExitCode> {
    let new = NewUser {
        email: args.email.clone(),
        role: args.role.to_string(),
        merchant_id: args.merchant,
        password: piped_password()?,
    };
    let made = args
        .config
        .offline(async |context| create(context, new).await)
        .await?;
    eprintln!(
        "{} ({}) with the role {}",
        made.user.email, made.user.id, made.user.role
    );
    if let Some(password) = made.password {
        eprintln!(
            "this is the only time that its password is shown; POST /admin/password changes it:"
        );
        println!("{password}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn list_all(args: &List) -> anyhow::Result<ExitCode> {
    let users = args
        .config
        .offline(async |context| list(context, args.role).await)
        .await?;
    for user in users {
        let of = user
            .merchant_id
            .map_or_else(String::new, |id| format!(" of {id}"));
        println!(
            "{}  {}  {}{of}  {}  since {}",
            user.id,
            user.email,
            user.role,
            user.status,
            wire::time::format(user.access_changed_at)
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// All users, page by page.
async fn list(context: &Context, role: Option<Role>) -> anyhow::Result<Vec<User>> {
    let filter = Filter {
        role,
        ..Filter::default()
    };
    let mut users: Vec<User> = Vec::new();
    loop {
        let page = Page {
            limit: PAGE,
            after: users
                .last()
                .map(|last| (last.created_at, last.id.as_uuid())),
        };
        let next = user::list(context, Scope::All, &filter, page)
            .await
            .map_err(sentence)?;
        if next.is_empty() {
            return Ok(users);
        }
        users.extend(next);
    }
}

async fn reset_one(args: &Reset) -> anyhow::Result<ExitCode> {
    let reset = args
        .config
        .offline(async |context| reset(context, &args.email).await)
        .await?;
    eprintln!(
        "{} ({}) sets a password with this code by POST /admin/password/setup, until {}; it is shown once:",
        reset.user.email,
        reset.user.id,
        wire::time::format(reset.setup_expires_at)
    );
    println!("{}", reset.setup_code);
    Ok(ExitCode::SUCCESS)
}

async fn reset(context: &Context, email: &str) -> anyhow::Result<SetUp> {
    let filter = Filter {
        email: Some(email.trim().to_ascii_lowercase()),
        ..Filter::default()
    };
    let one = Page {
        limit: 1,
        after: None,
    };
    let found = user::list(context, Scope::All, &filter, one)
        .await
        .map_err(sentence)?;
    let found = found
        .first()
        .with_context(|| format!("there is no user with the email {email}"))?;
    let mut unit = context.begin(Actor::system()).await?;
    let reset = user::reset(&mut unit, found.id, None)
        .await
        .map_err(sentence)?;
    unit.commit().await?;
    Ok(reset)
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
