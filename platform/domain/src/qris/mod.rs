//! QRIS codes: EMVCo merchant-presented TLV as Bank Indonesia profiles it.
//!
//! A code is an ordered list of data objects, closed by its CRC. The list is the truth; the typed parts are
//! read from it once, when the code is parsed or built, and never change afterwards. So tags that this
//! program does not know survive, in their place, and every valid code encodes again to the same bytes.
//!
//! Sources: EMV QR Code Specification for Payment Systems, Merchant-Presented Mode 1.1 (tags, lengths, CRC,
//! data object 62) and the QRIS profile (templates 26 and 51, currency 360, country ID).

mod build;
mod crc;
mod identity;
mod payee;
mod tip;
mod tlv;

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;

pub use self::build::BuildError;
pub use self::crc::crc16;
pub use self::identity::{
    IdentityError, Mcc, MerchantCriteria, MerchantPan, Nmid, Reference, TerminalLabel, luhn_digit,
};
pub use self::payee::{NotIts, Payee};
pub use self::tip::{AmountDue, Tip, TipMode};
pub use self::tlv::{DataObject, Tag};

/// Longest code that EMVCo allows, in characters.
pub const CODE_LEN_MAX: usize = 512;
/// Longest merchant name (tag 59), in characters.
pub const NAME_LEN_MAX: usize = 25;
/// Longest merchant city (tag 60), in characters.
pub const CITY_LEN_MAX: usize = 15;
/// Longest postal code (tag 61), in characters.
pub const POSTAL_CODE_LEN_MAX: usize = 10;
/// Longest amount (tag 54), in characters.
const AMOUNT_LEN_MAX: usize = 13;
/// ISO 4217 number of the rupiah.
const CURRENCY_IDR: &str = "360";
/// What template 51 of a QRIS code begins with.
const QRIS_GUID: &str = "ID.CO.QRIS.WWW";

const PAYLOAD_FORMAT: Tag = Tag::of(0);
const POINT_OF_INITIATION: Tag = Tag::of(1);
const ACQUIRER_ACCOUNT: Tag = Tag::of(26);
const ACQUIRER_ACCOUNT_LAST: Tag = Tag::of(45);
const QRIS_ACCOUNT: Tag = Tag::of(51);
const MCC: Tag = Tag::of(52);
const CURRENCY: Tag = Tag::of(53);
const AMOUNT: Tag = Tag::of(54);
const COUNTRY: Tag = Tag::of(58);
const NAME: Tag = Tag::of(59);
const CITY: Tag = Tag::of(60);
const POSTAL_CODE: Tag = Tag::of(61);
const ADDITIONAL_DATA: Tag = Tag::of(62);
const CRC: Tag = Tag::of(63);

/// Within an account template: who defined it, and then PAN or NMID, merchant id, criteria.
const ACCOUNT_GUID: Tag = Tag::of(0);
const ACCOUNT_PAN: Tag = Tag::of(1);
const ACCOUNT_ID: Tag = Tag::of(2);
const ACCOUNT_CRITERIA: Tag = Tag::of(3);
/// Within the additional data template.
const ADDITIONAL_REFERENCE: Tag = Tag::of(5);
const ADDITIONAL_TERMINAL_LABEL: Tag = Tag::of(7);

/// Why a text is not a QRIS code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// More than 512 characters.
    #[error("a code has at most {CODE_LEN_MAX} characters")]
    TooLong,
    /// Where a tag and its length must stand, there is something else.
    #[error("expected a two-digit tag and a two-digit length")]
    Header,
    /// A length that is not 01 to 99.
    #[error("tag {tag} has no length from 01 to 99")]
    Length {
        /// The tag in question.
        tag: Tag,
    },
    /// The text ends before the value does.
    #[error("the value of tag {tag} is cut off")]
    Truncated {
        /// The tag in question.
        tag: Tag,
    },
    /// A tag appears twice in one template.
    #[error("tag {tag} appears twice")]
    Duplicate {
        /// The tag in question.
        tag: Tag,
    },
    /// A tag that every code must have is absent.
    #[error("tag {tag} is missing")]
    Missing {
        /// The tag in question.
        tag: Tag,
    },
    /// A value that its tag does not allow.
    #[error("the value of tag {tag} is not allowed: {reason}")]
    Value {
        /// The tag in question; for a template's inner tag, the template's.
        tag: Tag,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The code does not begin with the payload format or does not end with the CRC.
    #[error("a code begins with 000201 and ends with 6304 and four upper-case hex digits")]
    Frame,
    /// The CRC belongs to another text: a character was changed or lost.
    #[error("the CRC is {found}, the text has {computed:04X}")]
    Crc {
        /// What the code says.
        found: String,
        /// What its text gives.
        computed: u16,
    },
}

/// Whether a code is printed once or made for one payment (tag 01).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PointOfInitiation {
    /// `11`: on a sticker, paid many times.
    Static,
    /// `12`: made for one payment.
    Dynamic,
}

/// The acquirer's account template, tags 26 to 45.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerchantAccount {
    /// Its tag; 26 when there is one account.
    pub tag: Tag,
    /// Reverse domain of who defined the template, that is of the acquirer.
    pub guid: String,
    /// Merchant PAN, 18 digits.
    pub pan: Option<MerchantPan>,
    /// The acquirer's own number of the merchant.
    pub merchant_id: Option<String>,
    /// Size and kind of the merchant; `None` also when the word is not one of the five.
    pub criteria: Option<MerchantCriteria>,
}

/// The national template, tag 51.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NationalAccount {
    /// `ID.CO.QRIS.WWW`; some acquirers put their own here.
    pub guid: String,
    /// National merchant id.
    pub nmid: Option<Nmid>,
    /// Size and kind of the merchant; `None` also when the word is not one of the five.
    pub criteria: Option<MerchantCriteria>,
}

/// Additional data, tag 62. What is not named here is kept in the code all the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdditionalData {
    /// 05: the acquirer's name for this payment.
    pub reference: Option<Reference>,
    /// 07: the terminal.
    pub terminal_label: Option<TerminalLabel>,
}

/// A valid QRIS code. Cannot be changed, only parsed or built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QrisCode {
    /// Everything but the CRC, in the order of the code.
    objects: Vec<DataObject>,
    point_of_initiation: PointOfInitiation,
    merchant_account: Option<MerchantAccount>,
    national_account: Option<NationalAccount>,
    mcc: Mcc,
    amount: Option<Decimal>,
    tip: Option<Tip>,
    additional_data: AdditionalData,
}

impl QrisCode {
    /// Static or dynamic (tag 01; a code without it is static).
    pub fn point_of_initiation(&self) -> PointOfInitiation {
        self.point_of_initiation
    }

    /// The first of the acquirers' templates, tags 26 to 45.
    pub fn merchant_account(&self) -> Option<&MerchantAccount> {
        self.merchant_account.as_ref()
    }

    /// The national template, tag 51.
    pub fn national_account(&self) -> Option<&NationalAccount> {
        self.national_account.as_ref()
    }

    /// The national merchant id, if the code has one.
    pub fn nmid(&self) -> Option<&Nmid> {
        self.national_account.as_ref()?.nmid.as_ref()
    }

    /// Merchant category code, tag 52.
    pub fn mcc(&self) -> &Mcc {
        &self.mcc
    }

    /// Tag 54 unchanged, also with sen (`25578.00`).
    pub fn amount(&self) -> Option<Decimal> {
        self.amount
    }

    /// The tip that the code asks for, tags 55 to 57.
    pub fn tip(&self) -> Option<Tip> {
        self.tip
    }

    /// Country, tag 58.
    pub fn country(&self) -> &str {
        self.text(COUNTRY)
    }

    /// Merchant name, tag 59.
    pub fn name(&self) -> &str {
        self.text(NAME)
    }

    /// Merchant city, tag 60.
    pub fn city(&self) -> &str {
        self.text(CITY)
    }

    /// Postal code, tag 61.
    pub fn postal_code(&self) -> Option<&str> {
        find(&self.objects, POSTAL_CODE)
    }

    /// Reference and terminal label, tag 62.
    pub fn additional_data(&self) -> &AdditionalData {
        &self.additional_data
    }

    /// Every data object but the CRC, in the order of the code.
    pub fn objects(&self) -> &[DataObject] {
        &self.objects
    }

    fn text(&self, tag: Tag) -> &str {
        find(&self.objects, tag).unwrap_or_default()
    }

    /// Reads the typed parts of `objects` and checks the rules of the tags that this program knows.
    fn from_objects(objects: Vec<DataObject>) -> Result<Self, ParseError> {
        let required = |tag| find(&objects, tag).ok_or(ParseError::Missing { tag });
        let point_of_initiation = match find(&objects, POINT_OF_INITIATION) {
            None | Some("11") => PointOfInitiation::Static,
            Some("12") => PointOfInitiation::Dynamic,
            Some(_) => return Err(not_allowed(POINT_OF_INITIATION, "it is 11 or 12")),
        };
        let merchant_account = objects
            .iter()
            .find(|object| (ACQUIRER_ACCOUNT..=ACQUIRER_ACCOUNT_LAST).contains(&object.tag))
            .map(merchant_account)
            .transpose()?;
        let national_account = find(&objects, QRIS_ACCOUNT)
            .map(national_account)
            .transpose()?;
        if merchant_account.is_none() && national_account.is_none() {
            return Err(ParseError::Missing {
                tag: ACQUIRER_ACCOUNT,
            });
        }
        let mcc = required(MCC)?
            .parse()
            .map_err(|_| not_allowed(MCC, "it has four digits"))?;
        if required(CURRENCY)? != CURRENCY_IDR {
            return Err(not_allowed(CURRENCY, "the rupiah is 360"));
        }
        let amount = find(&objects, AMOUNT)
            .map(|text| parse_amount(AMOUNT, text))
            .transpose()?;
        let tip = Tip::of(&objects)?;
        let country = required(COUNTRY)?;
        if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(not_allowed(COUNTRY, "it has two upper-case letters"));
        }
        for (tag, longest, reason) in [
            (NAME, NAME_LEN_MAX, "it has at most 25 characters"),
            (CITY, CITY_LEN_MAX, "it has at most 15 characters"),
        ] {
            if required(tag)?.chars().count() > longest {
                return Err(not_allowed(tag, reason));
            }
        }
        if find(&objects, POSTAL_CODE)
            .is_some_and(|code| code.chars().count() > POSTAL_CODE_LEN_MAX)
        {
            return Err(not_allowed(POSTAL_CODE, "it has at most 10 characters"));
        }
        let additional_data = find(&objects, ADDITIONAL_DATA)
            .map(additional_data)
            .transpose()?
            .unwrap_or_default();
        Ok(Self {
            point_of_initiation,
            merchant_account,
            national_account,
            mcc,
            amount,
            tip,
            additional_data,
            objects,
        })
    }
}

/// The code's text with its CRC: what goes into the picture.
impl fmt::Display for QrisCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = format!("{}{CRC}04", tlv::encode(&self.objects));
        write!(f, "{body}{:04X}", crc16(body.as_bytes()))
    }
}

impl FromStr for QrisCode {
    type Err = ParseError;

    /// Checks length, frame and CRC before anything inside is looked at.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.chars().nth(CODE_LEN_MAX).is_some() {
            return Err(ParseError::TooLong);
        }
        let split = text
            .len()
            .checked_sub(4)
            .filter(|split| text.is_char_boundary(*split));
        let (body, found) = split
            .map(|split| text.split_at(split))
            .ok_or(ParseError::Frame)?;
        let upper_hex = found
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
        if !upper_hex || !text.starts_with("000201") {
            return Err(ParseError::Frame);
        }
        let inner = body.strip_suffix("6304").ok_or(ParseError::Frame)?;
        let computed = crc16(body.as_bytes());
        if found != format!("{computed:04X}") {
            return Err(ParseError::Crc {
                found: found.to_owned(),
                computed,
            });
        }
        let objects = tlv::parse(inner)?;
        if objects.iter().any(|object| object.tag == CRC) {
            return Err(ParseError::Duplicate { tag: CRC });
        }
        Self::from_objects(objects)
    }
}

fn find(objects: &[DataObject], tag: Tag) -> Option<&str> {
    objects
        .iter()
        .find(|object| object.tag == tag)
        .map(|object| object.value.as_str())
}

const fn not_allowed(tag: Tag, reason: &'static str) -> ParseError {
    ParseError::Value { tag, reason }
}

/// A template's inner objects. An error within is reported with the template's tag.
fn template(tag: Tag, value: &str) -> Result<Vec<DataObject>, ParseError> {
    tlv::parse(value).map_err(|_| not_allowed(tag, "its inner objects are broken"))
}

fn criteria(objects: &[DataObject]) -> Option<MerchantCriteria> {
    find(objects, ACCOUNT_CRITERIA)?.parse().ok()
}

fn merchant_account(account: &DataObject) -> Result<MerchantAccount, ParseError> {
    let tag = account.tag;
    let objects = template(tag, &account.value)?;
    let guid =
        find(&objects, ACCOUNT_GUID).ok_or(not_allowed(tag, "it begins with a GUID in 00"))?;
    let pan = find(&objects, ACCOUNT_PAN)
        .map(|pan| {
            pan.parse()
                .map_err(|_| not_allowed(tag, "the PAN in 01 has 18 digits"))
        })
        .transpose()?;
    Ok(MerchantAccount {
        tag,
        guid: guid.to_owned(),
        pan,
        merchant_id: find(&objects, ACCOUNT_ID).map(str::to_owned),
        criteria: criteria(&objects),
    })
}

fn national_account(value: &str) -> Result<NationalAccount, ParseError> {
    let objects = template(QRIS_ACCOUNT, value)?;
    let guid = find(&objects, ACCOUNT_GUID)
        .ok_or(not_allowed(QRIS_ACCOUNT, "it begins with a GUID in 00"))?;
    let nmid = find(&objects, ACCOUNT_ID)
        .map(|nmid| {
            nmid.parse()
                .map_err(|_| not_allowed(QRIS_ACCOUNT, "the NMID in 02 is ID and 13 digits"))
        })
        .transpose()?;
    Ok(NationalAccount {
        guid: guid.to_owned(),
        nmid,
        criteria: criteria(&objects),
    })
}

fn additional_data(value: &str) -> Result<AdditionalData, ParseError> {
    let objects = template(ADDITIONAL_DATA, value)?;
    let reference = find(&objects, ADDITIONAL_REFERENCE)
        .map(|text| {
            text.parse()
                .map_err(|_| not_allowed(ADDITIONAL_DATA, "the reference in 05 is a short label"))
        })
        .transpose()?;
    let terminal_label = find(&objects, ADDITIONAL_TERMINAL_LABEL)
        .map(|text| {
            text.parse()
                .map_err(|_| not_allowed(ADDITIONAL_DATA, "the label in 07 is a short label"))
        })
        .transpose()?;
    Ok(AdditionalData {
        reference,
        terminal_label,
    })
}

/// EMVCo's amount: digits, at most one point, more than zero.
fn parse_amount(tag: Tag, text: &str) -> Result<Decimal, ParseError> {
    let refused = not_allowed(
        tag,
        "it has up to 13 digits with at most one point, more than zero",
    );
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = !whole.is_empty()
        && whole
            .bytes()
            .chain(fraction.bytes())
            .all(|byte| byte.is_ascii_digit());
    if !digits || text.len() > AMOUNT_LEN_MAX {
        return Err(refused);
    }
    match format!("{whole}.{fraction}0").parse::<Decimal>() {
        Ok(amount) if amount > Decimal::ZERO => Ok(amount.normalize()),
        _ => Err(refused),
    }
}

#[cfg(test)]
mod tests;
