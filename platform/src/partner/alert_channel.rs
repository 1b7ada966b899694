//! How people are told of alerts: mail by SMTP, a Telegram bot, or a POST to a program of theirs.

use std::time::Duration;

use anyhow::{Context as _, bail};
use domain::alert_group::{Phase, Text};
use domain::webhook::{ID_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER, header};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use service::alert_channel::{AlertSender, NotSaid};
use service::clock::Clock;
use uuid::Uuid;

/// For a whole message.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Telegram takes no longer texts; it counts UTF-16, so this leaves room.
const TELEGRAM_LEN_MAX: usize = 2_000;

/// A program that is POSTed `{"phase", "title", "body"}`, signed by Standard Webhooks if there is a secret.
pub struct WebhookChannel {
    http: reqwest::Client,
    url: Url,
    secret: Option<Secret>,
    clock: Clock,
}

/// A chat of a Telegram bot.
pub struct TelegramChannel {
    http: reqwest::Client,
    url: Url,
    chat_id: String,
}

/// Mail.
pub struct SmtpChannel {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

fn client() -> anyhow::Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(TIMEOUT);
    Ok(client.build()?)
}

impl WebhookChannel {
    /// A channel to this URL.
    ///
    /// # Errors
    /// A URL that is none; a secret that is not of the form whsec_BASE64.
    pub fn new(url: &str, secret: Option<&SecretString>, clock: Clock) -> anyhow::Result<Self> {
        let secret = secret
            .map(|text| {
                Secret::from_text(text.expose_secret())
                    .context("secret_file: expected whsec_ and base64")
            })
            .transpose()?;
        Ok(Self {
            http: client()?,
            url: url.parse().context("url")?,
            secret,
            clock,
        })
    }
}

impl AlertSender for WebhookChannel {
    fn say<'a>(
        &'a self,
        id: Uuid,
        phase: Phase,
        text: &'a Text,
    ) -> BoxFuture<'a, Result<(), NotSaid>> {
        async move {
            let body =
                json!({ "phase": phase, "title": text.title, "body": text.body }).to_string();
            let mut request = self
                .http
                .post(self.url.clone())
                .header("content-type", "application/json");
            if let Some(secret) = &self.secret {
                let id = format!("msg_{}", id.simple());
                let secrets = std::slice::from_ref(secret);
                let (timestamp, signature) =
                    header(secrets, &id, self.clock.now(), body.as_bytes());
                request = request
                    .header(ID_HEADER, id)
                    .header(TIMESTAMP_HEADER, timestamp)
                    .header(SIGNATURE_HEADER, signature);
            }
            answered(request.body(body).send().await)
        }
        .boxed()
    }
}

impl TelegramChannel {
    /// A channel to this chat. `base_url` is that of Telegram's API, or of a server of one's own.
    ///
    /// # Errors
    /// A URL that is none.
    pub fn new(base_url: &str, token: &SecretString, chat_id: String) -> anyhow::Result<Self> {
        let base = base_url.trim_end_matches('/');
        let url = format!("{base}/bot{}/sendMessage", token.expose_secret());
        Ok(Self {
            http: client()?,
            // Its text has the token, and must not stand in an error.
            url: url.parse().map_err(|_| anyhow::anyhow!("url: not a URL"))?,
            chat_id,
        })
    }
}

impl AlertSender for TelegramChannel {
    fn say<'a>(&'a self, _: Uuid, _: Phase, text: &'a Text) -> BoxFuture<'a, Result<(), NotSaid>> {
        async move {
            let whole = format!("{}\n\n{}", text.title, text.body);
            let short: String = whole.chars().take(TELEGRAM_LEN_MAX).collect();
            let body = json!({ "chat_id": self.chat_id, "text": short });
            answered(self.http.post(self.url.clone()).json(&body).send().await)
        }
        .boxed()
    }
}

/// What an HTTP answer means. The URL may have a token in it, and is left out.
fn answered(answer: reqwest::Result<reqwest::Response>) -> Result<(), NotSaid> {
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(NotSaid(format!("it answered {}", answer.status().as_u16()))),
        Err(error) => Err(NotSaid(error.without_url().to_string())),
    }
}

impl SmtpChannel {
    /// A channel over the server of this URL: `smtps://HOST` for TLS from the beginning, `smtp://HOST?tls=required` for
    /// STARTTLS, `smtp://HOST` for none.
    ///
    /// # Errors
    /// A URL or an address that is none; nobody to send to.
    pub fn new(
        url: &str,
        login: Option<(String, SecretString)>,
        from: &str,
        to: &[String],
    ) -> anyhow::Result<Self> {
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .context("url: expected smtp:// or smtps://")?
            .timeout(Some(TIMEOUT));
        if let Some((user, password)) = login {
            let password = password.expose_secret().to_owned();
            transport = transport.credentials(Credentials::new(user, password));
        }
        if to.is_empty() {
            bail!("to: at least one address");
        }
        let address = |text: &String| text.parse().with_context(|| format!("to: {text}"));
        Ok(Self {
            transport: transport.build(),
            from: from.parse().with_context(|| format!("from: {from}"))?,
            to: to.iter().map(address).collect::<anyhow::Result<_>>()?,
        })
    }
}

impl AlertSender for SmtpChannel {
    fn say<'a>(&'a self, _: Uuid, _: Phase, text: &'a Text) -> BoxFuture<'a, Result<(), NotSaid>> {
        async move {
            let mut mail = Message::builder()
                .from(self.from.clone())
                .subject(format!("[soundbox] {}", text.title));
            for one in &self.to {
                mail = mail.to(one.clone());
            }
            let mail = mail
                .body(text.body.clone())
                .map_err(|error| NotSaid(error.to_string()))?;
            match self.transport.send(mail).await {
                Ok(_) => Ok(()),
                Err(error) => Err(NotSaid(error.to_string())),
            }
        }
        .boxed()
    }
}
