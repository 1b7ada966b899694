//! Ids as a box takes them, and back.
//!
//! A box recognises a message that comes again by its id, so that each form says all of the id: what is written can be
//! read back, and two messages never have the same.

use serde::Deserialize;
use uuid::Uuid;
use wire::ids::{CommandId, EventId};

/// How an id is written for a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum IdForm {
    /// As everywhere else: the prefix and 32 hex digits, 36 characters.
    EventId,
    /// The 32 hex digits alone.
    Hex,
    /// 26 letters and digits (Crockford's base 32), for boxes with little room.
    Base32,
}

/// The digits of base 32: no I, L, O or U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The digits that 128 bits need.
const BASE32_LEN: usize = 26;
/// Bits of one digit.
const DIGIT_BITS: usize = 5;

impl IdForm {
    /// Writes an id. `prefixed` is its usual text.
    pub(super) fn write(self, id: Uuid, prefixed: impl std::fmt::Display) -> String {
        match self {
            Self::EventId => prefixed.to_string(),
            Self::Hex => id.simple().to_string(),
            Self::Base32 => base32(id.as_u128()),
        }
    }

    /// The notification that was meant.
    pub(super) fn read_event(self, text: &str) -> Option<EventId> {
        match self {
            Self::EventId => text.parse().ok(),
            Self::Hex | Self::Base32 => self.uuid(text).map(EventId::from_uuid),
        }
    }

    /// The command that was meant.
    pub(super) fn read_command(self, text: &str) -> Option<CommandId> {
        match self {
            Self::EventId => text.parse().ok(),
            Self::Hex | Self::Base32 => self.uuid(text).map(CommandId::from_uuid),
        }
    }

    fn uuid(self, text: &str) -> Option<Uuid> {
        match self {
            Self::Base32 => from_base32(text).map(Uuid::from_u128),
            // Exactly one spelling: `try_parse` alone would take upper case and hyphens too.
            _ => Uuid::try_parse(text)
                .ok()
                .filter(|id| id.simple().to_string() == text),
        }
    }
}

fn base32(bits: u128) -> String {
    (0..BASE32_LEN)
        .rev()
        .map(|place| {
            let digit = (bits >> (place * DIGIT_BITS)) & 0x1f;
            char::from(DIGITS[usize::try_from(digit).unwrap_or_default()])
        })
        .collect()
}

fn from_base32(text: &str) -> Option<u128> {
    if text.len() != BASE32_LEN {
        return None;
    }
    text.bytes().try_fold(0u128, |bits, byte| {
        let digit = DIGITS.iter().position(|known| *known == byte)?;
        bits.checked_mul(1 << DIGIT_BITS)?
            .checked_add(u128::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_in_each_form() {
        let id: EventId = "evt_0190f3a1c0de7abc8def0123456789ab".parse().unwrap();
        let write = |form: IdForm| form.write(id.as_uuid(), id);
        assert_eq!(
            write(IdForm::EventId),
            "evt_0190f3a1c0de7abc8def0123456789ab"
        );
        assert_eq!(write(IdForm::Hex), "0190f3a1c0de7abc8def0123456789ab");
        assert_eq!(write(IdForm::Base32).len(), 26);
        assert_eq!(
            IdForm::Hex.read_event("0190F3A1C0DE7ABC8DEF0123456789AB"),
            None
        );
        assert_eq!(
            IdForm::Base32.read_event("ZZZZZZZZZZZZZZZZZZZZZZZZZZ"),
            None
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(a: u128, b: u128) {
            for form in [IdForm::EventId, IdForm::Hex, IdForm::Base32] {
                let [one, other] = [a, b].map(|bits| EventId::from_uuid(Uuid::from_u128(bits)));
                let written = [one, other].map(|id| form.write(id.as_uuid(), id));
                prop_assert_eq!(form.read_event(&written[0]), Some(one));
                prop_assert_eq!(written[0] == written[1], a == b);
                let command = CommandId::from_uuid(Uuid::from_u128(a));
                let written = form.write(command.as_uuid(), command);
                prop_assert_eq!(form.read_command(&written), Some(command));
            }
        }
    }
}
