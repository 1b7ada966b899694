//! Texts with placeholders: `soundbox/{serial}/down`. `{{` and `}}` stand for the braces themselves.

use crate::text_enum::text_enum;

text_enum! {
    /// What a template can name.
    pub enum Placeholder as "placeholder" {
        /// The box's serial number.
        Serial = "serial",
        /// The IMEI of its modem.
        Imei = "imei",
        /// The maker's key for the product, typed into the box.
        ProductKey = "product_key",
        /// Our id of the box.
        DeviceId = "device_id",
        /// The MQTT user name of the box.
        Username = "username",
        /// The MQTT client id of the box.
        ClientId = "client_id",
        /// The id of the notification, command or code, in the profile's form.
        Id = "id",
        /// The transaction.
        TransactionId = "transaction_id",
        /// Whole rupiah, a number.
        Amount = "amount",
        /// Rupiah with two decimals, a text: `50000.00`.
        AmountDecimal = "amount_decimal",
        /// Hundredths of a rupiah, a number.
        AmountHundredths = "amount_hundredths",
        /// The sentence.
        Text = "text",
        /// The clips of the sentence: a list; in a text, joined as the profile says.
        Clips = "clips",
        /// One clip. In JSON, the item of a list that names it is repeated for each clip.
        Clip = "clip",
        /// The merchant's name.
        MerchantName = "merchant_name",
        /// When the customer paid, in Jakarta: `20260524170305`.
        PaidAtWib = "paid_at_wib",
        /// When the message is sent, in Jakarta: `20260524170305`.
        TimeWib = "time_wib",
        /// When the message is sent, in seconds since 1970, a number.
        UnixS = "unix_s",
        /// The QRIS code to show.
        QrPayload = "qr_payload",
        /// For how many seconds the code can still be paid, a number.
        ExpiresInS = "expires_in_s",
        /// Loudness from 0 to 10, a number.
        Volume = "volume",
        /// Loudness from 0 to 100, a number.
        VolumePercent = "volume_percent",
        /// The language of a configuration.
        Language = "language",
        /// Seconds between heartbeats, a number.
        HeartbeatIntervalS = "heartbeat_interval_s",
        /// Brightness from 0 to 100, a number.
        DisplayBrightness = "display_brightness",
        /// The version of a configuration, a number; of a firmware, a text.
        Version = "version",
        /// The address of a firmware.
        Url = "url",
        /// The digest of a firmware, in hexadecimal.
        Sha256 = "sha256",
        /// The checksum of the message's `crc32` text, in lower-case hexadecimal.
        Crc32 = "crc32",
        /// Why something failed, in the box's words.
        Reason = "reason",
    }
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Stands for itself.
    Literal(String),
    /// Stands for a value.
    Value {
        /// Which.
        placeholder: Placeholder,
        /// A number becomes a text also where it stands alone in JSON.
        as_text: bool,
    },
}

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) parts: Vec<Part>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A brace without its partner, or a name that is no placeholder.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '{' | '}' if rest.peek() == Some(&c) => {
                    rest.next();
                    literal.push(c);
                }
                '}' => return Err("a } without its {; write }} for the brace itself".to_owned()),
                '{' => {
                    let mut name = String::new();
                    loop {
                        match rest.next() {
                            Some('}') => break,
                            Some(c) => name.push(c),
                            None => return Err("a { without its }".to_owned()),
                        }
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(value(&name)?);
                }
                c => literal.push(c),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// The placeholders in it, in order.
    pub(super) fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Value { placeholder, .. } => Some(*placeholder),
        })
    }

    /// Whether it names this placeholder.
    pub(super) fn names(&self, wanted: Placeholder) -> bool {
        self.placeholders().any(|placeholder| placeholder == wanted)
    }

    /// The text, with each placeholder replaced.
    ///
    /// # Errors
    /// The first that `value` gives.
    pub(super) fn fill<E>(
        &self,
        mut value: impl FnMut(Placeholder) -> Result<String, E>,
    ) -> Result<String, E> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Value { placeholder, .. } => text.push_str(&value(*placeholder)?),
            }
        }
        Ok(text)
    }
}

fn value(written: &str) -> Result<Part, String> {
    let (name, as_text) = match written.strip_suffix(":text") {
        Some(name) => (name, true),
        None => (written, false),
    };
    let placeholder = name
        .parse()
        .map_err(|_| format!("{{{written}}} is no placeholder"))?;
    Ok(Part::Value {
        placeholder,
        as_text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<String, String> {
        Template::parse(text)?.fill(|placeholder| Ok(placeholder.as_str().to_uppercase()))
    }

    #[test]
    fn placeholders_are_replaced_and_doubled_braces_stand_for_themselves() {
        assert_eq!(
            fill("soundbox/{serial}/down").unwrap(),
            "soundbox/SERIAL/down"
        );
        assert_eq!(fill("a{{b}}{{{serial}}}").unwrap(), "a{b}{SERIAL}");
        assert_eq!(fill("").unwrap(), "");
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for bad in [
            "{seriel}",
            "{}",
            "{serial",
            "serial}",
            "{serial:number}",
            "{{serial}",
        ] {
            assert!(fill(bad).is_err(), "{bad}");
        }
    }
}
