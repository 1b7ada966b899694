//! Short reads of the API that several stories use.

use tests::prelude::*;
use wire::TransactionId;

/// The open alerts of a kind, newest first.
pub(crate) async fn open_alerts(world: &World, kind: &str) -> Vec<Value> {
    let path = format!("/admin/alerts?state=open&kind={kind}");
    world.admin().list(&path).await
}

/// The only open alert of a kind.
pub(crate) async fn open_alert(world: &World, kind: &str) -> Value {
    let mut open = open_alerts(world, kind).await;
    assert_eq!(open.len(), 1, "{kind}: {open:?}");
    open.remove(0)
}

/// The open incidents, newest first, by their kinds.
pub(crate) async fn incidents(world: &World) -> Vec<String> {
    let list = world.admin().get("/admin/incidents?resolved=false").await;
    let list = list.expect(200).data();
    let kind = |incident: &Value| incident["kind"].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(kind).collect()
}

/// The unmatched money that is open, newest first.
pub(crate) async fn open_money(world: &World) -> Vec<Value> {
    let path = "/admin/unmatched-payments?status=open";
    world.admin().list(path).await
}

/// A transaction.
pub(crate) async fn transaction(world: &World, id: TransactionId) -> Value {
    world
        .admin()
        .read(&format!("/admin/transactions/{id}"))
        .await
}

/// A transaction's status, and whether it was late.
pub(crate) async fn state(world: &World, id: TransactionId) -> (String, bool) {
    let transaction = transaction(world, id).await;
    (
        transaction["status"].as_str().unwrap().to_owned(),
        transaction["late"].as_bool().unwrap(),
    )
}
