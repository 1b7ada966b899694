//! The values of one box, which stand in its topics, its login and its messages.

use wire::DeviceId;

use super::error::{VALUE_LEN_MAX, ValueError};
use super::template::Placeholder;

/// What is known of one box. A value that has no place in the box's profile may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxValues {
    /// Its serial number.
    pub serial: String,
    /// The IMEI of its modem.
    pub imei: Option<String>,
    /// The maker's key for the product, typed into the box.
    pub product_key: Option<String>,
    /// Our id of it.
    pub device_id: DeviceId,
}

impl BoxValues {
    /// The value of a placeholder that is about the box itself.
    ///
    /// # Errors
    /// The box has no such value, or one that could change the meaning of a topic. So a box gets no other's topics by
    /// its serial number: a value stays within one level of a topic and has no wildcard.
    pub(super) fn get(&self, placeholder: Placeholder) -> Result<String, ValueError> {
        let value = match placeholder {
            Placeholder::Serial => Some(self.serial.clone()),
            Placeholder::Imei => self.imei.clone(),
            Placeholder::ProductKey => self.product_key.clone(),
            Placeholder::DeviceId => Some(self.device_id.to_string()),
            _ => None,
        };
        let value = value.ok_or(ValueError::Missing(placeholder))?;
        if is_plain(&value) {
            Ok(value)
        } else {
            Err(ValueError::Invalid(placeholder))
        }
    }
}

fn is_plain(value: &str) -> bool {
    (1..=VALUE_LEN_MAX).contains(&value.len())
        && value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'+' | b'#' | b'$'))
}
