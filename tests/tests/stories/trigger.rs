//! `device-sim trigger EVENT` makes each event happen that endpoints are told of.

use clap::ValueEnum as _;
use device_sim::output::Output;
use device_sim::trigger::{self, Event};
use tests::prelude::*;
use tests::simulator::environment;
use tests::webhook_receiver::WebhookReceiver;
use wire::Rupiah;

#[tokio::test]
async fn each_event_is_told_of_after_it_was_triggered() {
    let world = World::with(WebhookReceiver::allow).await;
    let receiver = WebhookReceiver::open().await;
    let names: Vec<String> = Event::value_variants()
        .iter()
        .map(|event| event.to_possible_value().unwrap().get_name().to_owned())
        .collect();
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    let endpoint = text(&receiver.join(&world.admin(), &wanted).await, "id");
    let dir = tempfile::tempdir().unwrap();
    let amount = Rupiah::from_i64(50_000);
    for (event, name) in Event::value_variants().iter().zip(&names) {
        let mut environment = environment(&world).await;
        environment.dir = Some(dir.path().to_owned());
        let told = receiver.taken().len();
        let endpoint = Some(endpoint.clone());
        trigger::run(*event, endpoint, amount, environment, Output::new(true))
            .await
            .unwrap();
        eventually(name, || async {
            let taken = receiver.taken();
            taken[told..]
                .iter()
                .any(|one| one.event() == *name)
                .then_some(())
        })
        .await;
    }
}
