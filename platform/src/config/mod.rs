//! Configuration: `config/default.toml` < `--config FILE` < environment.
//!
//! Each layer may set any key; a key that does not exist is refused by name. Secrets are never
//! values here: a partner's entry names the files or environment variables that hold them.
//!
//! | file | contents |
//! |---|---|
//! | `values` | the tables and their keys, and what is derived from them |
//! | `validation` | rules between values, checked before anything starts |
//! | `secrets` | reading the secrets that the configuration names |

mod secrets;
mod validation;
mod values;

use std::path::Path;

use anyhow::Context as _;
use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Profile, Provider as _};

pub use secrets::read_secrets;
pub use values::*;

const DEFAULT: &str = include_str!("../../../config/default.toml");
const DEMO: &str = include_str!("../../../config/demo.toml");
/// Keys that had another name: old, new.
const RENAMED: [(&str, &str); 1] = [("health.look_every_s", "health.check_interval_s")];

impl Config {
    /// Reads the defaults, then `file`, then the environment.
    ///
    /// # Errors
    /// A file that cannot be read, a key that does not exist, a value of the wrong kind: the message
    /// names the key.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut figment = Figment::from(Toml::string(DEFAULT));
        if let Some(file) = file {
            // Checked here, because figment takes a missing file for an empty one.
            std::fs::metadata(file).with_context(|| {
                format!("cannot read the configuration file {}", file.display())
            })?;
            figment = figment.merge(Toml::file_exact(file));
        }
        let mut config = Self::finish(figment, file)?;
        config.file = file.map(Path::to_owned);
        Ok(config)
    }

    /// The configuration of `platform demo`.
    ///
    /// # Errors
    /// As [`Config::load`], for what the environment sets.
    pub fn demo() -> anyhow::Result<Self> {
        Self::finish(
            Figment::from(Toml::string(DEFAULT)).merge(Toml::string(DEMO)),
            None,
        )
    }

    fn finish(figment: Figment, file: Option<&Path>) -> anyhow::Result<Self> {
        let figment = figment
            .merge(Env::prefixed("SOUNDBOX__").split("__"))
            .merge(
                Env::raw()
                    .only(&["DATABASE_URL"])
                    .map(|_| "database.url".into()),
            );
        let config: Self = name_of_node(figment).extract().map_err(explain)?;
        match file {
            Some(file) => config.check().with_context(|| file.display().to_string())?,
            None => config.check()?,
        }
        Ok(config)
    }
}

/// `node = "name"`, as earlier versions wrote it, for `node.name`.
fn name_of_node(figment: Figment) -> Figment {
    match figment.extract_inner::<String>("node") {
        Ok(name) => {
            let default = Figment::from(Toml::string(DEFAULT)).focus("node");
            let table = default
                .data()
                .ok()
                .and_then(|mut data| data.remove(&Profile::Default));
            figment
                .merge(Serialized::default("node", table.unwrap_or_default()))
                .merge(Serialized::default("node.name", name))
        }
        Err(_) => figment,
    }
}

/// Names the key and where its value is: a file, or the environment.
fn explain(error: figment::Error) -> anyhow::Error {
    let lines: Vec<String> = error
        .into_iter()
        .map(|one| {
            let source = one.metadata.as_ref().map(|metadata| {
                match metadata
                    .source
                    .as_ref()
                    .and_then(figment::Source::file_path)
                {
                    Some(file) => file.display().to_string(),
                    None => metadata.name.to_string(),
                }
            });
            let source = source
                .map(|source| format!("{source}: "))
                .unwrap_or_default();
            let key = one.path.join(".");
            match &one.kind {
                // The path of an unknown key ends with it.
                Kind::UnknownField(_, known) => match RENAMED.iter().find(|(old, _)| *old == key) {
                    Some((_, new)) => {
                        format!("configuration: {source}{key} was renamed: use {new}")
                    }
                    None => format!(
                        "configuration: {source}there is no key {key}; known there: {}",
                        known.join(", ")
                    ),
                },
                kind if key.is_empty() => format!("configuration: {source}{kind}"),
                kind => format!("configuration: {source}{key}: {kind}"),
            }
        })
        .collect();
    anyhow::anyhow!("{}", lines.join("\n"))
}

#[cfg(test)]
mod tests;
