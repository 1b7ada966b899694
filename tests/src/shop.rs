//! A merchant with its outlet and terminals, made through the API as an operator would.

use serde_json::{Value, json};
use wire::{MerchantId, OutletId, TerminalId};

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

/// One till.
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
    /// Opens a shop with this many tills.
    pub async fn open(world: &World, name: &str, tills: usize) -> Self {
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
        let created = admin
            .post("/admin/merchants", &merchant)
            .await
            .expect(201)
            .data();
        let merchant_id = text(&created, "id");
        let approved = world.approve(&merchant_id).await;
        let outlet = admin
            .post(
                &format!("/admin/merchants/{merchant_id}/outlets"),
                &json!({ "name": "Pusat", "address": "Jalan Merdeka 1", "city": "JAKARTA", "postal_code": "10110" }),
            )
            .await
            .expect(201)
            .data();
        let mut shop = Self {
            merchant_id: merchant_id.parse().unwrap(),
            nmid: text(&approved, "nmid"),
            outlet_id: text(&outlet, "id").parse().unwrap(),
            terminals: Vec::new(),
        };
        for till in 1..=tills {
            shop.add_till(world, &format!("Kasir {till}")).await;
        }
        shop
    }

    /// Puts up another till.
    pub async fn add_till(&mut self, world: &World, name: &str) -> &Terminal {
        let created = world
            .admin()
            .post(
                &format!("/admin/outlets/{}/terminals", self.outlet_id),
                &json!({ "name": name }),
            )
            .await
            .expect(201)
            .data();
        self.terminals.push(Terminal {
            id: text(&created, "id").parse().unwrap(),
            label: text(&created, "terminal_label"),
            static_qr_payload: text(&created, "static_qr_payload"),
        });
        self.terminals.last().unwrap()
    }

    /// The first till.
    pub fn till(&self) -> &Terminal {
        &self.terminals[0]
    }
}

/// A field that is text.
pub fn text(value: &Value, field: &str) -> String {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} is no text in {value}"))
        .to_owned()
}
