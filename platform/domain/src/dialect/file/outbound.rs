//! The table `outbound`: how the acquirer is called.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{BodyHashWord, Checked, EncodingWord, Text, body_hash, encoding, path, places, wrong};
use crate::dialect::outbound::{AnswerFields, Call, Info, NAMES, Outbound};
use crate::dialect::pointer::Layout;
use crate::dialect::reference::{ReferenceForm, SHORT_LEN_MIN};
use crate::dialect::template::Template;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutboundFile {
    #[serde(default)]
    base: String,
    token_path: Text,
    generate: CallFile,
    query: Option<CallFile>,
    refund: Option<CallFile>,
    cancel: Option<CallFile>,
    partial_refunds: Option<Spanned<bool>>,
    #[serde(default)]
    encoding: EncodingWord,
    #[serde(default)]
    body_hash: BodyHashWord,
    #[serde(default = "yes")]
    signs_token: bool,
    reference_length: Spanned<usize>,
    merchant_id: Text,
    terminal_id: Option<Text>,
    store_id: Option<Text>,
    validity: Text,
    #[serde(default)]
    headers: BTreeMap<String, Text>,
    #[serde(default)]
    answer: AnswerFieldsFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallFile {
    path: Text,
    service: String,
    asked_service: Option<String>,
    additional_info: Option<Spanned<toml::Value>>,
    #[serde(default)]
    fields: BTreeMap<String, Spanned<toml::Value>>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct AnswerFieldsFile {
    token: Vec<Text>,
    token_lifetime: Vec<Text>,
    code: Vec<Text>,
    reference_no: Vec<Text>,
    refund_no: Vec<Text>,
    response_code: Vec<Text>,
}

impl OutboundFile {
    pub(super) fn takes_back_parts(&self) -> bool {
        self.partial_refunds
            .as_ref()
            .is_some_and(|partial| *partial.get_ref())
    }
}

fn yes() -> bool {
    true
}

fn template(text: &Text) -> Checked<Template> {
    Template::parse(text.get_ref(), &NAMES).or_else(|message| wrong(text.span(), message))
}

pub(super) fn outbound(file: OutboundFile) -> Checked<Outbound> {
    let partial_refunds = file.takes_back_parts();
    let length = file.reference_length;
    let Some(reference) = ReferenceForm::within(*length.get_ref()) else {
        let message = format!("must be at least {SHORT_LEN_MIN}");
        return wrong(length.span(), message);
    };
    if let (Some(partial), None, true) = (&file.partial_refunds, &file.refund, partial_refunds) {
        return wrong(partial.span(), "needs [outbound.refund]");
    }
    let mut headers = Vec::new();
    for (name, text) in &file.headers {
        headers.push((name.to_ascii_lowercase(), template(text)?));
    }
    let optional = |text: Option<Text>| text.as_ref().map(template).transpose();
    let optional_call = |file: Option<CallFile>| file.map(call).transpose();
    Ok(Outbound {
        base: file.base,
        token_path: path(&file.token_path)?,
        generate: call(file.generate)?,
        query: optional_call(file.query)?,
        refund: optional_call(file.refund)?,
        partial_refunds,
        cancel: optional_call(file.cancel)?,
        encoding: encoding(file.encoding),
        body_hash: body_hash(file.body_hash),
        signs_token: file.signs_token,
        reference,
        merchant_id: template(&file.merchant_id)?,
        terminal_id: optional(file.terminal_id)?,
        store_id: optional(file.store_id)?,
        validity: template(&file.validity)?,
        headers,
        answer: answer_fields(&file.answer)?,
    })
}

fn call(file: CallFile) -> Checked<Call> {
    let read = |spanned: Spanned<toml::Value>| {
        let at = spanned.span();
        info(spanned.into_inner()).or_else(|message| wrong(at, message))
    };
    let mut fields = Vec::new();
    for (name, value) in file.fields {
        fields.push((name, read(value)?));
    }
    Ok(Call {
        path: path(&file.path)?,
        service: file.service,
        asked_service: file.asked_service,
        additional_info: file.additional_info.map(read).transpose()?,
        fields,
    })
}

fn info(value: toml::Value) -> Result<Info, String> {
    Ok(match value {
        toml::Value::String(text) => Info::Text(Template::parse(&text, &NAMES)?),
        toml::Value::Integer(number) => Info::Plain(number.into()),
        toml::Value::Boolean(truth) => Info::Plain(truth.into()),
        toml::Value::Array(items) => {
            Info::List(items.into_iter().map(info).collect::<Result<_, _>>()?)
        }
        toml::Value::Table(fields) => {
            let mut read = Vec::new();
            for (name, value) in fields {
                read.push((name, info(value)?));
            }
            Info::Object(read)
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) => {
            return Err("a template holds texts, whole numbers and truth values".to_owned());
        }
    })
}

fn answer_fields(file: &AnswerFieldsFile) -> Checked<AnswerFields> {
    let read = |texts: &[Text], usual: &str| -> Checked<Vec<String>> {
        let mut layout = Layout::default();
        places(&mut layout, texts, false)?;
        if texts.is_empty() {
            return Ok(vec![usual.to_owned()]);
        }
        Ok(texts.iter().map(|text| text.get_ref().clone()).collect())
    };
    Ok(AnswerFields {
        token: read(&file.token, "/accessToken")?,
        token_lifetime: read(&file.token_lifetime, "/expiresIn")?,
        code: read(&file.code, "/qrContent")?,
        reference_no: read(&file.reference_no, "/referenceNo")?,
        refund_no: read(&file.refund_no, "/refundNo")?,
        response_code: read(&file.response_code, "/responseCode")?,
    })
}
