//! What has to be there before anything is played: merchants, tokens, boxes' credentials, and the hand-out that names them.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use domain::role::Role;
use platform::app::App;
use platform::config::Config;

use super::api::{Api, Seeded};
use super::demo_file::{DemoFile, Device, Earlier, Merchant};
use super::partner::Partners;
use super::{Plan, boxes, logins, partner, private_file, tokens};

/// Everything that exists once the demonstration is ready.
pub(super) struct Setup {
    pub(super) demo: DemoFile,
    pub(super) seeded: Seeded,
    pub(super) api: Api,
    pub(super) ca_file: PathBuf,
    pub(super) partner_secret_file: PathBuf,
    pub(super) bank_secret_file: PathBuf,
    /// Locked while boxes may run.
    pub(super) lock: File,
}

pub(super) async fn set_up(
    config: &Config,
    plan: &Plan,
    app: &App,
    simulator: Option<&Path>,
    partners: Partners,
) -> anyhow::Result<Setup> {
    let data_dir = config.data_dir();
    let ca_file = data_dir.join("ca.pem");
    private_file::write(&ca_file, app.root_pem().as_bytes(), 0o644)?;
    let host = |address: SocketAddr| reachable(address, config);
    let api_url = format!(
        "https://{}",
        with_port(&host(app.http_addr()), app.http_addr())
    );
    let mqtt_host = host(app.mqtt_addr());
    let metrics_host = match app.metrics_addr().ip() {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        ip => ip.to_string(),
    };

    let earlier = Earlier::read(&data_dir);
    let context = app.context();
    let mut tokens_by_role = BTreeMap::new();
    for role in Role::ALL
        .iter()
        .copied()
        .filter(|role| !role.is_of_merchant())
    {
        let token = tokens::ensure(context, &earlier.tokens, role, None).await?;
        tokens_by_role.insert(role.as_str().to_owned(), token);
    }
    let admin = tokens_by_role
        .get(Role::Admin.as_str())
        .cloned()
        .unwrap_or_default();
    let api = Api::new(&api_url, app.root_pem(), &admin)?;
    let seeded = api.seed(plan.boxes).await?;
    let merchant_id = seeded
        .merchants
        .first()
        .map(|merchant| merchant.merchant_id);
    for role in Role::ALL
        .iter()
        .copied()
        .filter(|role| role.is_of_merchant())
    {
        let token = tokens::ensure(context, &earlier.tokens, role, merchant_id).await?;
        tokens_by_role.insert(role.as_str().to_owned(), token);
    }

    let mut logins_by_role = BTreeMap::new();
    for role in Role::ALL.iter().copied() {
        let of_merchant = merchant_id.filter(|_| role.is_of_merchant());
        let login = logins::ensure(context, &earlier.logins, role, of_merchant).await?;
        logins_by_role.insert(role.as_str().to_owned(), login);
    }

    let lock = boxes::lock(&data_dir).await?;
    let server = boxes::Server {
        api_url: &api_url,
        mqtt_host: &mqtt_host,
        mqtt_port: app.mqtt_addr().port(),
        ca_file: &ca_file,
        ca_pem: app.root_pem(),
    };
    let dirs = match simulator {
        Some(simulator) => {
            boxes::prepare(&data_dir, simulator, &api, &server, &seeded.devices).await?
        }
        None => Vec::new(),
    };
    let demo = DemoFile {
        api_url: api_url.clone(),
        mqtt_host: mqtt_host.clone(),
        mqtt_port: app.mqtt_addr().port(),
        metrics_url: format!("http://{}", with_port(&metrics_host, app.metrics_addr())),
        ca_file: ca_file.clone(),
        database_url: app
            .embedded_database_url()
            .unwrap_or(&config.database.url)
            .to_owned(),
        tokens: tokens_by_role,
        logins: logins_by_role,
        merchants: seeded
            .merchants
            .iter()
            .map(|merchant| Merchant {
                merchant_id: merchant.merchant_id,
                outlet_ids: merchant.outlet_ids.clone(),
                terminal_ids: merchant.terminal_ids.clone(),
            })
            .collect(),
        devices: seeded
            .devices
            .iter()
            .zip(dirs)
            .map(|(device, dir)| Device {
                device_id: device.device_id,
                serial_number: device.serial_number.clone(),
                terminal_id: device.terminal_id,
                credentials_dir: dir,
            })
            .collect(),
        qris_partner: partners.qris,
        payout_partner: partners.payout,
    };
    let partner_secret_file = partner::secret_file(config, demo.qris_partner.id)?;
    let bank_secret_file = partner::secret_file(config, demo.payout_partner.id)?;
    Ok(Setup {
        demo,
        seeded,
        api,
        ca_file,
        partner_secret_file,
        bank_secret_file,
        lock,
    })
}

/// The host by which a client on this machine reaches an address: one that the server's certificate names.
fn reachable(address: SocketAddr, config: &Config) -> String {
    let (names, addresses) = config.server_names();
    if addresses.contains(&address.ip()) {
        return address.ip().to_string();
    }
    names
        .into_iter()
        .next()
        .unwrap_or_else(|| address.ip().to_string())
}

fn with_port(host: &str, address: SocketAddr) -> String {
    if host.contains(':') {
        format!("[{host}]:{}", address.port())
    } else {
        format!("{host}:{}", address.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_a_host_that_the_certificate_names() {
        let config = Config::demo().unwrap();
        let named = |address: &str| reachable(address.parse().unwrap(), &config);
        assert_eq!(named("127.0.0.1:1"), "127.0.0.1");
        assert_eq!(named("0.0.0.0:1"), "localhost");
        assert_eq!(with_port("::1", "[::1]:80".parse().unwrap()), "[::1]:80");
    }
}
