//! Passwords: stored as Argon2id hashes, which are slow on purpose.
//!
//! Hashing runs off the asynchronous threads, and only a few hashes at a time: each takes 19 MiB and tens of
//! milliseconds, so that without a limit requests could exhaust the process.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use crate::{Error, Result, secret};

/// How many hashes are computed at a time.
const AT_WORK_MAX: usize = 2;
/// How many may wait; further callers are refused.
const WAITING_MAX: usize = 128;
/// When a refused caller may try again, seconds.
const RETRY_AFTER_S: u32 = 2;

static AT_WORK: Semaphore = Semaphore::const_new(AT_WORK_MAX);
static WAITING: Semaphore = Semaphore::const_new(WAITING_MAX);

/// The hash of a random password, with the same cost as all others.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGF0IGFsbA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A new password with 125 random bits, in groups that can be read out.
pub fn generate() -> String {
    secret::activation_code().to_lowercase()
}

/// The hash of a password.
///
/// # Errors
/// [`Error::RateLimited`] when too many wait for theirs.
pub(super) async fn hash(password: String) -> Result<String> {
    work(move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
            .map_err(broken)
    })
    .await
}

/// Whether this is the password of `hash`. Without a hash the same work is done, so that the time of an answer does not
/// reveal who has an account.
///
/// # Errors
/// [`Error::RateLimited`] when too many wait for theirs.
pub(super) async fn verify(password: String, hash: Option<String>) -> Result<bool> {
    work(move || {
        let known = PasswordHash::new(hash.as_deref().unwrap_or(NOBODYS))
            .map_err(|error| anyhow::anyhow!("a password hash that does not read: {error}"))?;
        match Argon2::default().verify_password(password.as_bytes(), &known) {
            Ok(()) => Ok(hash.is_some()),
            Err(password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(broken(error)),
        }
    })
    .await
}

async fn work<T: Send + 'static>(
    hashing: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let busy = || Error::RateLimited {
        message: "too many passwords are being checked at this moment",
        retry_after_s: RETRY_AFTER_S,
    };
    let place = WAITING.try_acquire().map_err(|_| busy())?;
    // Held by the work itself: a caller that hangs up frees no permit while its hash is still being computed.
    let turn = AT_WORK.acquire().await.map_err(|_| busy())?;
    drop(place);
    tokio::task::spawn_blocking(move || {
        let result = hashing();
        drop(turn);
        result
    })
    .await
    .map_err(anyhow::Error::from)?
}

fn broken(error: password_hash::Error) -> Error {
    Error::Internal(anyhow::anyhow!("argon2: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_opens_its_own_hash_and_no_other() {
        let kept = hash("correct horse".into()).await.unwrap();
        assert!(kept.starts_with("$argon2id$"), "{kept}");
        assert!(
            verify("correct horse".into(), Some(kept.clone()))
                .await
                .unwrap()
        );
        assert!(
            !verify("correct house".into(), Some(kept.clone()))
                .await
                .unwrap()
        );
        assert!(!verify("correct horse".into(), None).await.unwrap());
        assert_ne!(hash("correct horse".into()).await.unwrap(), kept, "no salt");
    }

    #[tokio::test]
    async fn nobodys_hash_costs_what_the_others_do() {
        let cost = |hash: &str| hash.rsplitn(3, '$').nth(2).unwrap().to_owned();
        assert_eq!(cost(NOBODYS), cost(&hash("x".into()).await.unwrap()));
    }
}
