//! pgbouncer between the platform and Postgres: session mode works, transaction mode is refused with what to change.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use tests::installed;
use tests::postgres_server::{Disk, NAME, PostgresServer, Programs, url_at};
use tests::prelude::*;
use tokio::process::Child;

/// A pgbouncer in front of a server, in this mode; it ends with its value.
async fn pgbouncer(dir: &Path, postgres: &PostgresServer, mode: &str) -> (Child, SocketAddr) {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|free| free.local_addr())
        .unwrap();
    let (port, to) = (address.port(), postgres.address.port());
    let config = format!(
        "[databases]\n{NAME} = host=127.0.0.1 port={to} dbname={NAME} user={NAME}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = {mode}\ndefault_pool_size = 60\nignore_startup_parameters = extra_float_digits\n"
    );
    let file = dir.join(format!("{mode}.ini"));
    std::fs::write(&file, config).unwrap();
    // It does not run as root either.
    let mut command = Programs::find().unwrap().command("/usr/sbin/pgbouncer");
    let child = command.arg("-q").arg(&file).spawn().unwrap();
    eventually("pgbouncer", || async {
        tokio::net::TcpStream::connect(address).await.ok()
    })
    .await;
    (child, address)
}

#[tokio::test]
async fn pgbouncer_works_in_session_mode_and_is_refused_in_transaction_mode() {
    let advice = "apt-get install pgbouncer";
    if installed::first(&["/usr/sbin/pgbouncer"], &["--version"], advice).is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let postgres = PostgresServer::create(dir.path(), Disk::ThrownAway, &[])
        .await
        .unwrap();
    let (_session, through_session) = pgbouncer(dir.path(), &postgres, "session").await;
    let (_transaction, through_transaction) = pgbouncer(dir.path(), &postgres, "transaction").await;

    let mut world = World::with(|config| {
        config.database.url = url_at(through_session);
        config.node.lease_s = 3;
    })
    .await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    // What is committed at one process is told to the other by NOTIFY.
    let neighbour = world.neighbour("node-2").await;
    let node = world.app().context().node();
    eventually("another node", || async { node.has_others().then_some(()) }).await;
    let mut soundbox = Soundbox::switch_on_at(neighbour.mqtt(), credentials.clone()).await;
    soundbox.next_config().await;
    let code = credentials.qr(&world, 50_000).await;
    let paid = world.acquirer().pay(code.transaction_id, 50_000).await;
    assert_eq!(paid.expect(200).data()["verdict"], "accepted");
    assert_eq!(soundbox.play().await.amount.to_i64(), 50_000);
    let told = world.metrics().await;
    assert!(
        told.contains("node_wakeups_received_total"),
        "it was found by polling"
    );
    ledger::must_balance(&world.pool).await;

    drop(neighbour);
    world.stop().await;
    world.reconfigure(|config| config.database.url = url_at(through_transaction));
    let refused = format!("{:#}", world.try_start().await.unwrap_err());
    assert!(refused.contains("pool_mode = session"), "{refused}");
}
