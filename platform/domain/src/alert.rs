//! Alerts: what somebody has to look at. The platform opens them and closes them; people only say that they know.

use crate::text_enum::text_enum;

text_enum! {
    /// What is wrong with a box. There is at most one open alert of each kind for each box.
    pub enum AlertKind as "alert kind" {
        /// It is away while its shop is open.
        Offline = "offline",
        /// A customer paid and the box did not say so in time.
        UnheardPayment = "unheard_payment",
        /// Its certificate ends soon, and it has no newer one.
        CertificateExpiring = "certificate_expiring",
        /// Its battery is nearly empty.
        BatteryLow = "battery_low",
        /// It comes and goes too often.
        Flapping = "flapping",
    }
}

text_enum! {
    /// Whether what an alert tells of is still so.
    pub enum AlertState as "alert state" {
        /// It is.
        Open = "open",
        /// It is over.
        Closed = "closed",
    }
}
