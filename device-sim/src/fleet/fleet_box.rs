//! A box of a fleet: one that speaks the contract, or one of another maker.

use std::path::Path;

use wire::{DeviceId, TerminalId};

use crate::credentials::Credentials;
use crate::link::Transport;
use crate::vendor::credentials::VendorCredentials;

/// The credentials of a box, with what decides how it is run.
#[derive(Clone)]
pub enum FleetBox {
    /// It speaks the contract, by this transport.
    Native(Credentials, Transport),
    /// It speaks its maker's protocol, by MQTT.
    Vendor(VendorCredentials),
}

impl FleetBox {
    /// Whether `dir` holds a box.
    pub fn exist(dir: &Path) -> bool {
        Credentials::exist(dir) || VendorCredentials::exist(dir)
    }

    /// Reads a box. One that speaks the contract uses this transport.
    pub fn load(dir: &Path, transport: Transport) -> anyhow::Result<Self> {
        if VendorCredentials::exist(dir) {
            return VendorCredentials::load(dir).map(Self::Vendor);
        }
        Ok(Self::Native(Credentials::load(dir)?, transport))
    }

    /// Every box in the subdirectories of `dir`, sorted by name.
    pub fn load_all(dir: &Path, transport: Transport) -> anyhow::Result<Vec<Self>> {
        let mut boxes = Credentials::boxes_in(dir, Self::exist)?;
        boxes.sort();
        let boxes = boxes.iter().map(|dir| Self::load(dir, transport));
        boxes.collect()
    }

    /// Its id on the platform.
    pub fn device_id(&self) -> DeviceId {
        match self {
            Self::Native(credentials, _) => credentials.device.device_id,
            Self::Vendor(credentials) => credentials.device.device_id,
        }
    }

    /// The terminal that it was bound to when it was provisioned.
    pub fn terminal_id(&self) -> Option<TerminalId> {
        match self {
            Self::Native(credentials, _) => credentials.device.terminal_id,
            Self::Vendor(credentials) => credentials.device.terminal_id,
        }
    }
}
