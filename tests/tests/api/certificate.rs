//! The server's certificate is replaced while it is in use.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::authority::{FleetCa, InitOptions, IssuingCa};
use certs::serial::Serial;
use certs::tls::{client_config, roots_from_pem};
use chrono::{DateTime, TimeDelta, Utc};
use platform::clock::Clock;
use tests::World;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A certificate authority that the world trusts, and where the platform expects what it issues.
struct PublicCa {
    ca: IssuingCa,
    certificate_file: PathBuf,
    key_file: PathBuf,
    _dir: tempfile::TempDir,
}

impl PublicCa {
    fn new(now: DateTime<Utc>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().join("ca");
        FleetCa::init(&files, now, &InitOptions::default()).unwrap();
        Self {
            ca: IssuingCa::load(&files).unwrap(),
            certificate_file: dir.path().join("server.pem"),
            key_file: dir.path().join("server-key.pem"),
            _dir: dir,
        }
    }

    /// Puts a new certificate where the platform looks, and tells its DER.
    fn renew(&self, now: DateTime<Utc>) -> Vec<u8> {
        let names = ["localhost".to_owned()];
        let serial = Serial::random().unwrap();
        let issued = self
            .ca
            .issue_server(&names, &[], now, TimeDelta::days(90), serial)
            .unwrap();
        write(&self.certificate_file, &issued.certificate.chain_pem);
        write(&self.key_file, &issued.key_pem);
        certs::tls::chain_from_pem(&issued.certificate.chain_pem).unwrap()[0].to_vec()
    }

    /// What a client is shown there, if it trusts it.
    async fn shown_at(&self, address: SocketAddr) -> Vec<u8> {
        let roots = roots_from_pem(self.ca.root_pem()).unwrap();
        let tls = client_config(roots, None, Vec::new()).unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let stream = TlsConnector::from(Arc::clone(&tls))
            .connect(name, stream)
            .await
            .unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
}

#[tokio::test]
async fn a_new_certificate_holds_from_the_next_connection_on() {
    let now = Clock::system().now();
    let public = PublicCa::new(now);
    let first = public.renew(now);
    let world = World::with(|config| {
        config.pki.server_certificate_file = public.certificate_file.clone();
        config.pki.server_key_file = public.key_file.clone();
    })
    .await;
    let (https, mqtt) = (world.app().http_addr(), world.mqtt());
    assert_eq!(public.shown_at(https).await, first);
    assert_eq!(public.shown_at(mqtt).await, first);

    // A renewal that was broken off changes nothing: the key is not this certificate's, or is not there.
    let key = std::fs::read_to_string(&public.key_file).unwrap();
    public.renew(now);
    write(&public.key_file, &key);
    let error = world.app().reload_certificate().unwrap_err();
    assert!(
        format!("{error:#}").contains("do not go together"),
        "{error:#}"
    );
    write(&public.key_file, "");
    world.app().reload_certificate().unwrap_err();
    std::fs::remove_file(&public.certificate_file).unwrap();
    let error = world.app().reload_certificate().unwrap_err();
    assert!(format!("{error:#}").contains("server.pem"), "{error:#}");
    assert_eq!(public.shown_at(https).await, first);

    let second = public.renew(now);
    assert_ne!(second, first);
    assert_eq!(
        public.shown_at(https).await,
        first,
        "without being asked to"
    );
    world.app().reload_certificate().unwrap();
    assert_eq!(public.shown_at(https).await, second);
    assert_eq!(public.shown_at(mqtt).await, second);
}

#[tokio::test]
async fn connections_outlive_the_certificate_they_were_made_with() {
    let world = World::new().await;
    let admin = world.admin();
    let _ = admin.get("/admin/devices").await.expect(200);
    // Our own CA issues another one.
    world.app().reload_certificate().unwrap();
    let _ = admin.get("/admin/devices").await.expect(200);
    let _ = world.admin().get("/admin/devices").await.expect(200);
}
