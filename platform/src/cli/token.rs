//! `platform token`: creates the first token of an installation, before a user can log in; lists tokens; revokes one.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use domain::role::Role;
use service::people::token;
use service::{Actor, Context, Noun};
use store::people::token::{Filter, TokenView};
use store::{Page, Scope};
use wire::{MerchantId, TokenId};

use super::{ConfigArgs, duration, sentence};

/// How many tokens are read at a time.
const PAGE: i64 = 200;

#[derive(Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token; it is printed once and cannot be read again.
    Create(Create),
    /// Tokens of people and programs that are good now, newest first; never their secrets.
    List(List),
    /// Revoke a token, from now on.
    Revoke(Revoke),
}

#[derive(Args)]
pub(super) struct List {
    /// Also those that have expired or were revoked.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Args)]
pub(super) struct Revoke {
    /// Which one: `tok_…`, as the list of tokens and the audit log name it.
    #[arg(value_name = "ID")]
    id: TokenId,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Args)]
pub(super) struct Create {
    /// What the token may do.
    #[arg(long, value_parser = role_parser())]
    role: Role,
    /// Whose data it may see; for merchant roles, and only for them.
    #[arg(long, value_name = "ID")]
    merchant: Option<MerchantId>,
    /// What it is for, to recognise it in lists and in the audit log.
    #[arg(long)]
    name: String,
    /// How long it is good.
    #[arg(long, default_value = "90d", value_parser = duration::parse)]
    expires: Duration,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Reads a role by its name, and names them all when it is none.
pub(super) fn role_parser() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.iter().map(|role| role.as_str()))
        .try_map(|name| name.parse::<Role>())
}

pub(super) async fn run(command: &TokenCommand) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Create(args) => create_one(args).await,
        TokenCommand::List(args) => list_all(args).await,
        TokenCommand::Revoke(args) => revoke_one(args).await,
    }
}

async fn list_all(args: &List) -> anyhow::Result<ExitCode> {
    let (tokens, now) = args
        .config
        .offline(async |context| {
            let now = context.clock().now();
            anyhow::Ok((list(context).await?, now))
        })
        .await?;
    for token in tokens {
        let is_good = token.revoked_at.is_none() && token.expires_at > now;
        if args.all || is_good {
            println!("{}", line(&token));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All tokens, page by page.
async fn list(context: &Context) -> anyhow::Result<Vec<TokenView>> {
    let mut tokens: Vec<TokenView> = Vec::new();
    loop {
        let page = Page {
            limit: PAGE,
            after: tokens
                .last()
                .map(|last| (last.created_at, last.id.as_uuid())),
        };
        let next = token::list(context, Scope::All, &Filter::default(), page)
            .await
            .map_err(sentence)?;
        if next.is_empty() {
            return Ok(tokens);
        }
        tokens.extend(next);
    }
}

fn line(token: &TokenView) -> String {
    let holder = token
        .user_id
        .map_or_else(|| "program".to_owned(), |user| user.to_string());
    let of = token
        .merchant_id
        .map_or_else(String::new, |id| format!(" of {id}"));
    let end = match token.revoked_at {
        Some(at) => format!("revoked {}", wire::time::format(at)),
        None => format!("until {}", wire::time::format(token.expires_at)),
    };
    format!(
        "{}  {}  {}{of}  {holder}  {end}",
        token.id, token.name, token.role
    )
}

async fn revoke_one(args: &Revoke) -> anyhow::Result<ExitCode> {
    let revoked = args
        .config
        .offline(async |context| revoke(context, args.id).await)
        .await?;
    eprintln!(
        "{} ({}, role {}) is revoked",
        revoked.id, revoked.name, revoked.role
    );
    Ok(ExitCode::SUCCESS)
}

async fn revoke(context: &Context, id: TokenId) -> anyhow::Result<TokenView> {
    let mut unit = context.begin(Actor::system()).await?;
    let revoked = token::revoke(&mut unit, id).await.map_err(sentence)?;
    unit.commit().await?;
    Ok(revoked)
}

async fn create_one(args: &Create) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        args.role.is_of_merchant() == args.merchant.is_some(),
        "--merchant goes with the roles merchant_owner and merchant_cashier, and only with them"
    );
    anyhow::ensure!(!args.name.trim().is_empty(), "--name must not be empty");
    anyhow::ensure!(!args.expires.is_zero(), "--expires must not be zero");
    let created = args
        .config
        .offline(async |context| create(context, args).await)
        .await?;
    eprintln!(
        "{} with the role {}, until {}; this is the only time that it is shown:",
        created.id,
        args.role.as_str(),
        wire::time::format(created.expires_at)
    );
    println!("{}", created.token);
    Ok(ExitCode::SUCCESS)
}

async fn create(context: &Context, args: &Create) -> anyhow::Result<token::NewToken> {
    let lifetime = TimeDelta::from_std(args.expires).context("--expires is too long")?;
    let mut unit = context.begin(Actor::system()).await?;
    let created = token::create(&mut unit, args.role, args.merchant, &args.name, lifetime)
        .await
        .map_err(|error| match error {
            service::Error::NotFound(Noun::Merchant) => {
                anyhow::anyhow!("--merchant: there is no such merchant")
            }
            error => error.into(),
        })?;
    unit.commit().await?;
    Ok(created)
}
