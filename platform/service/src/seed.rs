//! Demonstration data: merchants, outlets, terminals and boxes, the same at every call.

use domain::device::DeviceStatus;
use serde::{Deserialize, Serialize};
use store::{Page, Scope};
use utoipa::ToSchema;
use wire::ids::{DeviceId, MerchantId, OutletId, TerminalId};

use super::fleet::device::NewDevice;
use super::fleet::{binding, device};
use super::shop::merchant::NewMerchant;
use super::shop::outlet::NewOutlet;
use super::shop::terminal::NewTerminal;
use super::shop::{merchant, outlet, terminal};
use super::{Error, Result, UnitOfWork};

/// How many boxes may be asked for.
const DEVICES_MAX: u32 = 1000;
const DEVICES_DEFAULT: u32 = 3;

/// How much demonstration data is wanted.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeedRequest {
    /// How many boxes; 3 unless said otherwise.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 100)]
    pub devices: Option<u32>,
}

/// The demonstration data.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct Seeded {
    pub merchants: Vec<SeededMerchant>,
    pub devices: Vec<SeededDevice>,
}

/// One merchant of it.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct SeededMerchant {
    pub merchant_id: MerchantId,
    pub brand_name: String,
    pub outlet_ids: Vec<OutletId>,
    pub terminal_ids: Vec<TerminalId>,
}

/// One box of it.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct SeededDevice {
    pub device_id: DeviceId,
    pub serial_number: String,
    pub terminal_id: TerminalId,
    /// A fresh code while the box was not activated; null afterwards.
    pub activation_code: Option<String>,
}

struct Shop {
    code: &'static str,
    legal_name: &'static str,
    brand_name: &'static str,
    city: &'static str,
    account: &'static str,
    terminals: &'static [&'static str],
}

const SHOPS: [Shop; 2] = [
    Shop {
        code: "m_demo0001",
        legal_name: "CV Sari Rasa Nusantara",
        brand_name: "Warung Sari Rasa",
        city: "JAKARTA SELATAN",
        account: "bank:1234567890",
        terminals: &["Kasir 1", "Kasir 2"],
    },
    Shop {
        code: "m_demo0002",
        legal_name: "PT Kopi Fajar Bandung",
        brand_name: "Kopi Fajar",
        city: "BANDUNG",
        account: "bank:9876543210",
        terminals: &["Bar"],
    },
];

/// Makes sure that the demonstration data is there.
///
/// # Errors
/// [`Error::Forbidden`] unless the configuration allows it.
pub async fn seed(unit: &mut UnitOfWork, request: &SeedRequest) -> Result<Seeded> {
    if !unit.context().settings().demo {
        return Err(Error::Forbidden("demo.enabled is off"));
    }
    let count = request.devices.unwrap_or(DEVICES_DEFAULT);
    if count > DEVICES_MAX {
        return Err(Error::field("devices", format!("at most {DEVICES_MAX}")));
    }
    store::serialise(unit.conn(), "seed").await?;
    let mut merchants = Vec::new();
    for shop in &SHOPS {
        merchants.push(ensure_shop(unit, shop).await?);
    }
    let terminals: Vec<TerminalId> = merchants
        .iter()
        .flat_map(|merchant| merchant.terminal_ids.clone())
        .collect();
    let mut devices = Vec::new();
    for (number, terminal_id) in (1..=count).zip(terminals.iter().cycle()) {
        devices.push(ensure_device(unit, number, *terminal_id).await?);
    }
    Ok(Seeded { merchants, devices })
}

async fn ensure_shop(unit: &mut UnitOfWork, shop: &Shop) -> Result<SeededMerchant> {
    if let Some(found) = store::shop::merchant::find_by_code(unit.conn(), shop.code).await? {
        let all = Page {
            limit: 200,
            after: None,
        };
        let scope = Scope::Merchant(found.id);
        let outlets = store::shop::outlet::list(unit.conn(), scope, all).await?;
        let mut terminals = store::shop::terminal::list(unit.conn(), scope, None, all).await?;
        terminals.reverse();
        return Ok(SeededMerchant {
            merchant_id: found.id,
            brand_name: found.brand_name,
            outlet_ids: outlets.into_iter().map(|outlet| outlet.id).collect(),
            terminal_ids: terminals.into_iter().map(|terminal| terminal.id).collect(),
        });
    }
    let new = NewMerchant {
        legal_name: shop.legal_name.into(),
        brand_name: shop.brand_name.into(),
        settlement_account_reference: Some(shop.account.into()),
        settlement_account_type: Some("merchant_bank_account".into()),
        payout_account_reference: None,
        payout_mode: None,
        fee_profile_id: None,
        nmid: None,
        merchant_pan: None,
        partner_merchant_id: None,
        merchant_criteria: None,
        mcc: None,
        city: Some(shop.city.into()),
        postal_code: None,
        contact: None,
    };
    let created = merchant::create_with_code(unit, new, shop.code.into()).await?;
    merchant::approve(unit, created.id).await?;
    let new = NewOutlet {
        name: format!("{} Pusat", shop.brand_name),
        address: None,
        city: None,
        postal_code: None,
        timezone: None,
        partner_store_id: None,
    };
    let outlet = outlet::create(unit, created.id, new).await?;
    let mut terminal_ids = Vec::new();
    for name in shop.terminals {
        let new = NewTerminal {
            name: (*name).into(),
            terminal_label: None,
            qr_mode: None,
            partner_terminal_id: None,
        };
        terminal_ids.push(terminal::create(unit, outlet.id, new).await?.terminal.id);
    }
    Ok(SeededMerchant {
        merchant_id: created.id,
        brand_name: created.brand_name,
        outlet_ids: vec![outlet.id],
        terminal_ids,
    })
}

async fn ensure_device(
    unit: &mut UnitOfWork,
    number: u32,
    terminal_id: TerminalId,
) -> Result<SeededDevice> {
    let serial_number = format!("DEMO-{number:04}");
    let (device_id, activation_code) =
        match store::fleet::device::id_by_serial(unit.conn(), &serial_number).await? {
            None => {
                let capabilities = ["speaker", "display", "dynamic_qr"]
                    .map(str::to_owned)
                    .to_vec();
                let new = NewDevice {
                    tags: Vec::new(),
                    serial_number: serial_number.clone(),
                    model: "SB-1".into(),
                    capabilities,
                    communication_mode: None,
                    profile: None,
                    imei: None,
                    product_key: None,
                };
                let registered = device::create(unit, new).await?;
                binding::bind(unit, registered.device.id, terminal_id).await?;
                (registered.device.id, registered.activation_code)
            }
            Some(device_id) => {
                let found = device::view(unit, device_id).await?;
                let waits = found.status == DeviceStatus::Registered;
                let code = if waits {
                    device::renew_activation_code(unit, device_id)
                        .await?
                        .activation_code
                } else {
                    None
                };
                (device_id, code)
            }
        };
    let bound = store::fleet::binding::find_active(unit.conn(), device_id).await?;
    Ok(SeededDevice {
        device_id,
        serial_number,
        terminal_id: bound.map_or(terminal_id, |binding| binding.terminal_id),
        activation_code,
    })
}
