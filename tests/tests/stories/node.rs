//! Several processes on one database: their leases, what they tell each other, boxes that move between them, and processes
//! that die or are paused.

use nix::sys::signal::Signal;
use tests::prelude::*;

/// A platform whose lease lasts so long, with a shop and a box that has not connected yet.
async fn with_lease(lease_s: u32) -> (World, Shop, Credentials) {
    let world = World::with(|config| config.node.lease_s = lease_s).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    (world, shop, credentials)
}

/// Waits until the platform knows that another process is there.
async fn knows_another(world: &World) {
    let node = world.app().context().node();
    eventually("another node", || async { node.has_others().then_some(()) }).await;
}

async fn pay(world: &World, credentials: &Credentials, amount: i64) {
    let code = credentials.qr(world, amount).await;
    let paid = world.acquirer().pay(code.transaction_id, amount).await;
    assert_eq!(paid.expect(200).data()["verdict"], "accepted");
}

async fn wakeups_received(world: &World) -> u64 {
    let metrics = world.metrics().await;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("node_wakeups_received_total "));
    line.map_or(0, |count| count.parse().unwrap())
}

/// The node of this name, as the API shows it.
async fn node(world: &World, name: &str) -> Value {
    let nodes = world.admin().read("/admin/nodes").await;
    let nodes = nodes["nodes"].as_array().unwrap();
    let found = nodes.iter().find(|node| node["name"] == name);
    found.cloned().unwrap_or_default()
}

#[tokio::test]
async fn what_is_committed_at_one_node_is_told_to_the_node_of_the_box() {
    let (world, shop, credentials) = with_lease(3).await;
    let neighbour = world.neighbour("node-2").await;
    knows_another(&world).await;
    let mut soundbox = Soundbox::switch_on_at(neighbour.mqtt(), credentials.clone()).await;
    soundbox.next_config().await;
    assert_eq!(node(&world, "node-2").await["sessions"], 1);
    assert_eq!(node(&world, "node-1").await["sessions"], 0);

    pay(&world, &credentials, 50_000).await;
    assert_eq!(soundbox.play().await.amount.to_i64(), 50_000);
    let after_payment = wakeups_received(&world).await;
    assert!(after_payment > 0, "it was found by polling");

    let device = format!("/admin/devices/{}", credentials.device_id);
    let order = json!({ "type": "play_test", "payload": {} });
    let key = [("idempotency-key", "one")];
    let path = format!("{device}/commands");
    let answer = world.admin().post_with(&path, &key, &order).await;
    assert!(answer.status < 300, "{answer}");
    soundbox.next_command().await;
    let after_command = wakeups_received(&world).await;
    assert!(after_command > after_payment, "it was found by polling");

    let change = json!({ "volume": 3 });
    world
        .admin()
        .change(&format!("{device}/config"), &change)
        .await;
    soundbox.next_config().await;
    assert!(wakeups_received(&world).await > after_command);
    drop(shop);
}

#[tokio::test]
async fn a_box_that_connects_to_another_node_loses_its_older_connection() {
    let (world, _, credentials) = with_lease(3).await;
    let neighbour = world.neighbour("node-2").await;
    let older = Soundbox::switch_on(&world, credentials.clone()).await;
    let mut newer = Soundbox::switch_on_at(neighbour.mqtt(), credentials.clone()).await;
    // Its keep-alive would have ended it after a minute and a half.
    older.ended().await;
    pay(&world, &credentials, 50_000).await;
    newer.play().await;
    let here = "sessions WHERE connected AND node = 'node-2' AND epoch = 2";
    assert_eq!(world.rows(here).await, 1);
    assert_eq!(world.rows("device_presence WHERE online").await, 1);
    assert!(newer.repeated.is_empty());
}

#[tokio::test]
async fn the_boxes_of_a_node_that_was_killed_are_offline_and_come_back_elsewhere() {
    let (world, _, credentials) = with_lease(2).await;
    let process = world.node_parts("node-b", 2).start().await.unwrap();
    let soundbox = Soundbox::switch_on_at(process.mqtt, credentials.clone()).await;
    credentials.wait_for_online(&world, true).await;
    // What it was about to do is done by another.
    let dead = node(&world, "node-b").await["incarnation"]
        .as_i64()
        .unwrap();
    process.kill().await.unwrap();

    credentials.wait_for_online(&world, false).await;
    let events = format!("/admin/devices/{}/events", credentials.device_id);
    let last = world.admin().list(&events).await.remove(0);
    assert_eq!(last["details"]["reason"], "node_lost");
    let ended = node(&world, "node-b").await;
    assert_eq!(ended["end_reason"], "lease_over");
    assert_eq!(ended["incarnation"], dead);
    let connections = "pg_stat_activity a JOIN nodes n ON a.application_name = n.connections WHERE n.name = 'node-b'";
    assert_eq!(world.rows(connections).await, 0);

    pay(&world, &credentials, 50_000).await;
    let mut soundbox = soundbox.switch_off().await.reconnect(&world).await;
    soundbox.play().await;
    assert!(soundbox.repeated.is_empty());
    // It does not count as flapping.
    let flips = "device_flips WHERE at >= (SELECT max(at) FROM device_events WHERE details ->> 'reason' = 'node_lost')";
    assert_eq!(world.rows(flips).await, 1, "only that it came back");
}

#[tokio::test]
async fn a_node_that_was_paused_past_its_lease_speaks_for_no_box_and_goes_on_with_another_lease() {
    let (world, _, credentials) = with_lease(2).await;
    let process = world.node_parts("node-b", 2).start().await.unwrap();
    let soundbox = Soundbox::switch_on_at(process.mqtt, credentials.clone()).await;
    let before = node(&world, "node-b").await["incarnation"]
        .as_i64()
        .unwrap();
    knows_another(&world).await;
    process.signal(Signal::SIGSTOP).unwrap();
    // The paused process is told of this one, and hears it when it goes on.
    pay(&world, &credentials, 10_000).await;
    let lost = "nodes WHERE name = 'node-b' AND end_reason = 'lease_over'";
    world.wait_for_rows(lost, 1).await;
    let mut soundbox = soundbox.switch_off().await.reconnect(&world).await;
    assert_eq!(soundbox.play().await.amount.to_i64(), 10_000);

    process.signal(Signal::SIGCONT).unwrap();
    let again =
        format!("nodes WHERE name = 'node-b' AND ended_at IS NULL AND incarnation > {before}");
    world.wait_for_rows(&again, 1).await;
    pay(&world, &credentials, 20_000).await;
    assert_eq!(soundbox.play().await.amount.to_i64(), 20_000);

    let here = "sessions WHERE connected AND node = 'node-1'";
    assert_eq!(world.rows(here).await, 1);
    assert!(soundbox.repeated.is_empty());
    world
        .wait_for_rows("notifications WHERE status = 'played'", 2)
        .await;
    // It serves boxes again.
    let other = Credentials::unbound(&world).await;
    let _there = Soundbox::switch_on_at(process.mqtt, other.clone()).await;
    assert_eq!(node(&world, "node-b").await["sessions"], 1);
}

#[tokio::test]
async fn a_second_process_of_a_name_is_refused_while_the_first_is_there() {
    let mut world = World::with(|config| config.node.lease_s = 3).await;
    let refused = world.node_parts("node-1", 3).refused().await.unwrap();
    assert!(
        refused.contains("another process with the name \"node-1\" is running"),
        "{refused}"
    );
    // One that has died leaves it, whatever is left of its lease.
    world.crash();
    world.start().await;
    assert_eq!(node(&world, "node-1").await["end_reason"], Value::Null);
}

#[tokio::test]
async fn what_a_dead_node_had_taken_is_due_again() {
    let (world, _, _) = with_lease(2).await;
    let statements = "
        INSERT INTO nodes (name, incarnation, version, connections, backend_pid, started_at, renewed_at, lease_until)
        VALUES ('node-b', nextval('node_incarnations'), '0', 'none', 0, now(), now(), now());
        INSERT INTO alert_groups (id, channel, kind, began_at, joined_at) SELECT gen_random_uuid(), 'c', 'k', now(), now();
        INSERT INTO alert_messages (id, group_id, channel, phase, title, body, due_at, created_at, taken_by)
        SELECT gen_random_uuid(), g.id, 'c', 'began', 't', 'b', now() + interval '1 hour', now(), n.incarnation
        FROM alert_groups g, nodes n WHERE n.name = 'node-b'";
    world.execute(statements).await;
    let due = "alert_messages WHERE taken_by IS NULL AND due_at < now() + interval '1 minute'";
    world.wait_for_rows(due, 1).await;
}
