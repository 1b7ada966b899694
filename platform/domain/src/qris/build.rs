//! Building codes for merchants of ours.

use rust_decimal::Decimal;
use wire::rupiah::Rupiah;

use super::{
    ACCOUNT_CRITERIA, ACCOUNT_GUID, ACCOUNT_ID, ACCOUNT_PAN, ACQUIRER_ACCOUNT, ADDITIONAL_DATA,
    ADDITIONAL_REFERENCE, ADDITIONAL_TERMINAL_LABEL, AMOUNT, AMOUNT_LEN_MAX, AdditionalData, CITY,
    CITY_LEN_MAX, COUNTRY, CURRENCY, CURRENCY_IDR, DataObject, MCC, MerchantAccount, NAME,
    NAME_LEN_MAX, NationalAccount, PAYLOAD_FORMAT, POINT_OF_INITIATION, POSTAL_CODE,
    POSTAL_CODE_LEN_MAX, PointOfInitiation, QRIS_ACCOUNT, QRIS_GUID, QrisCode, Reference, Tag,
    TerminalLabel, tlv,
};
use crate::registration::Registration;

/// The value of tag 59 when nothing of a merchant's name can be written in ASCII.
const NAME_UNWRITABLE: &str = "MERCHANT";
/// The value of tag 60 when a merchant's city is unknown or cannot be written in ASCII.
const CITY_UNWRITABLE: &str = "INDONESIA";

/// Why a code cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A dynamic code asks for an amount of at least one rupiah, at most 13 digits.
    #[error("a dynamic code needs an amount of 1 to 13 digits, more than zero")]
    Amount,
}

impl QrisCode {
    /// A code for one payment of exactly `amount`.
    ///
    /// # Errors
    /// [`BuildError::Amount`] when the amount is not positive or too long for tag 54.
    pub fn dynamic(
        registration: &Registration,
        amount: Rupiah,
        reference: &Reference,
        terminal_label: Option<&TerminalLabel>,
    ) -> Result<Self, BuildError> {
        let text = amount.to_i64().to_string();
        if amount.to_i64() <= 0 || text.len() > AMOUNT_LEN_MAX {
            return Err(BuildError::Amount);
        }
        Ok(Self::build(
            registration,
            Some((text, Decimal::from(amount.to_i64()))),
            Some(reference),
            terminal_label,
        ))
    }

    /// A code for a sticker: the customer enters the amount.
    pub fn static_(registration: &Registration, terminal_label: Option<&TerminalLabel>) -> Self {
        Self::build(registration, None, None, terminal_label)
    }

    fn build(
        registration: &Registration,
        amount: Option<(String, Decimal)>,
        reference: Option<&Reference>,
        terminal_label: Option<&TerminalLabel>,
    ) -> Self {
        let criteria = registration.criteria;
        let point_of_initiation = if amount.is_some() {
            PointOfInitiation::Dynamic
        } else {
            PointOfInitiation::Static
        };
        let mut objects = vec![
            object(PAYLOAD_FORMAT, "01"),
            object(
                POINT_OF_INITIATION,
                if amount.is_some() { "12" } else { "11" },
            ),
            object(
                ACQUIRER_ACCOUNT,
                tlv::encode(&[
                    object(ACCOUNT_GUID, registration.acquirer_guid.as_str()),
                    object(ACCOUNT_PAN, registration.pan.as_str()),
                    object(ACCOUNT_ID, registration.merchant_id.as_str()),
                    object(ACCOUNT_CRITERIA, criteria.as_str()),
                ]),
            ),
            object(
                QRIS_ACCOUNT,
                tlv::encode(&[
                    object(ACCOUNT_GUID, QRIS_GUID),
                    object(ACCOUNT_ID, registration.nmid.as_str()),
                    object(ACCOUNT_CRITERIA, criteria.as_str()),
                ]),
            ),
            object(MCC, registration.mcc.as_str()),
            object(CURRENCY, CURRENCY_IDR),
        ];
        let amount = amount.map(|(text, value)| {
            objects.push(object(AMOUNT, text));
            value
        });
        objects.push(object(COUNTRY, "ID"));
        objects.push(object(
            NAME,
            writable(&registration.name, NAME_LEN_MAX, NAME_UNWRITABLE),
        ));
        objects.push(object(
            CITY,
            writable(&registration.city, CITY_LEN_MAX, CITY_UNWRITABLE),
        ));
        if let Some(postal_code) = &registration.postal_code {
            let postal_code = writable(postal_code, POSTAL_CODE_LEN_MAX, "");
            if !postal_code.is_empty() {
                objects.push(object(POSTAL_CODE, postal_code));
            }
        }
        let additional: Vec<DataObject> = [
            reference.map(|reference| object(ADDITIONAL_REFERENCE, reference.as_str())),
            terminal_label.map(|label| object(ADDITIONAL_TERMINAL_LABEL, label.as_str())),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !additional.is_empty() {
            objects.push(object(ADDITIONAL_DATA, tlv::encode(&additional)));
        }
        Self {
            objects,
            point_of_initiation,
            merchant_account: Some(MerchantAccount {
                tag: ACQUIRER_ACCOUNT,
                guid: registration.acquirer_guid.as_str().to_owned(),
                pan: Some(registration.pan.clone()),
                merchant_id: Some(registration.merchant_id.as_str().to_owned()),
                criteria: Some(criteria),
            }),
            national_account: Some(NationalAccount {
                guid: QRIS_GUID.to_owned(),
                nmid: Some(registration.nmid.clone()),
                criteria: Some(criteria),
            }),
            mcc: registration.mcc.clone(),
            amount,
            tip: None,
            additional_data: AdditionalData {
                reference: reference.cloned(),
                terminal_label: terminal_label.cloned(),
            },
        }
    }
}

pub(super) fn object(tag: Tag, value: impl Into<String>) -> DataObject {
    DataObject {
        tag,
        value: value.into(),
    }
}

/// `text` as EMVCo's alphanumeric-special allows it: printable ASCII, no runs of spaces, at most `longest`
/// characters; Latin letters lose their accents, what remains foreign becomes a space.
fn writable(text: &str, longest: usize, otherwise: &str) -> String {
    let ascii: String = text
        .chars()
        .map(|letter| match letter {
            ' '..='~' => letter,
            'À'..='Å' | 'Ā' => 'A',
            'à'..='å' | 'ā' => 'a',
            'Ç' => 'C',
            'ç' => 'c',
            'È'..='Ë' | 'Ē' => 'E',
            'è'..='ë' | 'ē' => 'e',
            'Ì'..='Ï' => 'I',
            'ì'..='ï' => 'i',
            'Ñ' => 'N',
            'ñ' => 'n',
            'Ò'..='Ö' | 'Ø' => 'O',
            'ò'..='ö' | 'ø' => 'o',
            'Ù'..='Ü' => 'U',
            'ù'..='ü' => 'u',
            '‘' | '’' => '\'',
            '“' | '”' => '"',
            '–' | '—' => '-',
            _ => ' ',
        })
        .collect();
    let words = ascii.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let cut = words.get(..longest).unwrap_or(&words).trim_end();
    if cut.is_empty() {
        otherwise.to_owned()
    } else {
        cut.to_owned()
    }
}
