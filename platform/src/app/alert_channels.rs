//! The channels of the configuration.

use anyhow::Context as _;
use domain::alert::AlertKind;
use secrecy::SecretString;
use service::alert_channel::{AlertSender, Channel};
use service::clock::Clock;
use wire::ids::MerchantId;

use crate::config::{AlertChannel, AlertChannelKind, Config};
use crate::partner::alert_channel::{SmtpChannel, TelegramChannel, WebhookChannel};

/// Where Telegram's API is.
const TELEGRAM: &str = "https://api.telegram.org";

/// All channels.
///
/// # Errors
/// What cannot be used, with its key.
pub(super) fn all(config: &Config, clock: &Clock) -> anyhow::Result<Vec<Channel>> {
    let channels = config.alert_channels.iter();
    channels
        .map(|(name, channel)| {
            one(name, channel, clock)
                .with_context(|| format!("configuration: alert_channels.{name}"))
        })
        .collect()
}

fn one(name: &str, channel: &AlertChannel, clock: &Clock) -> anyhow::Result<Channel> {
    let quiet_hours = Some(channel.quiet_hours.as_str())
        .filter(|text| !text.is_empty())
        .map(str::parse)
        .transpose()
        .context("quiet_hours")?;
    let merchants = channel.merchants.iter().map(|text| text.parse());
    Ok(Channel {
        name: name.to_owned(),
        kinds: kinds("kinds", &channel.kinds)?,
        merchants: merchants
            .collect::<Result<Vec<MerchantId>, _>>()
            .context("merchants")?,
        quiet_hours,
        urgent: kinds("urgent", &channel.urgent)?,
        sender: sender(channel, clock)?,
    })
}

fn kinds(key: &'static str, texts: &[String]) -> anyhow::Result<Vec<AlertKind>> {
    let kinds = texts.iter().map(|text| text.parse());
    kinds.collect::<Result<_, _>>().context(key)
}

fn sender(channel: &AlertChannel, clock: &Clock) -> anyhow::Result<Box<dyn AlertSender>> {
    let secret = secret(channel)?;
    Ok(match channel.kind {
        AlertChannelKind::Webhook => Box::new(WebhookChannel::new(
            &channel.url,
            secret.as_ref(),
            clock.clone(),
        )?),
        AlertChannelKind::Telegram => {
            let token = secret.context("secret_file: the bot's token is required")?;
            let url = Some(channel.url.as_str()).filter(|url| !url.is_empty());
            let chat_id = channel.chat_id.clone();
            anyhow::ensure!(!chat_id.is_empty(), "chat_id is required");
            Box::new(TelegramChannel::new(
                url.unwrap_or(TELEGRAM),
                &token,
                chat_id,
            )?)
        }
        AlertChannelKind::Smtp => {
            let login = match (channel.user.as_str(), secret) {
                ("", None) => None,
                ("", Some(_)) => anyhow::bail!("secret_file is a password: user is required"),
                (_, None) => anyhow::bail!("user has a password: secret_file is required"),
                (user, Some(password)) => Some((user.to_owned(), password)),
            };
            let smtp = SmtpChannel::new(&channel.url, login, &channel.from, &channel.to)?;
            Box::new(smtp)
        }
    })
}

fn secret(channel: &AlertChannel) -> anyhow::Result<Option<SecretString>> {
    let file = &channel.secret_file;
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("secret_file: {}", file.display()))?;
    Ok(Some(SecretString::from(text.trim_end().to_owned())))
}
