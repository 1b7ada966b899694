//! How a subcommand reaches a server, and who it is there.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::api::Api;
use crate::partner::snap::Snap;
use crate::partner::{Partner, dialect};

#[derive(Args)]
pub(in crate::cli) struct Server {
    /// The HTTPS API, for example https://localhost:8443.
    #[arg(long)]
    pub(in crate::cli) url: String,
    /// The CA certificates that verify the server; no others are trusted.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) ca: PathBuf,
}

impl Server {
    pub(in crate::cli) fn ca_pem(&self) -> anyhow::Result<String> {
        std::fs::read_to_string(&self.ca).with_context(|| self.ca.display().to_string())
    }

    pub(in crate::cli) fn api(&self) -> anyhow::Result<Api> {
        Api::new(&self.url, &self.ca_pem()?)
    }
}

#[derive(Args)]
pub(in crate::cli) struct PartnerArgs {
    /// The acquirer's partner id.
    #[arg(long)]
    pub(in crate::cli) partner_id: String,
    /// The shared secret; pass it by file or environment, because other users can see command lines.
    #[arg(long, env = "PARTNER_SECRET", hide_env_values = true)]
    pub(in crate::cli) partner_secret: Option<String>,
    /// A file with the shared secret.
    #[arg(long, value_name = "FILE", conflicts_with = "partner_secret")]
    pub(in crate::cli) partner_secret_file: Option<PathBuf>,
    /// The acquirer's signature profile.
    #[arg(long, value_enum, default_value_t = ProfileArg::Hmac)]
    pub(in crate::cli) profile: ProfileArg,
    /// Which acquirer it is, by the name of the server's dialect (bri, manjo, dana, …), instead of a profile.
    #[arg(long, conflicts_with = "profile", value_name = "NAME")]
    pub(in crate::cli) dialect: Option<String>,
    /// The acquirer's RSA key (PKCS#8 PEM): for token requests, and for dialects that sign with one.
    #[arg(long, value_name = "FILE", required_if_eq("profile", "snap"))]
    pub(in crate::cli) partner_key_file: Option<PathBuf>,
}

/// A signature profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum ProfileArg {
    /// HMAC-SHA256 over time and body.
    Hmac,
    /// SNAP BI.
    Snap,
}

impl PartnerArgs {
    pub(in crate::cli) fn partner(&self, api: Api) -> anyhow::Result<Partner> {
        let secret = self.secret()?;
        let id = self.partner_id.clone();
        if let Some(name) = self
            .dialect
            .as_deref()
            .filter(|name| !matches!(*name, "hmac" | "snap"))
        {
            let read = |file: &PathBuf| {
                std::fs::read_to_string(file).with_context(|| file.display().to_string())
            };
            let pem = self.partner_key_file.as_ref().map(read).transpose()?;
            let acquirer = dialect::Acquirer::new(name, &secret, pem.as_deref())?;
            return Ok(Partner::speaking(api, id, acquirer));
        }
        let Some(file) = self.partner_key_file.as_ref().filter(|_| {
            self.profile == ProfileArg::Snap || self.dialect.as_deref() == Some("snap")
        }) else {
            return Ok(Partner::new(api, id, &secret));
        };
        let pem = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Ok(Partner::snap(api, id, Snap::new(&secret, &pem)?))
    }

    pub(in crate::cli) fn secret(&self) -> anyhow::Result<String> {
        secret(
            self.partner_secret.as_deref(),
            self.partner_secret_file.as_deref(),
            "partner-secret",
        )
    }
}

#[derive(Args)]
pub(in crate::cli) struct AdminArgs {
    /// An administrator's token; pass it by file or environment, because other users can see command lines.
    #[arg(long, env = "ADMIN_TOKEN", hide_env_values = true)]
    pub(in crate::cli) admin_token: Option<String>,
    /// A file with an administrator's token.
    #[arg(long, value_name = "FILE", conflicts_with = "admin_token")]
    pub(in crate::cli) admin_token_file: Option<PathBuf>,
}

impl AdminArgs {
    pub(in crate::cli) fn token(self) -> anyhow::Result<String> {
        secret(
            self.admin_token.as_deref(),
            self.admin_token_file.as_deref(),
            "admin-token",
        )
    }
}

/// A secret: the content of its file, or the text of the argument or the environment.
///
/// # Errors
/// There is neither, or the file cannot be read.
pub(super) fn secret(
    text: Option<&str>,
    file: Option<&Path>,
    argument: &str,
) -> anyhow::Result<String> {
    match (text, file) {
        (_, Some(file)) => {
            let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            Ok(text.trim_end().to_owned())
        }
        (Some(text), None) => Ok(text.to_owned()),
        (None, None) => anyhow::bail!("give --{argument}-file or --{argument}"),
    }
}
