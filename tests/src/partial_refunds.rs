//! A SNAP bank that takes back parts of payments: the standard's dialect with what it says of refunds.

use domain::dialect;
use platform::config::{Config, NotifySignature, QrisProfile};

use crate::credentials::Credentials;
use crate::snap::{self, BANK, SnapPartner};
use crate::snap_partner_api::{SnapPartnerApi, terminal};
use crate::world::World;

/// A platform with this bank, and a box at a terminal of a merchant that is paid out by hand.
pub struct Scene {
    /// The platform.
    pub world: World,
    /// The bank, as it calls us.
    pub partner: SnapPartner,
    /// The bank, as we call it.
    pub api: SnapPartnerApi,
    /// The box.
    pub credentials: Credentials,
}

/// The file of the dialect.
fn file() -> String {
    let standard = dialect::source("snap").unwrap();
    let parts = "partial_refunds = true\nreference_length = 35";
    let fields = "refund_no = [\"/additionalInfo/refundNo\"]\n\
                  refund_amount = [\"/additionalInfo/refundAmount/value\"]\ncurrency =";
    standard
        .replace("name = \"snap\"", "name = \"parts\"")
        .replace("reference_length = 35", parts)
        .replacen("currency =", fields, 1)
}

/// Has the bank speak this dialect.
fn configure(config: &mut Config) {
    let path = config.data_dir.join("parts.toml");
    std::fs::write(&path, file()).unwrap();
    let bank = config.qris_partners.get_mut(BANK).unwrap();
    bank.profile = QrisProfile::default();
    bank.dialect = path.display().to_string();
}

impl Scene {
    /// Opens it.
    pub async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with another configuration.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let api = SnapPartnerApi::open().await;
        let (world, partner) = snap::world_with(NotifySignature::Symmetric, |config| {
            api.configure(config);
            configure(config);
            config.payments.partner_timeout_ms = 500;
            change(config);
        })
        .await;
        let terminal = terminal(&world).await;
        let credentials = Credentials::at(&world, terminal).await;
        Self {
            world,
            partner,
            api,
            credentials,
        }
    }
}
