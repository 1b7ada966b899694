//! Secrets of partners, read from the files and environment variables that the configuration names.

use std::io;
use std::path::PathBuf;

use anyhow::bail;
use secrecy::SecretString;

/// The shortest secret of a partner, in bytes.
const SECRET_LEN_MIN: usize = 16;

/// Reads the secrets of a partner, whose table is called `key`, from the files and variables that the configuration names.
///
/// # Errors
/// One line for each file or variable that is missing or too short, without its content.
pub fn read_secrets(
    key: &str,
    files: &[PathBuf],
    variables: &[String],
) -> anyhow::Result<Vec<SecretString>> {
    let mut secrets = Vec::new();
    let mut problems = Vec::new();
    let mut take = |secret: &str, source: String, problems: &mut Vec<String>| {
        if secret.len() < SECRET_LEN_MIN {
            problems.push(format!(
                "{key}: the secret in {source} is shorter than {SECRET_LEN_MIN} characters"
            ));
        } else {
            secrets.push(SecretString::from(secret));
        }
    };
    for file in files {
        let source = file.display().to_string();
        match std::fs::read_to_string(file) {
            Ok(text) => take(text.trim_end_matches(['\r', '\n']), source, &mut problems),
            Err(error) if error.kind() == io::ErrorKind::NotFound => problems.push(format!(
                "{key}.secret_files: {source} is missing; put the partner's secret there, or make one for both sides: \
                 openssl rand -hex 32 > {source}"
            )),
            Err(error) => problems.push(format!("{key}.secret_files: cannot read {source}: {error}")),
        }
    }
    for variable in variables {
        match std::env::var(variable) {
            Ok(text) => take(&text, format!("the variable {variable}"), &mut problems),
            Err(_) => problems.push(format!(
                "{key}.secret_envs: the environment variable {variable} is not set"
            )),
        }
    }
    if files.is_empty() && variables.is_empty() {
        problems.push(format!(
            "{key} has no secret: set {key}.secret_files or {key}.secret_envs"
        ));
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(secrets)
}
