//! The fleet's certificate authority and what its certificates mean.
//!
//! A box authenticates with an X.509 certificate whose common name is its device id, and a revoked or foreign
//! certificate must never be accepted. The rules for it are here, so that the broker, the HTTPS listener and the
//! simulator apply the same ones:
//!
//! - [`authority`]: the two-level CA (an offline root, an issuing CA at run time) and its files,
//! - [`crl`]: signed lists of revoked certificates, for brokers without access to the platform's records,
//! - [`csr`]: certificate signing requests, of which only the public key is used,
//! - [`durable_file`]: files with keys, that are there whole after a power cut,
//! - [`issue`]: the certificates that the issuing CA signs for devices, services and the platform's servers,
//! - [`identity`]: the identity in a verified peer certificate,
//! - [`tls`]: rustls configurations that trust this CA alone, with records that small receivers accept,
//! - [`serial`]: serial numbers, the one source of random numbers here,
//! - [`validity`]: a certificate's dates.
//!
//! Time is always an argument. Revocations are not recorded here: the platform keeps them, by serial number.

pub mod authority;
mod client_verifier;
pub mod crl;
pub mod csr;
pub mod durable_file;
pub mod identity;
pub mod issue;
mod pem;
pub mod serial;
pub mod tls;
pub mod validity;

pub use client_verifier::{common_name, take_refused_name};

#[cfg(test)]
mod fixtures;
