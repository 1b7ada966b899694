//! A shop whose settlements are paid by a payout partner.

use domain::role::Role;
use platform::config::Config;
use serde_json::{Value, json};

use crate::api::{Answer, Api};
use crate::credentials::Credentials;
use crate::eventually::eventually;
use crate::ledger;
use crate::payout_partner::{Behaviour, PayoutPartner};
use crate::shop::Shop;
use crate::world::World;

/// The platform, the shop with one box, the partner, and a client of finance.
pub struct Payouts {
    /// The platform.
    pub world: World,
    /// The payout partner.
    pub partner: PayoutPartner,
    /// The shop.
    pub shop: Shop,
    /// Its box.
    pub device: Credentials,
    /// A client of finance.
    pub finance: Api,
}

impl Payouts {
    /// With a partner that behaves so.
    pub async fn open(behaviour: Behaviour) -> Self {
        Self::with(behaviour, PayoutPartner::configure).await
    }

    /// The same, configured in another way.
    pub async fn with(behaviour: Behaviour, configure: fn(&PayoutPartner, &mut Config)) -> Self {
        let partner = PayoutPartner::open(behaviour).await;
        let world = World::with(|config| configure(&partner, config)).await;
        let shop = Shop::open(&world, "Warung Sari", 1).await;
        let device = Credentials::at(&world, shop.terminal().id).await;
        let finance = world.staff(Role::Finance).await;
        Self {
            world,
            partner,
            shop,
            device,
            finance,
        }
    }

    /// Sells for these amounts, before the cutoff of a run that follows.
    pub async fn sell(&self, amounts: &[i64]) {
        for amount in amounts {
            self.device.sell(&self.world, *amount).await;
        }
        self.world.later(1);
    }

    /// Runs the settlements; the id of the first that was made.
    pub async fn run(&self) -> String {
        ledger::settle(&self.finance).await
    }

    /// A settlement.
    pub async fn read(&self, id: &str) -> Value {
        self.finance.read(&format!("/admin/settlements/{id}")).await
    }

    /// Waits for a status of a settlement.
    pub async fn becomes(&self, id: &str, status: &str) -> Value {
        eventually(status, || async {
            // The worker's intervals use the platform's clock.
            self.world.later(1);
            let settlement = self.read(id).await;
            (settlement["status"] == status).then_some(settlement)
        })
        .await
    }

    /// Requests another payout of a settlement.
    pub async fn retry(&self, id: &str) -> Answer {
        let path = format!("/admin/settlements/{id}/retry-payout");
        self.finance.post_once(&path, &json!({})).await
    }
}
