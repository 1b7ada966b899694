//! The dialects that are built into the program: `config/dialects/NAME.toml`.

use std::sync::{Arc, OnceLock};

use super::{Dialect, DialectError};

type Read = Vec<(&'static str, Result<Arc<Dialect>, DialectError>)>;

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        /// Their names.
        pub const NAMES: &[&str] = &[$($name),+];

        /// The file of one of them.
        pub fn source(name: &str) -> Option<&'static str> {
            match name {
                $($name => Some(include_str!(concat!("../../../../config/dialects/", $name, ".toml"))),)+
                _ => None,
            }
        }
    };
}

built_in!(
    "hmac",
    "snap",
    "bri",
    "manjo",
    "speedcash",
    "bjb",
    "ocbc",
    "yokke",
    "dana",
    "shopeepay",
    "midtrans_snap",
    "midtrans",
    "doku",
    "xendit",
    "faspay",
    "winpay",
);

/// A built-in dialect. None has this name: `Ok(None)`.
///
/// # Errors
/// What is wrong with its file; a test reads all of them.
pub fn built_in(name: &str) -> Result<Option<Arc<Dialect>>, DialectError> {
    static READ: OnceLock<Read> = OnceLock::new();
    let read = READ.get_or_init(|| {
        let file = |name: &&'static str| (*name, source(name).unwrap_or_default());
        let read = NAMES.iter().map(file);
        read.map(|(name, text)| (name, Dialect::parse(text).map(Arc::new)))
            .collect()
    });
    let found = read.iter().find(|(known, _)| *known == name);
    found.map(|(_, dialect)| dialect.clone()).transpose()
}
