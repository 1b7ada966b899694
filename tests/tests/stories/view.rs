//! What the API says of things, in short.

use serde_json::Value;
use tests::World;
use wire::TransactionId;

/// A transaction.
pub(crate) async fn transaction(world: &World, id: TransactionId) -> Value {
    world
        .admin()
        .get(&format!("/admin/transactions/{id}"))
        .await
        .expect(200)
        .data()
}

/// A transaction's state, and whether it came late.
pub(crate) async fn state(world: &World, id: TransactionId) -> (String, bool) {
    let transaction = transaction(world, id).await;
    (
        transaction["status"].as_str().unwrap().to_owned(),
        transaction["late"].as_bool().unwrap(),
    )
}
