//! The fleet's certificate authority and what its certificates mean.
//!
//! A box proves who it is with an X.509 certificate whose common name is its device id, and a
//! revoked or foreign certificate must never get in. Everything that decides such a thing lives
//! here, so that the broker, the HTTPS listener and the simulator cannot disagree about it:
//!
//! - [`authority`]: the two-level CA (an offline root, an issuing CA at run time) and its files,
//! - [`crl`]: signed lists of revoked certificates, for brokers that cannot ask the registry,
//! - [`csr`]: a certificate signing request, believed only for its public key,
//! - [`issue`]: the certificates that the issuing CA signs for devices, services and our servers,
//! - [`identity`]: who a verified peer certificate stands for,
//! - [`tls`]: rustls configurations that trust this CA and nothing else, with records that small receivers take,
//! - [`serial`]: serial numbers, the one place here that draws random numbers.
//!
//! Time is always an argument. Nothing in this crate knows what has been revoked: the registry of
//! devices does, and asks by serial number.

pub mod authority;
mod client_verifier;
pub mod crl;
pub mod csr;
pub mod identity;
pub mod issue;
mod pem;
pub mod serial;
pub mod tls;

pub use client_verifier::{common_name, take_refused_name};

#[cfg(test)]
mod fixtures;
