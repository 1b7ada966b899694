//! What an endpoint can be told of, and what became of a message to it.

use crate::text_enum::text_enum;

text_enum! {
    /// Something that happened.
    pub enum WebhookEvent as "webhook event" {
        /// A customer paid.
        PaymentPaid = "payment.paid",
        /// The acquirer took a payment back.
        PaymentReversed = "payment.reversed",
        /// A box announced a payment.
        PaymentHeard = "payment.heard",
        /// No box announced a payment, and none will.
        PaymentUnheard = "payment.unheard",
        /// A settlement was paid out.
        SettlementPaid = "settlement.paid",
        /// A settlement's money came back from the bank.
        SettlementReturned = "settlement.returned",
        /// A box became reachable.
        DeviceOnline = "device.online",
        /// A box became unreachable.
        DeviceOffline = "device.offline",
        /// Something needs a person.
        AlertOpened = "alert.opened",
        /// It is over.
        AlertClosed = "alert.closed",
        /// Somebody asked for a test message. Every endpoint takes it.
        EndpointTest = "endpoint.test",
    }
}

text_enum! {
    /// What became of a message to an endpoint.
    pub enum DeliveryStatus as "delivery status" {
        /// It is still to be taken.
        Pending = "pending",
        /// The endpoint answered 2xx.
        Delivered = "delivered",
    }
}
