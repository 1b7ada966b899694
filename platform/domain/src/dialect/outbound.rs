//! How an acquirer is called: what is different from one to the next of token, generate, query, refund and cancel.

use serde_json::{Map, Value};

use super::reference::ReferenceForm;
use super::template::Template;
use crate::snap::signature::{BodyHash, Encoding};

/// The names that a template may use.
pub const NAMES: [&str; 16] = [
    "order",
    "reference",
    "external_id",
    "amount",
    "nmid",
    "merchant_id",
    "store_id",
    "terminal_id",
    "terminal_label",
    "client_id",
    "partner_id",
    "ip_address",
    "now",
    "expires_at",
    "validity_s",
    "reason",
];

/// The acquirer's API.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// What stands before every path, below the configured URL.
    pub base: String,
    /// Where tokens are asked for.
    pub token_path: String,
    /// Issues a code.
    pub generate: Call,
    /// Says what became of an order.
    pub query: Option<Call>,
    /// Takes a payment back.
    pub refund: Option<Call>,
    /// Whether it takes back parts of a payment.
    pub partial_refunds: bool,
    /// Withdraws a code.
    pub cancel: Option<Call>,
    /// How our signatures are written.
    pub encoding: Encoding,
    /// What of the body they cover.
    pub body_hash: BodyHash,
    /// Whether our signatures cover the acquirer's token.
    pub signs_token: bool,
    /// How our orders are named.
    pub reference: ReferenceForm,
    /// `merchantId` of our requests.
    pub merchant_id: Template,
    /// `terminalId` of our requests; none is sent without it.
    pub terminal_id: Option<Template>,
    /// `storeId` of our requests.
    pub store_id: Option<Template>,
    /// `validityPeriod`, as a time or in seconds.
    pub validity: Template,
    /// More headers of our requests.
    pub headers: Vec<(String, Template)>,
    /// Where in the answers is what we need.
    pub answer: AnswerFields,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Call {
    /// Below the base.
    pub path: String,
    /// The two digits of the service in response codes.
    pub service: String,
    /// `serviceCode` of a question about an order; none is sent without it.
    pub asked_service: Option<String>,
    /// `additionalInfo`; none is sent without it.
    pub additional_info: Option<Info>,
    /// More fields of the body, also instead of the usual ones.
    pub fields: Vec<(String, Info)>,
}

/// Where in an answer is what we need, as JSON pointers; the first with a value counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerFields {
    /// The access token.
    pub token: Vec<String>,
    /// How long it is good for, in seconds.
    pub token_lifetime: Vec<String>,
    /// The code.
    pub code: Vec<String>,
    /// The acquirer's name for the order.
    pub reference_no: Vec<String>,
    /// Its number of a refund.
    pub refund_no: Vec<String>,
    /// The response code.
    pub response_code: Vec<String>,
}

/// JSON with templates for texts.
#[derive(Debug, Clone, PartialEq)]
pub enum Info {
    /// A text.
    Text(Template),
    /// A number or a truth value.
    Plain(Value),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Object(Vec<(String, Self)>),
}

impl Info {
    /// The JSON, with names replaced; a text of which a name has no value is left out of its object.
    pub fn fill<'a>(&self, value: &impl Fn(&'static str) -> Option<&'a str>) -> Option<Value> {
        match self {
            Self::Text(template) => template.fill(value).map(Value::String),
            Self::Plain(plain) => Some(plain.clone()),
            Self::List(items) => Some(items.iter().filter_map(|item| item.fill(value)).collect()),
            Self::Object(fields) => {
                let filled = fields
                    .iter()
                    .filter_map(|(name, info)| Some((name.clone(), info.fill(value)?)));
                Some(Value::Object(filled.collect::<Map<_, _>>()))
            }
        }
    }
}
