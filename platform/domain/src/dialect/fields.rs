//! Which fields of a message count.

use super::pointer::Place;

/// The places of each field; the first with a value counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    pub(super) event_id: Vec<Place>,
    pub(super) order: Vec<Place>,
    pub(super) reference: Vec<Place>,
    pub(super) amount: Vec<Place>,
    pub(super) tip: Vec<Place>,
    /// The acquirer's number of a refund, or ours.
    pub(super) refund_no: Vec<Place>,
    /// How much of the payment was taken back, where the amount is that of the payment.
    pub(super) refund_amount: Vec<Place>,
    pub(super) currency: Vec<Place>,
    pub(super) status: Vec<Place>,
    /// Joined to the status by `+`, where one field does not decide.
    pub(super) status_detail: Vec<Place>,
    pub(super) paid_at: Vec<Place>,
    pub(super) rrn: Vec<Place>,
    pub(super) issuer: Vec<Place>,
    pub(super) nmid: Vec<Place>,
    pub(super) mpan: Vec<Place>,
    pub(super) merchant_id: Vec<Place>,
    pub(super) store_id: Vec<Place>,
    pub(super) terminal_id: Vec<Place>,
    pub(super) terminal_label: Vec<Place>,
}
