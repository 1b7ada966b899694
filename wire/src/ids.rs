//! Identifiers: one type for each noun, so that a merchant's id cannot be passed for a device's.
//!
//! In memory and in Postgres an id is a UUID (version 7, made with the platform's clock). As text it is a prefix, an
//! underscore and the 32 lower-case hex digits of that UUID: `sbx_0190…`. The text form is strict in both directions, so
//! an id has exactly one spelling and needs no escaping in a topic, a path or a certificate's common name: its alphabet
//! is `[a-z0-9_]`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use uuid::Uuid;

/// The error for a text that is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an id of the form {prefix}_ and 32 lower-case hex digits")]
pub struct ParseIdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

/// The number of hex digits of a UUID.
const HEX_LEN: usize = 32;

fn parse(prefix: &'static str, text: &str) -> Result<Uuid, ParseIdError> {
    let err = ParseIdError { prefix };
    let digits = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .ok_or(err)?;
    let plain = digits.len() == HEX_LEN
        && digits
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !plain {
        return Err(err);
    }
    Uuid::try_parse(digits).map_err(|_| err)
}

/// The schema of ids with this prefix.
#[cfg(feature = "openapi")]
fn schema(prefix: &str, noun: &str) -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    use utoipa::openapi::schema::{ObjectBuilder, Type};

    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(noun.trim()))
        .pattern(Some(format!("^{prefix}_[0-9a-f]{{{HEX_LEN}}}$")))
        .examples([format!("{prefix}_0190f3a1c0de7abc8def0123456789ab")])
        .into()
}

macro_rules! ids {
    ($(#[doc = $doc:literal] $name:ident = $prefix:literal;)*) => {$(
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
        pub struct $name(Uuid);

        impl $name {
            /// The part of the text form before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// The id with this UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID alone, as Postgres stores it.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                schema(Self::PREFIX, $doc)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse(Self::PREFIX, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct IdVisitor;

                impl Visitor<'_> for IdVisitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("an id of the form ", $prefix, "_ and 32 lower-case hex digits"))
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(IdVisitor)
            }
        }
    )*};
}

ids! {
    /// A soundbox. Also its MQTT client id and the common name of its certificate.
    DeviceId = "sbx";
    /// A merchant.
    MerchantId = "m";
    /// A place of business of a merchant.
    OutletId = "out";
    /// A point of sale within an outlet.
    TerminalId = "term";
    /// One period in which a device belonged to a terminal.
    BindingId = "bind";
    /// A payment, from the request for a QR to its settlement.
    TransactionId = "tx";
    /// One announcement to one device.
    EventId = "evt";
    /// An order to one device.
    CommandId = "cmd";
    /// The same order to many devices.
    BulkCommandId = "bulk";
    /// A firmware in the catalogue.
    FirmwareId = "fw";
    /// Something that is taken back of a payment, as it is named to the partner.
    RefundId = "rf";
    /// A batch of transactions paid out together.
    SettlementId = "set";
    /// One instruction to pay a settlement out.
    PayoutId = "pay";
    /// Something that an operator has to look at.
    IncidentId = "inc";
    /// Money that came and could not be attributed.
    UnmatchedPaymentId = "ump";
    /// A person who can log in.
    UserId = "usr";
    /// A bearer token (the record of it, never its secret).
    TokenId = "tok";
    /// A change that waits for a second person.
    ApprovalId = "apr";
    /// A comparison of an acquirer's file with ours.
    ReconciliationId = "rec";
    /// One callback of a partner, as it was received.
    CallbackId = "cb";
    /// Something wrong with a box.
    AlertId = "alr";
    /// Whoever is told of events by HTTP.
    WebhookEndpointId = "whe";
    /// One message to a webhook endpoint.
    WebhookDeliveryId = "msg";
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "0190f3a1c0de7abc8def0123456789ab";

    #[test]
    fn an_id_reads_as_prefix_and_hex() {
        let id: DeviceId = format!("sbx_{HEX}").parse().unwrap();
        assert_eq!(id.to_string(), format!("sbx_{HEX}"));
        assert_eq!(id.as_uuid().simple().to_string(), HEX);
        assert_eq!(
            serde_json::to_string(&id).unwrap(),
            format!("\"sbx_{HEX}\"")
        );
    }

    #[test]
    fn only_the_one_spelling_is_accepted() {
        let hyphens = "sbx_0190f3a1-c0de-7abc-8def-0123456789ab";
        let upper = format!("sbx_{}", HEX.to_uppercase());
        let others = [
            "",
            "sbx_",
            HEX,
            hyphens,
            &upper,
            &format!("m_{HEX}"),
            &format!("sbx_{HEX}0"),
            &format!("sbx_{}", &HEX[1..]),
            &format!(" sbx_{HEX}"),
            &format!("sbx_{HEX}\n"),
            &format!("sbx{HEX}"),
            &format!("sbx__{HEX}"),
            &format!("SBX_{HEX}"),
            &format!("sbx_{{{}}}", &HEX[2..]),
        ];
        for text in others {
            assert!(text.parse::<DeviceId>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_prefix_belongs_to_one_kind() {
        let prefixes = [
            DeviceId::PREFIX,
            MerchantId::PREFIX,
            OutletId::PREFIX,
            TerminalId::PREFIX,
            BindingId::PREFIX,
            TransactionId::PREFIX,
            EventId::PREFIX,
            CommandId::PREFIX,
            SettlementId::PREFIX,
            PayoutId::PREFIX,
            IncidentId::PREFIX,
            UserId::PREFIX,
            TokenId::PREFIX,
            CallbackId::PREFIX,
            AlertId::PREFIX,
        ];
        let distinct: std::collections::BTreeSet<_> = prefixes.iter().collect();
        assert_eq!(distinct.len(), prefixes.len());
    }

    proptest! {
        #[test]
        fn text_and_serde_return_the_same_id(bits: u128) {
            let id = EventId::from_uuid(Uuid::from_u128(bits));
            prop_assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
            let json = serde_json::to_vec(&id).unwrap();
            prop_assert_eq!(serde_json::from_slice::<EventId>(&json).unwrap(), id);
            let pack = rmp_serde::to_vec_named(&id).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<EventId>(&pack).unwrap(), id);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            let _ = text.parse::<MerchantId>();
        }
    }
}
