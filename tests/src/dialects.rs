//! A platform whose acquirer speaks a dialect, and the simulator's acquirer on the other side.

use device_sim::partner::dialect::{Acquirer, Message};
use device_sim::partner::{Callback, Target};
use platform::config::{Config, QrisPartner};
use reqwest::Method;
use wire::{Rupiah, TransactionId};

use crate::api::Answer;
use crate::simulator;
use crate::snap::{new_key, private_pem};
use crate::world::World;

/// The partner's id.
pub const PARTNER: &str = "bank";
/// The secret that both sides have.
pub const SECRET: &str = "the secret of an acquirer";

/// An acquirer of a platform.
pub struct Speaker {
    acquirer: Acquirer,
    api: device_sim::api::Api,
}

/// Configures the partner: its dialect is a built-in one, or a file.
pub fn configure(config: &mut Config, dialect: &str, public_pem: &str) {
    let write = |name: &str, text: &str| {
        let file = config.data_dir.join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let secret = write("dialect.secret", SECRET);
    let key = write("dialect.pem", public_pem);
    // Dialects that are not SNAP have no key.
    let has_key = !matches!(dialect, "midtrans" | "doku" | "xendit");
    let partner = QrisPartner {
        dialect: dialect.to_owned(),
        secret_files: vec![secret],
        public_key_files: if has_key { vec![key] } else { Vec::new() },
        ..QrisPartner::default()
    };
    config.qris_partners.insert(PARTNER.to_owned(), partner);
    config.payments.qr_partner = PARTNER.to_owned();
}

/// A platform whose merchants are registered with an acquirer of this dialect.
pub async fn world(name: &str) -> (World, Speaker) {
    let (key, public_pem) = new_key();
    let world = World::with(|config| configure(config, name, &public_pem)).await;
    let acquirer = Acquirer::new(name, SECRET, Some(&private_pem(&key))).unwrap();
    let api = simulator::api(&world);
    (world, Speaker { acquirer, api })
}

impl Speaker {
    /// This acquirer's code of a status.
    pub fn code(&self, status: &str) -> &'static str {
        self.acquirer.code(status)
    }

    /// A message of this acquirer, signed now.
    pub async fn message(&self, callback: &Callback) -> Message {
        let mut token = String::new();
        if let Some(path) = self.acquirer.token_path() {
            token = self.acquirer.token(&self.api, PARTNER, path).await.unwrap();
        }
        let mut message = self.acquirer.message(PARTNER, callback, &token).unwrap();
        if !token.is_empty() {
            message
                .headers
                .push(("authorization", format!("Bearer {token}")));
        }
        message
    }
}

/// Sends a message unchanged.
pub async fn post(world: &World, message: &Message) -> Answer {
    let headers: Vec<(&str, &str)> = message
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let api = world.anonymous().unchecked();
    api.call(
        Method::POST,
        &message.path,
        &headers,
        Some(message.body.clone()),
    )
    .await
}

/// What an acquirer says of one of our codes.
pub fn callback(
    world: &World,
    id: TransactionId,
    amount: i64,
    reference: &str,
    status: &str,
) -> Callback {
    Callback {
        partner_reference: reference.to_owned(),
        ..Callback::new(
            Target::Transaction(id),
            Rupiah::from_i64(amount),
            status,
            world.clock.now(),
        )
    }
}
