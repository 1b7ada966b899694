//! Boxes of other makers by the simulator's command line: one that asks for its settings, fleets, scenarios, chaos.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum as _;
use device_sim::cli;
use device_sim::vendor::firmware::Model;
use futures_util::future::{join, join_all};
use tests::acquirer::{OURS, secret_of};
use tests::prelude::*;
use tests::vendor_box::{VendorBox, listeners};

/// The simulator's command line in a directory of its own.
struct CommandLine {
    dir: tempfile::TempDir,
    server: Vec<String>,
    admin: Vec<String>,
    paying: Vec<String>,
}

impl CommandLine {
    async fn of(world: &World) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.into_os_string().into_string().unwrap()
        };
        let pair = |flag: &str, value: String| [flag.to_owned(), value];
        let ca = write("ca.pem", world.app().root_pem());
        let token = write("token", &world.token(Role::Admin).await);
        let secret = write("secret", &secret_of(OURS));
        Self {
            server: [pair("--url", world.url()), pair("--ca", ca)].concat(),
            admin: pair("--admin-token-file", token).to_vec(),
            paying: [
                pair("--partner-secret-file", secret),
                pair("--partner-id", OURS.to_owned()),
            ]
            .concat(),
            dir,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    /// Runs it with these arguments, separated by blanks, and these groups of more.
    fn run(&self, arguments: &str, more: &[&[String]]) -> impl Future<Output = ExitCode> + use<> {
        let words = format!("device-sim --json {arguments}");
        let mut all: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        all.extend(more.concat());
        let ended = tokio::task::spawn_blocking(|| cli::run_with(all).unwrap());
        async { ended.await.unwrap() }
    }
}

async fn pay(world: &World, shop: &Shop, amount: i64) {
    let paid = shop.printed_payment(world, amount);
    world.acquirer().verdict(&paid).await;
}

async fn online(world: &World, boxes: usize) {
    eventually("the boxes are online", async || {
        let online = world.admin().list("/admin/devices?online=true").await;
        (online.len() == boxes).then_some(())
    })
    .await;
}

/// Waits until each notification there is has been received, one for each box and payment.
async fn all_received(world: &World, count: i64) {
    eventually("everything is received", async || {
        let received = "notifications WHERE status = 'received'";
        (world.rows(received).await == count).then_some(())
    })
    .await;
    assert_eq!(world.rows("notifications").await, count);
}

#[tokio::test]
async fn a_qf100_without_credentials_asks_for_its_settings_and_hears_a_payment() {
    let world = World::with(listeners).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let own = VendorBox::at(&world, "qf100", "QF-1", shop.terminal().id).await;
    let line = CommandLine::of(&world).await;
    let dir = line.path("box");
    let run = format!(
        "run --profile qf100 --dir {} --serial QF-1 --imei 860000000000017 --plain --for 8s",
        dir.display()
    );
    // Nobody lets it ask.
    assert_eq!(line.run(&run, &[&line.server]).await, ExitCode::FAILURE);
    assert!(!dir.exists());
    let open = format!("{}/bootstrap", own.path());
    world.admin().act(&open, &json!({ "calls": 1 })).await;
    let running = line.run(&run, &[&line.server]);
    let hearing = async {
        online(&world, 1).await;
        pay(&world, &shop, 50_000).await;
        all_received(&world, 1).await;
    };
    let (code, ()) = join(running, hearing).await;
    assert_eq!(code, ExitCode::SUCCESS);
    // It keeps what it was told, and does not ask again.
    let again = run.replace("--for 8s", "--for 1s");
    assert_eq!(line.run(&again, &[&line.server]).await, ExitCode::SUCCESS);
    let audited = "audit_logs WHERE action = 'device.bootstrap'";
    assert_eq!(world.rows(audited).await, 1);
}

#[tokio::test]
async fn a_fleet_of_qf100_asks_for_its_settings() {
    let world = World::with(listeners).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let line = CommandLine::of(&world).await;
    let fleet = format!(
        "fleet --dir {} --count 3 --profile qf100 --dev-config --plain --terminal {} --for 8s",
        line.path("fleet").display(),
        shop.terminal().id
    );
    let running = line.run(&fleet, &[&line.server, &line.admin]);
    let hearing = async {
        online(&world, 3).await;
        pay(&world, &shop, 50_000).await;
        all_received(&world, 3).await;
    };
    let (code, ()) = join(running, hearing).await;
    assert_eq!(code, ExitCode::SUCCESS);
    let audited = "audit_logs WHERE action = 'device.bootstrap'";
    assert_eq!(world.rows(audited).await, 3);
}

#[tokio::test]
async fn a_fleet_of_each_maker_hears_a_payment() {
    let each = Model::value_variants().iter().enumerate();
    join_all(each.map(async |(number, model)| {
        let world = World::with(listeners).await;
        let shop = Shop::open(&world, "Warung Sari", 1).await;
        let line = CommandLine::of(&world).await;
        let fleet = format!(
            "fleet --dir {} --count 2 --profile {} --terminal {} --for 6s{}",
            line.path("fleet").display(),
            model.as_str(),
            shop.terminal().id,
            if number % 2 == 0 { " --plain" } else { "" },
        );
        let running = line.run(&fleet, &[&line.server, &line.admin]);
        let hearing = async {
            online(&world, 2).await;
            pay(&world, &shop, 50_000).await;
            all_received(&world, 2).await;
        };
        let (code, ()) = join(running, hearing).await;
        assert_eq!(code, ExitCode::SUCCESS, "{model:?}");
    }))
    .await;
}

#[tokio::test]
async fn a_scenario_of_each_maker_is_heard_once_each() {
    let world = World::with(listeners).await;
    let line = CommandLine::of(&world).await;
    for model in Model::value_variants() {
        let name = model.as_str();
        let scenario = format!(
            r#"
            name = "{name}"
            boxes = {{ count = 2, profile = "{name}", plain = true, heartbeat = "1s" }}
            phase = [
                {{ do = "connect" }},
                {{ do = "pay", payments = 6, rate = 20, qr = "static" }},
                # A box that does not tell repetitions says a payment again whose PUBACK the storm cuts off.
                {{ do = "settle" }},
                {{ do = "wait", for = "500ms" }},
                {{ do = "reconnect_storm" }},
                {{ do = "pay", payments = 4, rate = 20, qr = "static" }},
            ]
            "#
        );
        let file = line.file(&format!("{name}.toml"), &scenario);
        let more = [&line.server[..], &line.admin, &line.paying];
        let code = line.run(&format!("scenario {file}"), &more).await;
        assert_eq!(code, ExitCode::SUCCESS, "{name}");
    }
    let file = line.file(
        "dynamic.toml",
        "name = \"dynamic\"\nboxes = { count = 1, profile = \"q161\" }\nphase = [{ do = \"pay\", payments = 1, rate = 1 }]\n",
    );
    let more = [&line.server[..], &line.admin, &line.paying];
    let refused = line.run(&format!("scenario {file}"), &more).await;
    assert_eq!(refused, ExitCode::FAILURE);
}

#[tokio::test]
async fn chaos_costs_no_maker_a_payment() {
    let world = World::with(listeners).await;
    let line = CommandLine::of(&world).await;
    join_all(Model::value_variants().iter().map(async |model| {
        let chaos = format!(
            "chaos --box-profile {} --plain --count 3 --for 5s --pay-rate 4 --reboot-storm-every 2s --seed 20260524",
            model.as_str()
        );
        let more = [&line.server[..], &line.admin, &line.paying];
        let code = line.run(&chaos, &more).await;
        assert_eq!(code, ExitCode::SUCCESS, "{model:?}");
    }))
    .await;
}
