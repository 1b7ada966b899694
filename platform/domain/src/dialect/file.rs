//! A dialect's TOML as it is written. Every key is known, every pointer, template and word is checked, and what is wrong
//! is refused with its line.

mod outbound;

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::FixedOffset;
use chrono::format::{Item, StrftimeItems};
use serde::Deserialize;
use toml::Spanned;

use self::outbound::{OutboundFile, outbound};
use super::answer::{AnswerForm, Answers, Fixed};
use super::digest::{Digest, HashFunction, Part};
use super::fields::Fields;
use super::pointer::{Layout, Place};
use super::signature::{SignatureKind, Signing};
use super::status::{Meaning, StatusCodes, Statuses};
use super::{AmountRule, BodyForm, Dialect, Inbound};
use crate::partner_message::Times;
use crate::snap::signature::{BodyHash, Encoding, Form};

/// Why a text is no dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {key}: {message}")]
pub struct DialectError {
    /// Counted from 1.
    pub line: usize,
    /// What stands before the equals sign of that line, or the line.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DialectFile {
    name: Text,
    title: String,
    sources: Vec<String>,
    inbound: InboundFile,
    fields: FieldsFile,
    #[serde(default)]
    amount: AmountFile,
    #[serde(default)]
    times: TimesFile,
    statuses: StatusesFile,
    answer: AnswerFile,
    outbound: Option<OutboundFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InboundFile {
    #[serde(default)]
    paths: Vec<Text>,
    token_path: Option<Text>,
    signature: Spanned<Vec<SignatureKind>>,
    #[serde(default)]
    encoding: EncodingWord,
    #[serde(default)]
    body_hash: BodyHashWord,
    partner_header: String,
    #[serde(default)]
    body: BodyWord,
    signature_header: Option<String>,
    timestamp_header: Option<String>,
    token_header: Option<String>,
    external_id_header: Option<String>,
    #[serde(default)]
    external_id_required: bool,
    digest: Option<DigestFile>,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "snake_case")]
enum EncodingWord {
    #[default]
    Base64,
    Hex,
    Either,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "snake_case")]
enum BodyHashWord {
    #[default]
    Minified,
    Raw,
    Either,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "snake_case")]
enum BodyWord {
    #[default]
    Json,
    Form,
    Query,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DigestFile {
    hash: HashFunction,
    parts: Vec<Text>,
    signature: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldsFile {
    #[serde(default)]
    event_id: Vec<Text>,
    order: Vec<Text>,
    reference: Vec<Text>,
    amount: Vec<Text>,
    #[serde(default)]
    tip: Vec<Text>,
    #[serde(default)]
    refund_no: Vec<Text>,
    #[serde(default)]
    refund_amount: Vec<Text>,
    #[serde(default)]
    currency: Vec<Text>,
    status: Vec<Text>,
    #[serde(default)]
    status_detail: Vec<Text>,
    #[serde(default)]
    paid_at: Vec<Text>,
    #[serde(default)]
    rrn: Vec<Text>,
    #[serde(default)]
    issuer: Vec<Text>,
    #[serde(default)]
    nmid: Vec<Text>,
    #[serde(default)]
    mpan: Vec<Text>,
    #[serde(default)]
    merchant_id: Vec<Text>,
    #[serde(default)]
    store_id: Vec<Text>,
    #[serde(default)]
    terminal_id: Vec<Text>,
    #[serde(default)]
    terminal_label: Vec<Text>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct AmountFile {
    /// The field is without the tip.
    tip_is_beside: bool,
    currency_required: bool,
    may_be_absent: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct TimesFile {
    zone: Option<Text>,
    forms: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusesFile {
    notify: Spanned<BTreeMap<String, Meaning>>,
    query: BTreeMap<String, Meaning>,
    #[serde(default)]
    confirmed: Vec<String>,
    #[serde(default)]
    unknown: UnknownWord,
}

#[derive(Deserialize, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum UnknownWord {
    #[default]
    Held,
    Refused,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerFile {
    form: Spanned<FormWord>,
    code_field: Option<String>,
    message_field: Option<String>,
    service: Option<String>,
    success: Option<FixedFile>,
    duplicate: Option<FixedFile>,
    refusal: Option<FixedFile>,
    failure: Option<FixedFile>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum FormWord {
    Envelope,
    Snap,
    Fixed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FixedFile {
    status: Spanned<u16>,
    body: toml::Value,
}

/// What is wrong, and where.
struct Wrong {
    at: Range<usize>,
    message: String,
}

type Checked<T> = Result<T, Wrong>;

fn wrong<T>(at: Range<usize>, message: impl Into<String>) -> Checked<T> {
    let message = message.into();
    Err(Wrong { at, message })
}

pub(super) fn read(text: &str) -> Result<Dialect, DialectError> {
    let file: DialectFile = toml::from_str(text).map_err(|error| {
        let at = error.span().unwrap_or(0..0);
        located(text, &at, error.message().to_owned())
    })?;
    dialect(file).map_err(|wrong| located(text, &wrong.at, wrong.message))
}

fn located(text: &str, at: &Range<usize>, message: String) -> DialectError {
    let start = text.floor_char_boundary(at.start);
    let line = text[..start].matches('\n').count();
    let written = text.lines().nth(line).unwrap_or_default();
    let key = written.split('=').next().unwrap_or_default().trim();
    DialectError {
        line: line + 1,
        key: key.to_owned(),
        message,
    }
}

fn dialect(file: DialectFile) -> Checked<Dialect> {
    let name = file.name.get_ref();
    let is_word = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    if name.is_empty() || !is_word(name) {
        let message = "a name is made of a to z, 0 to 9 and _";
        return wrong(file.name.span(), message);
    }
    let mut layout = Layout::default();
    let fields = fields(&mut layout, &file.fields)?;
    if !file.amount.tip_is_beside && !fields.tip.is_empty() {
        let at = file.fields.tip[0].span();
        let message = "a tip is read only with amount.tip_is_beside = true";
        return wrong(at, message);
    }
    let of_part = file
        .fields
        .refund_no
        .iter()
        .chain(&file.fields.refund_amount);
    if let Some(of_part) = of_part.into_iter().next()
        && !file
            .outbound
            .as_ref()
            .is_some_and(OutboundFile::takes_back_parts)
    {
        let message = "is read only with outbound.partial_refunds = true";
        return wrong(of_part.span(), message);
    }
    let signing = signing(&file.inbound)?;
    let statuses = statuses(file.statuses)?;
    Ok(Dialect {
        inbound: inbound(&file.inbound)?,
        signing,
        statuses,
        answers: answers(file.answer)?,
        outbound: file.outbound.map(outbound).transpose()?,
        layout,
        fields,
        amount: AmountRule {
            includes_tip: !file.amount.tip_is_beside,
            currency_required: file.amount.currency_required,
            may_be_absent: file.amount.may_be_absent,
        },
        times: times(&file.times)?,
        name: file.name.into_inner(),
        title: file.title,
        sources: file.sources,
    })
}

fn places(layout: &mut Layout, pointers: &[Text], decides: bool) -> Checked<Vec<Place>> {
    pointers
        .iter()
        .map(|pointer| {
            layout
                .place(pointer.get_ref(), decides)
                .or_else(|message| wrong(pointer.span(), message))
        })
        .collect()
}

fn fields(layout: &mut Layout, file: &FieldsFile) -> Checked<Fields> {
    let mut read = |pointers: &[Text], decides| places(layout, pointers, decides);
    Ok(Fields {
        event_id: read(&file.event_id, false)?,
        order: read(&file.order, true)?,
        reference: read(&file.reference, true)?,
        amount: read(&file.amount, true)?,
        tip: read(&file.tip, true)?,
        refund_no: read(&file.refund_no, true)?,
        refund_amount: read(&file.refund_amount, true)?,
        currency: read(&file.currency, true)?,
        status: read(&file.status, true)?,
        status_detail: read(&file.status_detail, true)?,
        paid_at: read(&file.paid_at, false)?,
        rrn: read(&file.rrn, false)?,
        issuer: read(&file.issuer, false)?,
        nmid: read(&file.nmid, true)?,
        mpan: read(&file.mpan, false)?,
        merchant_id: read(&file.merchant_id, false)?,
        store_id: read(&file.store_id, false)?,
        terminal_id: read(&file.terminal_id, false)?,
        terminal_label: read(&file.terminal_label, false)?,
    })
}

/// The beginnings of the platform's own paths.
const OUR_PATHS: [&str; 7] = [
    "/admin",
    "/device/",
    "/merchant/",
    "/integrations/",
    "/docs",
    "/health",
    "/openapi",
];

fn path(text: &Text) -> Checked<String> {
    let path = text.get_ref();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    if !path.starts_with('/') || path.ends_with('/') || !path.bytes().all(is_plain) {
        let message =
            "a path begins with /, does not end with it, and has neither query nor placeholders";
        return wrong(text.span(), message);
    }
    let is_ours = |own: &&str| path.starts_with(*own);
    if OUR_PATHS.iter().any(is_ours) {
        return wrong(text.span(), "this path is one of the platform's own");
    }
    Ok(path.clone())
}

fn header(name: &str) -> Option<String> {
    (!name.is_empty() && name != "none").then(|| name.to_ascii_lowercase())
}

fn inbound(file: &InboundFile) -> Checked<Inbound> {
    let kinds = file.signature.get_ref();
    let token_path = file.token_path.as_ref().map(path).transpose()?;
    if kinds.contains(&SignatureKind::SnapSymmetric) && token_path.is_none() {
        let message = "snap_symmetric needs inbound.token_path, where the acquirer gets a token";
        return wrong(file.signature.span(), message);
    }
    Ok(Inbound {
        paths: file.paths.iter().map(path).collect::<Checked<_>>()?,
        token_path,
        partner_header: header(&file.partner_header),
        external_id_header: file.external_id_header.as_deref().and_then(header),
        external_id_required: file.external_id_required,
        body: match file.body {
            BodyWord::Json => BodyForm::Json,
            BodyWord::Form => BodyForm::Form,
            BodyWord::Query => BodyForm::Query,
        },
    })
}

fn encoding(word: EncodingWord) -> Encoding {
    match word {
        EncodingWord::Base64 => Encoding::Base64,
        EncodingWord::Hex => Encoding::Hex,
        EncodingWord::Either => Encoding::Either,
    }
}

fn body_hash(word: BodyHashWord) -> BodyHash {
    match word {
        BodyHashWord::Minified => BodyHash::Minified,
        BodyHashWord::Raw => BodyHash::Raw,
        BodyHashWord::Either => BodyHash::Either,
    }
}

fn signing(file: &InboundFile) -> Checked<Signing> {
    let kinds = file.signature.get_ref();
    let at = file.signature.span();
    if kinds.is_empty() {
        return wrong(at, "names no kind: nothing would ever be believed");
    }
    let token_header = file.token_header.as_deref().and_then(header);
    if kinds.contains(&SignatureKind::StaticToken) && token_header.is_none() {
        return wrong(at, "static_token needs inbound.token_header");
    }
    if kinds.iter().any(|kind| kind.needs_digest()) && file.digest.is_none() {
        return wrong(at, "this kind needs [inbound.digest]");
    }
    Ok(Signing {
        kinds: kinds.clone(),
        form: Form {
            encoding: encoding(file.encoding),
            body_hash: body_hash(file.body_hash),
        },
        signature_header: file.signature_header.as_deref().and_then(header),
        timestamp_header: file.timestamp_header.as_deref().and_then(header),
        token_header,
        digest: file.digest.as_ref().map(digest).transpose()?,
    })
}

fn digest(file: &DigestFile) -> Checked<Digest> {
    let mut layout = Layout::default();
    let mut place = |text: &Text| {
        layout
            .place(text.get_ref(), true)
            .or_else(|message| wrong(text.span(), message))
    };
    let claimed = place(&file.signature)?;
    let mut parts = Vec::new();
    for part in &file.parts {
        parts.push(match part.get_ref().as_str() {
            "secret" => Part::Secret,
            _ => Part::Field(place(part)?),
        });
    }
    if !parts.iter().any(|part| matches!(part, Part::Secret)) {
        let message = "the hash must cover \"secret\", else anyone can make it";
        return wrong(file.signature.span(), message);
    }
    Ok(Digest {
        hash: file.hash,
        layout,
        parts,
        claimed,
    })
}

fn statuses(file: StatusesFile) -> Checked<Statuses> {
    let at = file.notify.span();
    let notify = file.notify.into_inner();
    if !notify.values().any(|meaning| *meaning == Meaning::Success) {
        return wrong(at, "no code means success: nothing would ever be paid");
    }
    Ok(Statuses {
        notify: StatusCodes::new(notify),
        query: StatusCodes::new(file.query),
        unknown_is_refused: file.unknown == UnknownWord::Refused,
        confirmed: file.confirmed,
    })
}

fn answers(file: AnswerFile) -> Checked<Answers> {
    let fixed = |file: Option<FixedFile>| {
        file.map(|file| {
            let (at, http_status) = (file.status.span(), file.status.into_inner());
            if !(200..600).contains(&http_status) {
                return wrong(at, "is an HTTP status, 200 to 599");
            }
            let body =
                serde_json::to_value(file.body).or_else(|error| wrong(at, error.to_string()))?;
            Ok(Fixed { http_status, body })
        })
        .transpose()
    };
    let at = file.form.span();
    let answers = Answers {
        form: match file.form.into_inner() {
            FormWord::Envelope => AnswerForm::Envelope,
            FormWord::Snap => AnswerForm::Snap {
                code_field: file.code_field.unwrap_or_else(|| "responseCode".to_owned()),
                message_field: file
                    .message_field
                    .unwrap_or_else(|| "responseMessage".to_owned()),
                service: file.service.unwrap_or_else(|| "52".to_owned()),
            },
            FormWord::Fixed => AnswerForm::Fixed,
        },
        success: fixed(file.success)?,
        duplicate: fixed(file.duplicate)?,
        refusal: fixed(file.refusal)?,
        failure: fixed(file.failure)?,
    };
    let is_whole =
        answers.success.is_some() && answers.refusal.is_some() && answers.failure.is_some();
    if answers.form == AnswerForm::Fixed && !is_whole {
        let message = "\"fixed\" needs [answer.success], [answer.refusal] and [answer.failure]";
        return wrong(at, message);
    }
    Ok(answers)
}

fn times(file: &TimesFile) -> Checked<Times> {
    let zone = match &file.zone {
        None => Times::WIB,
        Some(text) => text.get_ref().parse::<FixedOffset>().or_else(|_| {
            let message = "a zone is an offset, as in +07:00";
            wrong(text.span(), message)
        })?,
    };
    let mut forms = Vec::new();
    for form in &file.forms {
        if StrftimeItems::new(form.get_ref()).any(|item| item == Item::Error) {
            let message = "is not a form of time, as in %d/%m/%Y %H:%M:%S";
            return wrong(form.span(), message);
        }
        forms.push(form.get_ref().clone());
    }
    Ok(Times { zone, forms })
}
