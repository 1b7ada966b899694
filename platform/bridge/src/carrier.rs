//! What the bridge needs of a broker.

use broker::{Downlink, EdgeHandle, Published};
use service::signal::Sessions;
use wire::ids::DeviceId;

/// A broker that reaches devices: the embedded edge, or a cluster elsewhere.
pub trait Carrier: Clone + Send + Sync + 'static {
    /// Hands over a downlink and returns what became of it. Not durable, never blocks: the outbox sends again what was
    /// not acknowledged.
    fn publish(&self, downlink: Downlink) -> Published;
    /// Whether a device has a live session on this node.
    fn is_live(&self, device_id: DeviceId) -> bool;
    /// Ends a device's session if it uses one of these certificates, which are revoked.
    fn kick_certificates(&self, device_id: DeviceId, certificate_serials: &[String]);
    /// Drops what is queued for a device and was not sent.
    fn purge(&self, device_id: DeviceId);
    /// The certificates of the observers on this node.
    fn observer_certificates(&self) -> Vec<String>;
    /// Ends the sessions of observers that use one of these certificates, which are revoked.
    fn kick_observers(&self, certificate_serials: &[String]);
}

impl Carrier for EdgeHandle {
    fn publish(&self, downlink: Downlink) -> Published {
        Self::publish(self, downlink)
    }

    fn is_live(&self, device_id: DeviceId) -> bool {
        Self::is_live(self, device_id)
    }

    fn kick_certificates(&self, device_id: DeviceId, certificate_serials: &[String]) {
        Self::kick_certificates(self, device_id, certificate_serials);
    }

    fn purge(&self, device_id: DeviceId) {
        self.drop_queued(device_id);
    }

    fn observer_certificates(&self) -> Vec<String> {
        Self::observer_certificates(self)
    }

    fn kick_observers(&self, certificate_serials: &[String]) {
        Self::kick_observers(self, certificate_serials);
    }
}

/// A broker's sessions, as the use cases know them.
pub(crate) struct CarrierSessions<C>(pub(crate) C);

impl<C: Carrier> Sessions for CarrierSessions<C> {
    fn is_live(&self, device_id: DeviceId) -> bool {
        self.0.is_live(device_id)
    }

    fn revoke(&self, device_id: DeviceId, certificate_serials: &[String]) {
        self.0.kick_certificates(device_id, certificate_serials);
    }

    fn purge(&self, device_id: DeviceId) {
        self.0.purge(device_id);
    }
}
