//! Messages for boxes that can never be delivered as they are.

use crate::text_enum::text_enum;

text_enum! {
    /// Why a message ends `failed` before it was sent.
    pub enum UndeliverableReason as "reason of a message that cannot be delivered" {
        /// It breaks a limit of the wire, or its row does not read.
        Unsendable = "unsendable",
        /// It is larger than the box accepts (MQTT 5, Maximum Packet Size).
        PacketTooLarge = "packet_too_large",
        /// The box is another maker's and has no such message.
        Unsupported = "unsupported",
    }
}
