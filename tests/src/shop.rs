//! A merchant with its outlet and terminals, made through the API as an operator would.

use serde_json::{Value, json};
use wire::{MerchantId, OutletId, TerminalId};

use crate::acquirer::{reference, static_success};
use crate::fields::text;
use crate::world::World;

/// An approved merchant of criteria UME (0.7 %), with one outlet.
#[derive(Debug, Clone)]
pub struct Shop {
    /// The merchant.
    pub merchant_id: MerchantId,
    /// Its NMID.
    pub nmid: String,
    /// Its outlet.
    pub outlet_id: OutletId,
    /// Its terminals.
    pub terminals: Vec<Terminal>,
}

/// One terminal.
#[derive(Debug, Clone)]
pub struct Terminal {
    /// Its id.
    pub id: TerminalId,
    /// Tag 62.07.
    pub label: String,
    /// The printed code.
    pub static_qr_payload: String,
}

impl Shop {
    /// Opens a shop with this many terminals.
    pub async fn open(world: &World, name: &str, terminals: usize) -> Self {
        let admin = world.admin();
        let merchant = json!({
            "legal_name": format!("PT {name}"),
            "brand_name": name,
            "settlement_account_reference": "bank:9876543210",
            "settlement_account_type": "merchant_bank_account",
            "payout_mode": "merchant_direct",
            "fee_profile_id": "fee_basic",
            "merchant_criteria": "UME",
        });
        let created = admin.create("/admin/merchants", &merchant).await;
        let merchant_id = text(&created, "id");
        let approved = world.approve(&merchant_id).await;
        let outlet = json!({ "name": "Pusat", "address": "Jalan Merdeka 1", "city": "JAKARTA", "postal_code": "10110" });
        let path = format!("/admin/merchants/{merchant_id}/outlets");
        let outlet = admin.create(&path, &outlet).await;
        let mut shop = Self {
            merchant_id: merchant_id.parse().unwrap(),
            nmid: text(&approved, "nmid"),
            outlet_id: text(&outlet, "id").parse().unwrap(),
            terminals: Vec::new(),
        };
        for terminal in 1..=terminals {
            shop.add_terminal(world, &format!("Kasir {terminal}")).await;
        }
        shop
    }

    /// Adds a terminal.
    pub async fn add_terminal(&mut self, world: &World, name: &str) -> &Terminal {
        let path = format!("/admin/outlets/{}/terminals", self.outlet_id);
        let created = world.admin().create(&path, &json!({ "name": name })).await;
        self.terminals.push(Terminal {
            id: text(&created, "id").parse().unwrap(),
            label: text(&created, "terminal_label"),
            static_qr_payload: text(&created, "static_qr_payload"),
        });
        self.terminals.last().unwrap()
    }

    /// The merchant's path in the API.
    pub fn path(&self) -> String {
        format!("/admin/merchants/{}", self.merchant_id)
    }

    /// Changes the merchant through the API.
    pub async fn change(&self, world: &World, change: Value) -> Value {
        world.admin().change(&self.path(), &change).await
    }

    /// Changes the merchant's status through the API.
    pub async fn set_status(&self, world: &World, status: &str) -> Value {
        self.change(world, json!({ "status": status })).await
    }

    /// The callback about a payment of its first terminal's printed code, now.
    pub fn printed_payment(&self, world: &World, amount: i64) -> Value {
        self.printed_payment_at(world, 0, amount)
    }

    /// The same of the terminal at this place.
    pub fn printed_payment_at(&self, world: &World, place: usize, amount: i64) -> Value {
        let (label, now) = (&self.terminals[place].label, world.clock.now());
        static_success(&self.nmid, label, amount, &reference(), now)
    }

    /// The first terminal.
    pub fn terminal(&self) -> &Terminal {
        &self.terminals[0]
    }
}
