//! The revocation list, as other brokers read it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Output, Stdio};

use tests::connection::ConnectOptions;
use tests::installed;
use tests::prelude::*;
use tokio::net::TcpStream;
use tokio::process::Command;

/// A platform that writes its list into this file soon after a change.
async fn publishing(file: &Path) -> World {
    let file = file.to_owned();
    World::with(|config| {
        config.pki.crl_file = file;
        config.pki.crl_refresh_s = 1;
    })
    .await
}

/// The list in the file as openssl prints it, once it contains this certificate.
async fn listed(dir: &Path, serial: &str) -> String {
    let serial = serial.to_uppercase();
    eventually("the certificate being in the list", || async {
        let output = openssl(dir, &["crl", "-in", "crl.pem", "-noout", "-text"]).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.contains(&serial).then_some(text)
    })
    .await
}

async fn openssl(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("openssl");
    command
        .current_dir(dir)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    within("openssl", command.output()).await.unwrap()
}

fn is_installed(program: &str, argument: &str) -> bool {
    let found = std::process::Command::new(program)
        .arg(argument)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        installed::missing(program);
    }
    found
}

fn output(output: &Output) -> String {
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn a_list_signed_by_the_ca_names_what_was_revoked_or_replaced() {
    if !is_installed("openssl", "version") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let world = publishing(&dir.path().join("crl.pem")).await;
    let good = Credentials::unbound(&world).await;
    let retired = Credentials::unbound(&world).await;
    let replaced = Credentials::unbound(&world).await;
    retired.set_status(&world, "retired").await;
    let new = replaced.renew(&world, &replaced.api(&world)).await;
    let used = new.api_by_certificate(&world).get("/device/config").await;
    assert_eq!(used.status, 200);

    listed(dir.path(), &retired.certificate_serial()).await;
    let text = listed(dir.path(), &replaced.certificate_serial()).await;

    assert!(text.contains("Cessation Of Operation"), "{text}");
    assert!(text.contains("Superseded"), "{text}");
    for certificate in [&good, &new] {
        assert!(!text.contains(&certificate.certificate_serial().to_uppercase()));
    }
    let ca = world.app().context().ca().unwrap();
    for (name, pem) in [
        ("issuing.pem", ca.issuing_pem().to_owned()),
        ("anchors.pem", ca.ca_chain_pem()),
        ("good.pem", good.chain_pem.clone()),
        ("retired.pem", retired.chain_pem.clone()),
        ("replaced.pem", replaced.chain_pem.clone()),
    ] {
        std::fs::write(dir.path().join(name), pem).unwrap();
    }
    // HTTP returns the same list as DER, without authentication.
    let answer = world.anonymous().get("/pki/crl").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/pkix-crl"));
    std::fs::write(dir.path().join("crl.der"), &answer.body).unwrap();
    let as_der = openssl(dir.path(), &["crl", "-in", "crl.pem", "-outform", "DER"]).await;
    assert_eq!(as_der.stdout, answer.body);
    let form = ["crl", "-noout", "-inform", "DER", "-in", "crl.der"];
    let verify = [&form[..], &["-verify", "-CAfile", "issuing.pem"]].concat();
    let verified = output(&openssl(dir.path(), &verify).await);
    assert!(verified.contains("verify OK"), "{verified}");
    for (leaf, verdict) in [
        ("good.pem", "good.pem: OK"),
        ("retired.pem", "certificate revoked"),
        ("replaced.pem", "certificate revoked"),
    ] {
        let check = [
            "verify",
            "-crl_check",
            "-CRLfile",
            "crl.pem",
            "-CAfile",
            "anchors.pem",
            leaf,
        ];
        let output = output(&openssl(dir.path(), &check).await);
        assert!(output.contains(verdict), "{leaf}: {output}");
    }
}

#[tokio::test]
async fn a_list_is_signed_again_in_the_middle_of_its_time_with_a_higher_number() {
    use service::fleet::crl::refresh;

    let world = World::with(|config| config.pki.crl_refresh_s = 3600).await;
    let context = world.app().context();
    let first = refresh(context).await.unwrap();
    let same = refresh(context).await.unwrap();
    assert_eq!((first.number, &first.der), (same.number, &same.der));
    world.later(11 * 3600);
    assert_eq!(refresh(context).await.unwrap().number, first.number);
    world.later(3600);
    let next = refresh(context).await.unwrap();
    assert_eq!(next.number, first.number + 1);
    assert!(next.next_update > first.next_update);
    // A revocation is published without waiting for that.
    let credentials = Credentials::unbound(&world).await;
    credentials.set_status(&world, "retired").await;
    assert_eq!(refresh(context).await.unwrap().number, first.number + 2);
}

/// Mosquitto, with the fleet's CA and the list that the platform wrote.
#[tokio::test]
async fn an_external_broker_refuses_what_is_in_the_list() {
    if !is_installed("mosquitto", "-h") || !is_installed("openssl", "version") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let world = publishing(&dir.path().join("crl.pem")).await;
    let good = Credentials::unbound(&world).await;
    let retired = Credentials::unbound(&world).await;
    retired.set_status(&world, "retired").await;
    listed(dir.path(), &retired.certificate_serial()).await;

    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let anchors = world.app().context().ca().unwrap().ca_chain_pem();
    std::fs::write(dir.path().join("anchors.pem"), anchors).unwrap();
    // A broker of the fleet has a server certificate of the fleet's CA.
    let ca = world.app().context().ca().unwrap();
    let issued = ca
        .issue_server(
            &["localhost".to_owned()],
            &[Ipv4Addr::LOCALHOST.into()],
            world.clock.now(),
            chrono::TimeDelta::days(1),
            certs::serial::Serial::random().unwrap(),
        )
        .unwrap();
    std::fs::write(dir.path().join("server.pem"), &issued.certificate.chain_pem).unwrap();
    std::fs::write(dir.path().join("server-key.pem"), &issued.key_pem).unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    // As root Mosquitto would change to a user who cannot read these files.
    let user = if nix::unistd::geteuid().is_root() {
        "user root\n"
    } else {
        ""
    };
    let config = format!(
        "{user}listener {port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\ncrlfile {}\n\
         require_certificate true\nallow_anonymous true\npersistence false\n",
        path("anchors.pem"),
        path("server.pem"),
        path("server-key.pem"),
        path("crl.pem"),
    );
    std::fs::write(dir.path().join("mosquitto.conf"), config).unwrap();
    let _mosquitto = Command::new("mosquitto")
        .args(["-c", &path("mosquitto.conf")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("Mosquitto listening", || async {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()
    })
    .await;
    let to = (Ipv4Addr::LOCALHOST, port).into();
    let connect = |credentials: &Credentials| {
        let (client_id, tls) = (credentials.device_id.to_string(), credentials.tls());
        async move {
            let client_id = client_id.as_str();
            let clean = true;
            Connection::open(ConnectOptions {
                address: to,
                client_id,
                clean,
                tls,
            })
            .await
        }
    };
    connect(&good).await.unwrap().disconnect().await;
    assert!(connect(&retired).await.is_err(), "it was admitted");
}
