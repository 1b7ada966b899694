//! `platform partner check`: what is wrong with a partner's configuration is said in words, and no money moves.

use std::net::SocketAddr;
use std::path::Path;

use device_sim::api_faults::ApiFaults;
use device_sim::callback_faults::CallbackFaults;
use device_sim::issuer_orders::Orders;
use device_sim::output::Output;
use device_sim::partner::Partner;
use device_sim::partner::dialect::Acquirer;
use device_sim::partner::issuer_api::IssuerApi;
use device_sim::partner::snap::{PublicKey, key};
use device_sim::partner::{Callback, Target};
use device_sim::qr_issuer::{self, QrIssuer};
use tests::dialects::{PARTNER, SECRET};
use tests::issuing_acquirer::free_address;
use tests::prelude::*;
use tests::simulator;
use tests::snap::{new_key, private_pem};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::command_line::{platform, text};

struct Bench {
    dir: tempfile::TempDir,
    address: SocketAddr,
    /// The acquirer's key: a file of its public half is in the directory.
    theirs: String,
    _running: DropGuard,
}

impl Bench {
    /// An acquirer of this dialect, and the files of a platform that calls it.
    async fn open(world: &World, name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (their_key, their_pem) = new_key();
        let (our_key, our_pem) = new_key();
        let theirs = private_pem(&their_key);
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("their.pem", &their_pem);
        write("our-public.pem", &our_pem);
        write("our.pem", &private_pem(&our_key));
        write("secret", SECRET);
        write("other-secret", "another secret than that one");
        let address = free_address();
        let acquirer = Acquirer::new(name, SECRET, Some(&theirs)).unwrap();
        let issuer = QrIssuer {
            partner: Partner::speaking(simulator::api(world), PARTNER.to_owned(), acquirer),
            api: IssuerApi::of(name).unwrap(),
            secret: key(SECRET),
            platform_key: PublicKey::from_pem(&our_pem).unwrap(),
            pay_after: None,
            faults: CallbackFaults::default(),
            api_faults: ApiFaults::none(),
            orders: Orders::default(),
            seed: 1,
            output: Output::new(true),
        };
        let stop = CancellationToken::new();
        tokio::spawn(qr_issuer::run(issuer, address, stop.clone()));
        eventually("the acquirer's API", || async {
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        Self {
            dir,
            address,
            theirs,
            _running: stop.drop_guard(),
        }
    }

    fn configuration(&self, dialect: &str) -> String {
        let (dir, address) = (self.dir.path().display(), self.address);
        format!(
            r#"data_dir = "{dir}/data"
[qris_partners.bank]
dialect = "{dialect}"
secret_files = ["{dir}/secret"]
public_key_files = ["{dir}/their.pem"]
confirmed_statuses = ["03", "04"]
[qris_partners.bank.api]
url = "http://{address}"
client_id = "soundbox"
private_key_file = "{dir}/our.pem"
secret_files = ["{dir}/secret"]
channel_id = "95221"
"#
        )
    }

    /// Checks the partner by this configuration: whether all is well, and what it said.
    async fn check(&self, configuration: &str, more: &[&str]) -> (bool, String) {
        let file = self.dir.path().join("platform.toml");
        std::fs::write(&file, configuration).unwrap();
        let mut args: Vec<String> = ["partner", "check", "bank"].map(str::to_owned).to_vec();
        args.extend(more.iter().map(|&more| more.to_owned()));
        let output = tokio::task::spawn_blocking(move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            platform(&args, &file)
        });
        let output = output.await.unwrap();
        let said = text(&output);
        println!("{said}");
        (output.status.success(), said)
    }
}

fn file(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test]
async fn what_is_wrong_with_a_partner_is_said_in_words() {
    let world = World::new().await;
    let bench = Bench::open(&world, "manjo").await;
    let good = bench.configuration("manjo");
    // Its dialect wants to know from where we call.
    let with_address = format!("{good}ip_address = \"192.0.2.7\"\n");
    let (is_well, said) = bench.check(&with_address, &[]).await;
    assert!(is_well, "{said}");
    for words in [
        "gives us a token",
        "clock is",
        "takes our signature",
        "4045101",
        "--sample",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let dir = file(bench.dir.path());
    for (from, to, words) in [
        ("{address}", "127.0.0.1:9", "does not answer"),
        ("our.pem", "their.pem", "api.private_key_file"),
        ("our.pem", "nowhere.pem", "nowhere.pem is missing"),
        ("their.pem", "our-public.pem", "public half of our own"),
        (
            "secret_files = [\"{dir}/secret\"]\nchannel",
            "secret_files = [\"{dir}/other-secret\"]\nchannel",
            "refuses our signature (4015100",
        ),
        ("\"manjo\"", "\"manju\"", "there is no dialect \"manju\""),
        (
            "partners.bank",
            "partners.acme",
            "no [qris_partners.bank]; it has: acme",
        ),
    ] {
        let filled = |text: &str| {
            let text = text.replace("{dir}", &dir);
            text.replace("{address}", &bench.address.to_string())
        };
        assert!(with_address.contains(&filled(from)), "{from}");
        let configuration = with_address.replace(&filled(from), &filled(to));
        let (is_well, said) = bench.check(&configuration, &[]).await;
        assert!(!is_well, "{words}: {said}");
        let wrong = said.lines().filter(|line| line.starts_with("WRONG"));
        let wrong: Vec<_> = wrong.collect();
        assert!(
            wrong.iter().any(|line| line.contains(words)),
            "{words}: {said}"
        );
    }
    // A key that the partner does not know.
    let (stranger, _) = new_key();
    std::fs::write(bench.dir.path().join("our.pem"), private_pem(&stranger)).unwrap();
    let (is_well, said) = bench.check(&with_address, &[]).await;
    assert!(
        !is_well && said.contains("refuses to give us a token (4017300"),
        "{said}"
    );
    for table in ["transactions", "callbacks", "rejected_callbacks"] {
        assert_eq!(world.rows(table).await, 0);
    }
}

#[tokio::test]
async fn a_recorded_message_is_tried_and_has_no_effect() {
    let world = World::new().await;
    let bench = Bench::open(&world, "dana").await;
    let configuration = bench.configuration("dana");
    let acquirer = Acquirer::new("dana", SECRET, Some(&bench.theirs)).unwrap();
    let id = "tx_01890a5d3f2c7b3e8f00112233445566".parse().unwrap();
    let callback = Callback::new(
        Target::Transaction(id),
        wire::Rupiah::from_i64(50_000),
        "success",
        world.clock.now(),
    );
    let message = acquirer.message(PARTNER, &callback, "").unwrap();
    let record = |body: &[u8]| {
        let mut sample = format!("POST {} HTTP/1.1\r\n", message.path).into_bytes();
        for (name, value) in &message.headers {
            sample.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        sample.extend(b"\r\n");
        sample.extend(body);
        let path = bench.dir.path().join("sample.http");
        std::fs::write(&path, sample).unwrap();
        file(&path)
    };
    let sample = record(&message.body);
    let (is_well, said) = bench.check(&configuration, &["--sample", &sample]).await;
    assert!(is_well, "{said}");
    let expected = format!("{id}, Rp 50000, status 00 = success");
    assert!(said.contains(&expected), "{said}");
    let mut spoiled = message.body.clone();
    spoiled.push(b'x');
    let sample = record(&spoiled);
    let (is_well, said) = bench.check(&configuration, &["--sample", &sample]).await;
    assert!(
        !is_well && said.contains("signature is not believed"),
        "{said}"
    );
    assert_eq!(world.rows("callbacks").await, 0);
}
