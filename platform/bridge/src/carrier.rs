//! What the bridge needs of a broker.

use std::sync::Arc;

use broker::{Downlink, EdgeHandle, EndReason, Published};
use service::node::Node;
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
    /// Ends a device's session if it is older than the one with this epoch, which another node has.
    fn kick_older_than(&self, device_id: DeviceId, epoch: i64);
    /// Ends the sessions of all devices: this node does not own them any more.
    fn kick_all(&self);
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

    fn kick_older_than(&self, device_id: DeviceId, epoch: i64) {
        Self::kick_older_than(self, device_id, epoch);
    }

    fn kick_all(&self) {
        Self::kick_all(self, EndReason::LeaseLost);
    }

    fn observer_certificates(&self) -> Vec<String> {
        Self::observer_certificates(self)
    }

    fn kick_observers(&self, certificate_serials: &[String]) {
        Self::kick_observers(self, certificate_serials);
    }
}

/// A broker's sessions, as the use cases know them.
pub(crate) struct CarrierSessions<C> {
    pub(crate) carrier: C,
    pub(crate) node: Arc<Node>,
}

impl<C: Carrier> Sessions for CarrierSessions<C> {
    fn is_live(&self, device_id: DeviceId) -> bool {
        self.node.owns_sessions() && self.carrier.is_live(device_id)
    }

    fn revoke(&self, device_id: DeviceId, certificate_serials: &[String]) {
        self.carrier
            .kick_certificates(device_id, certificate_serials);
    }

    fn purge(&self, device_id: DeviceId) {
        self.carrier.purge(device_id);
    }

    fn end_older_than(&self, device_id: DeviceId, epoch: i64) {
        self.carrier.kick_older_than(device_id, epoch);
    }
}
