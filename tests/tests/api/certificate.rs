//! The server's certificate is replaced while it is in use.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tests::prelude::*;

use certs::authority::{FleetCa, InitOptions, IssuingCa};
use certs::serial::Serial;
use certs::tls::{client_config, roots_from_pem};
use certs::validity::Validity;
use chrono::{DateTime, TimeDelta, Utc};
use service::clock::Clock;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A certificate authority that clients trust, and the files where the platform reads its certificate.
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

    /// Writes a new certificate, valid for 90 days from `from` on; its DER.
    fn renew(&self, from: DateTime<Utc>) -> Vec<u8> {
        self.renew_for(from, TimeDelta::days(90))
    }

    /// The same with this lifetime.
    fn renew_for(&self, from: DateTime<Utc>, lifetime: TimeDelta) -> Vec<u8> {
        let names = ["localhost".to_owned()];
        let serial = Serial::random().unwrap();
        let issued = self
            .ca
            .issue_server(&names, &[], from, lifetime, serial)
            .unwrap();
        write(&self.certificate_file, &issued.certificate.chain_pem);
        write(&self.key_file, &issued.key_pem);
        certs::tls::chain_from_pem(&issued.certificate.chain_pem).unwrap()[0].to_vec()
    }

    /// A platform with this certificate.
    async fn world(&self) -> World {
        World::with(|config| {
            config.pki.server_certificate_file = self.certificate_file.clone();
            config.pki.server_key_file = self.key_file.clone();
        })
        .await
    }

    /// The certificate that a client gets at this address.
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
    let world = public.world().await;
    let (https, mqtt) = (world.app().http_addr(), world.mqtt());
    assert_eq!(public.shown_at(https).await, first);
    assert_eq!(public.shown_at(mqtt).await, first);

    // An incomplete renewal changes nothing: the key belongs to another certificate, or is missing.
    let key = std::fs::read_to_string(&public.key_file).unwrap();
    public.renew(now);
    write(&public.key_file, &key);
    let error = world.app().reload_certificate().unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("do not go together"), "{error}");
    write(&public.key_file, "");
    world.app().reload_certificate().unwrap_err();
    std::fs::remove_file(&public.certificate_file).unwrap();
    let error = world.app().reload_certificate().unwrap_err();
    assert!(format!("{error:#}").contains("server.pem"), "{error:#}");
    assert_eq!(public.shown_at(https).await, first);

    let second = public.renew(now);
    assert_ne!(second, first);
    // Without being asked to, the platform does not read it.
    assert_eq!(public.shown_at(https).await, first);
    world.app().reload_certificate().unwrap();
    assert_eq!(public.shown_at(https).await, second);
    assert_eq!(public.shown_at(mqtt).await, second);
}

#[tokio::test]
async fn connections_outlive_the_certificate_they_were_made_with() {
    let world = World::new().await;
    let admin = world.admin();
    admin.read("/admin/devices").await;
    // The platform's own CA issues another one.
    world.app().reload_certificate().unwrap();
    admin.read("/admin/devices").await;
    let anonymous = Api::new(&world.url(), world.app().root_pem());
    let new_connection = anonymous.with_token(&world.token(Role::Admin).await);
    new_connection.read("/admin/devices").await;
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_an_alert_until_it_is_replaced() {
    let now = Clock::system().now();
    let public = PublicCa::new(now - TimeDelta::days(30));
    public.renew_for(now, TimeDelta::days(20));
    let world = public.world().await;
    let admin =
        Api::new(&world.url(), public.ca.root_pem()).with_token(&world.token(Role::Admin).await);
    let path = "/admin/alerts?kind=server_certificate_expiring&state=open";
    let alert = eventually("the alert", || async {
        admin.get(path).await.data().get(0).cloned()
    })
    .await;
    assert_eq!(alert["subject"], "platform");
    assert!(alert["details"]["not_after"].is_string(), "{alert}");
    // An acknowledgement does not close it.
    let acknowledge = format!("/admin/alerts/{}/acknowledge", text(&alert, "id"));
    admin.act(&acknowledge, &json!({})).await;
    world
        .within(|context| async move { service::alert::check(&context, 10).await })
        .await
        .unwrap();
    assert_eq!(admin.get(path).await.data()[0]["id"], alert["id"]);
    public.renew_for(now, TimeDelta::days(22));
    world.app().reload_certificate().unwrap();
    eventually("the end of the alert", || async {
        admin.list(path).await.is_empty().then_some(())
    })
    .await;
}

/// The end of the certificate in the metrics, Unix time.
async fn end_in_metrics(world: &World) -> i64 {
    let numbers = world.metrics().await;
    let line = numbers
        .lines()
        .find(|line| line.starts_with("tls_certificate_expires_seconds"))
        .unwrap_or_else(|| panic!("{numbers}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

fn end_of(der: &[u8]) -> i64 {
    Validity::of(der).unwrap().not_after.timestamp()
}

/// An error, and what makes the certificate on disk cause it.
type Spoiling<'a> = (&'static str, Box<dyn Fn() + 'a>);

/// Invalid certificates, and their errors.
fn spoil(public: &PublicCa, now: DateTime<Utc>) -> Vec<Spoiling<'_>> {
    let day = TimeDelta::days(1);
    vec![
        (
            "the server certificate expired at",
            Box::new(move || drop(public.renew_for(now - day * 2, day))),
        ),
        (
            "the server certificate is not valid before",
            Box::new(move || drop(public.renew(now + day))),
        ),
        (
            "do not go together",
            Box::new(move || {
                public.renew(now);
                let key = std::fs::read_to_string(&public.key_file).unwrap();
                public.renew(now);
                write(&public.key_file, &key);
            }),
        ),
        (
            "the server certificate",
            Box::new(|| write(&public.certificate_file, "")),
        ),
    ]
}

#[tokio::test]
async fn a_certificate_that_no_client_takes_is_refused_and_the_present_one_stays() {
    let now = Clock::system().now();
    let public = PublicCa::new(now - TimeDelta::days(30));
    let good = public.renew(now);
    let world = public.world().await;
    for (complaint, spoil) in spoil(&public, now) {
        spoil();
        let error = format!("{:#}", world.app().reload_certificate().unwrap_err());
        assert!(error.contains(complaint), "{complaint}: {error}");
        for address in [world.app().http_addr(), world.mqtt()] {
            assert_eq!(public.shown_at(address).await, good, "{complaint}");
        }
        assert_eq!(end_in_metrics(&world).await, end_of(&good), "{complaint}");
    }
    let another = public.renew_for(now, TimeDelta::days(50));
    world.app().reload_certificate().unwrap();
    assert_eq!(public.shown_at(world.mqtt()).await, another);
    assert_eq!(end_in_metrics(&world).await, end_of(&another));
}

#[tokio::test]
async fn a_platform_does_not_start_with_a_certificate_that_no_client_takes() {
    let now = Clock::system().now();
    let public = PublicCa::new(now - TimeDelta::days(30));
    public.renew(now);
    let mut world = public.world().await;
    world.stop().await;
    for (complaint, spoil) in spoil(&public, now) {
        spoil();
        let error = format!("{:#}", world.try_start().await.unwrap_err());
        assert!(error.contains(complaint), "{complaint}: {error}");
    }
    public.renew(now);
    world.start().await;
}
