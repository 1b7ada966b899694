//! `certs show`.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use certs::csr::{Csr, KeyKind, RsaKeys};
use certs::identity::{PeerIdentity, Subject};
use certs::tls;
use chrono::DateTime;
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;
use x509_parser::x509::SubjectPublicKeyInfo;

#[derive(clap::Args)]
pub(crate) struct Show {
    /// Certificates, one signing request or one revocation list, in PEM.
    file: PathBuf,
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let name = self.file.display().to_string();
        let text = std::fs::read_to_string(&self.file).with_context(|| name.clone())?;
        if text.contains("CERTIFICATE REQUEST-----") {
            return show_request(&text).context(name);
        }
        if text.contains("BEGIN X509 CRL") {
            return show_crl(&text).context(name);
        }
        if !text.contains("BEGIN CERTIFICATE") {
            bail!("{name}: no certificate, signing request or revocation list in PEM");
        }
        let chain = tls::chain_from_pem(&text).with_context(|| name.clone())?;
        for (index, der) in chain.iter().enumerate() {
            if index > 0 {
                println!();
            }
            show_certificate(der).with_context(|| name.clone())?;
        }
        Ok(())
    }
}

fn show_request(pem: &str) -> anyhow::Result<()> {
    let csr = Csr::parse_verified_accepting(pem, RsaKeys::Accepted)?;
    let kind = match csr.key_kind() {
        KeyKind::P256 => "P-256",
        KeyKind::Ed25519 => "Ed25519",
        KeyKind::Rsa => "RSA",
    };
    println!("Signing request, signature verified");
    println!("  key         {kind}");
    println!("  key sha256  {}", csr.public_key_sha256());
    Ok(())
}

/// Prints the list without verifying it: `openssl crl -verify` does that.
fn show_crl(pem: &str) -> anyhow::Result<()> {
    let der = CertificateRevocationListDer::from_pem_slice(pem.as_bytes())?;
    let (_, list) = CertificateRevocationList::from_der(&der)
        .map_err(|_| anyhow::anyhow!("not an X.509 revocation list"))?;
    println!("Revocation list");
    println!("  issuer      {}", list.issuer());
    if let Some(number) = list.crl_number() {
        println!("  number      {number}");
    }
    println!("  made        {}", moment(list.last_update()));
    if let Some(next) = list.next_update() {
        println!("  next        {}", moment(next));
    }
    for entry in list.iter_revoked_certificates() {
        let reason = entry
            .reason_code()
            .map_or_else(String::new, |(_, reason)| format!("  {reason}"));
        println!(
            "  revoked     {}  {}{reason}",
            hex::encode(entry.raw_serial()),
            moment(entry.revocation_date)
        );
    }
    Ok(())
}

fn moment(time: ASN1Time) -> String {
    DateTime::from_timestamp(time.timestamp(), 0)
        .map_or_else(|| time.to_string(), |time| time.to_string())
}

fn show_certificate(der: &[u8]) -> anyhow::Result<()> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| anyhow::anyhow!("not an X.509 certificate"))?;
    let validity = certificate.validity();
    println!("Certificate");
    println!("  subject     {}", certificate.subject());
    println!("  issuer      {}", certificate.issuer());
    println!("  serial      {}", hex::encode(certificate.raw_serial()));
    println!("  not before  {}", moment(validity.not_before));
    println!("  not after   {}", moment(validity.not_after));
    println!("  key         {}", key_type(certificate.public_key()));
    if let Ok(Some(names)) = certificate.subject_alternative_name() {
        let names: Vec<String> = names.value.general_names.iter().map(name).collect();
        println!("  names       {}", names.join(", "));
    }
    let role = match PeerIdentity::from_der(der).map(|identity| identity.subject) {
        _ if certificate.is_ca() => "certificate authority".to_owned(),
        Ok(Subject::Device(id)) => format!("device {id}"),
        Ok(Subject::Service(name)) => format!("service {name}"),
        Err(_) => "no client of the fleet".to_owned(),
    };
    println!("  stands for  {role}");
    Ok(())
}

/// A name or address as text.
fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(octets) => {
            let address = <[u8; 4]>::try_from(*octets)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from));
            address.map_or_else(|_| hex::encode(octets), |address| address.to_string())
        }
        other => other.to_string(),
    }
}

fn key_type(key: &SubjectPublicKeyInfo<'_>) -> String {
    let algorithm = &key.algorithm;
    if algorithm.algorithm == OID_SIG_ED25519 {
        return "Ed25519".to_owned();
    }
    if algorithm.algorithm == OID_PKCS1_RSAENCRYPTION {
        return "RSA".to_owned();
    }
    if algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = algorithm
            .parameters
            .as_ref()
            .and_then(|parameters| parameters.as_oid().ok());
        return match curve {
            Some(curve) if curve == OID_EC_P256 => "P-256".to_owned(),
            Some(curve) if curve == OID_NIST_EC_P384 => "P-384".to_owned(),
            _ => "elliptic curve".to_owned(),
        };
    }
    algorithm.algorithm.to_id_string()
}
