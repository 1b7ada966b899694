//! The Ed25519 keys that sign messages to devices.
//!
//! The first key of the configuration signs. Devices receive all of them, so that a new key is known
//! before it signs. A key's id is derived from the key itself, so that two keys cannot share one.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certs::durable_file;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use wire::{Signer, VerifyingKeys};

use super::problems::Problems;
use crate::config::Config;

/// The signing key, and all keys as devices receive them. Files that cannot be read are added to `problems`.
pub(super) fn load(config: &Config, problems: &mut Problems) -> Option<(Signer, VerifyingKeys)> {
    let mut all = VerifyingKeys::default();
    let mut first = None;
    for file in problems.keep(files(config))? {
        let read = problems.keep(read(&file).and_then(|signer| {
            insert(&mut all, &signer)?;
            Ok(signer)
        }));
        first = first.or(read);
    }
    Some((first?, all))
}

fn insert(all: &mut VerifyingKeys, signer: &Signer) -> anyhow::Result<()> {
    let key = signer
        .public_key()
        .try_into()
        .context("an Ed25519 key has 32 bytes")?;
    all.insert(signer.key_id(), key)?;
    Ok(())
}

fn files(config: &Config) -> anyhow::Result<Vec<PathBuf>> {
    if !config.announcements.key_files.is_empty() {
        return Ok(config.announcements.key_files.clone());
    }
    let file = config.data_dir().join("keys").join("announcement.pem");
    if !file.exists() {
        make(&file)
            .with_context(|| format!("cannot make the announcement key {}", file.display()))?;
    }
    Ok(vec![file])
}

fn read(file: &Path) -> anyhow::Result<Signer> {
    let named = || format!("announcements.key_files: {}", file.display());
    let pem = std::fs::read(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!(
            "announcements.key_files: {0} is missing; make it: openssl genpkey -algorithm ed25519 -out {0}",
            file.display()
        ),
        _ => anyhow::Error::new(error).context(named()),
    })?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(&pem)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(named)?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der())
        .map_err(|error| anyhow::anyhow!("not an Ed25519 key in PKCS #8: {error}"))
        .with_context(named)?;
    let id = digest::digest(&digest::SHA256, pair.public_key().as_ref());
    Signer::from_pkcs8(
        format!("k_{}", hex::encode(&id.as_ref()[..6])),
        key.secret_pkcs8_der(),
    )
    .with_context(named)
}

fn make(file: &Path) -> anyhow::Result<()> {
    let Some(dir) = file.parent() else {
        bail!("it has no directory")
    };
    std::fs::create_dir_all(dir)?;
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|_| anyhow::anyhow!("no randomness"))?;
    let body = STANDARD.encode(document.as_ref());
    let lines: Vec<&str> = (0..body.len())
        .step_by(64)
        .map(|at| &body[at..body.len().min(at + 64)])
        .collect();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    );
    // Durable before a box is told its public half: with another key after a power cut, it would refuse every message.
    durable_file::replace(file, pem.as_bytes(), 0o600)?;
    Ok(())
}
