//! Starting a bulk command, or the roll-out of a firmware.

use aws_lc_rs::digest;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::command::CommandType;
use domain::role::Permission;
use domain::rollout::{Guard, Rollout};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use service::fleet::bulk_command::{DeviceQuery, NewBulkCommand};
use service::fleet::firmware::{self, NewRollout};
use service::money::approval::{self, Outcome};
use service::{Begin, Context, Error, IdempotencyKey, Noun, Reply};
use store::fleet::firmware::Firmware;
use wire::ids::FirmwareId;

use super::device_order::order_name;
use crate::change::is_correctable;
use crate::fault::Fault;
use crate::form::{self, Sent, named};
use crate::icon;
use crate::layout::{self, Page};
use crate::list;
use crate::session::Viewer;
use crate::words::page::Filters;
use crate::words::rollout::Rollouts;

/// What many boxes can be told by a form: a firmware comes from the catalogue, and a code and a day's total are one box's.
const KINDS: [CommandType; 7] = [
    CommandType::PlayTest,
    CommandType::SetVolume,
    CommandType::AnnounceText,
    CommandType::Reboot,
    CommandType::SyncConfig,
    CommandType::CollectDiagnostics,
    CommandType::ClearDisplay,
];

/// The form, as it was filled in.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    /// Makes a form that is sent twice start one roll-out.
    key: String,
    firmware_id: String,
    kind: String,
    volume: String,
    text: String,
    tag: String,
    merchant_id: String,
    model: String,
    firmware_version: String,
    online: String,
    device_ids: String,
    rate: String,
    canary: String,
    phases: String,
    threshold: String,
    sample: String,
    rise: String,
    rise_sample: String,
    confirm_s: String,
    expires_in: String,
}

impl Default for Fields {
    fn default() -> Self {
        let guard = Guard::default();
        Self {
            key: String::new(),
            firmware_id: String::new(),
            kind: CommandType::PlayTest.to_string(),
            volume: "7".to_owned(),
            text: String::new(),
            tag: String::new(),
            merchant_id: String::new(),
            model: String::new(),
            firmware_version: String::new(),
            online: String::new(),
            device_ids: String::new(),
            rate: "60".to_owned(),
            canary: "5".to_owned(),
            phases: "10, 50".to_owned(),
            threshold: "5".to_owned(),
            sample: "20".to_owned(),
            rise: guard.unheard_rise_percent.to_string(),
            rise_sample: guard.unheard_min_sample.to_string(),
            confirm_s: guard.confirm_within_s.to_string(),
            expires_in: String::new(),
        }
    }
}

/// A number of the form.
fn number<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, Error> {
    let wrong = |_| Error::field(field, "expected a number");
    text.trim().parse().map_err(wrong)
}

impl Fields {
    fn query(&self) -> Result<DeviceQuery, Error> {
        let ids: Result<Vec<_>, _> = self
            .device_ids
            .split([',', ' ', '\n', '\r'])
            .filter(|text| !text.is_empty())
            .map(str::parse)
            .collect();
        let ids =
            ids.map_err(|_| Error::field("query.device_ids", "has something that is no box's id"))?;
        Ok(DeviceQuery {
            tag: list::given(&self.tag),
            merchant_id: service::word(
                "query.merchant_id",
                list::given(&self.merchant_id).as_deref(),
            )?,
            model: list::given(&self.model),
            firmware_version: list::given(&self.firmware_version),
            online: list::given(&self.online).map(|text| text == "true"),
            device_ids: (!ids.is_empty()).then_some(ids),
        })
    }

    fn rollout(&self) -> Result<Rollout, Error> {
        let phases: Result<Vec<u8>, Error> = self
            .phases
            .split(',')
            .filter(|text| !text.trim().is_empty())
            .map(|text| number("rollout.phases", text))
            .collect();
        Ok(Rollout {
            rate_per_minute: number("rollout.rate_per_minute", &self.rate)?,
            canary: number("rollout.canary", &self.canary)?,
            phases: phases?,
            abort_threshold_percent: number("rollout.abort_threshold_percent", &self.threshold)?,
            min_sample: number("rollout.min_sample", &self.sample)?,
        })
    }

    fn expires_in(&self) -> Result<Option<u32>, Error> {
        let given = list::given(&self.expires_in);
        given.map(|text| number("expires_in", &text)).transpose()
    }

    fn command(&self) -> Result<NewBulkCommand, Error> {
        let mut payload = Map::new();
        match self.kind.parse() {
            Ok(CommandType::SetVolume) => {
                payload.insert(
                    "volume".to_owned(),
                    json!(number::<u8>("payload.volume", &self.volume)?),
                );
            }
            Ok(CommandType::AnnounceText) => {
                payload.insert("text".to_owned(), Value::from(self.text.trim()));
            }
            _ => {}
        }
        Ok(NewBulkCommand {
            kind: self.kind.clone(),
            payload: Some(payload),
            expires_in: self.expires_in()?,
            query: self.query()?,
            rollout: self.rollout()?,
        })
    }

    fn update(&self) -> Result<NewRollout, Error> {
        Ok(NewRollout {
            query: self.query()?,
            rollout: self.rollout()?,
            guard: Guard {
                unheard_rise_percent: number("guard.unheard_rise_percent", &self.rise)?,
                unheard_min_sample: number("guard.unheard_min_sample", &self.rise_sample)?,
                confirm_within_s: number("guard.confirm_within_s", &self.confirm_s)?,
            },
            expires_in: self.expires_in()?,
        })
    }

    /// Whose form it is, so that a second press of its button is answered as the first.
    fn key(&self, viewer: &Viewer) -> IdempotencyKey {
        let all = format!("{self:?}");
        IdempotencyKey {
            scope: format!("POST /console/rollouts {}", viewer.user_id),
            key: self.key.chars().take(64).collect(),
            request_hash: digest::digest(&digest::SHA256, all.as_bytes())
                .as_ref()
                .to_vec(),
        }
    }
}

/// `/console/rollouts/new`: of a firmware, when the URL names one.
pub(crate) async fn form(
    State(context): State<Context>,
    viewer: Viewer,
    Query(mut fields): Query<Fields>,
) -> Result<Page, Fault> {
    viewer.must(Permission::CommandWrite)?;
    let firmware = chosen(&context, &viewer, &fields).await?;
    fields.key = context.clock().uuid().to_string();
    Ok(shown(&viewer, firmware.as_ref(), &fields, None))
}

/// The firmware that is to be rolled out.
async fn chosen(
    context: &Context,
    viewer: &Viewer,
    fields: &Fields,
) -> Result<Option<Firmware>, Fault> {
    if fields.firmware_id.is_empty() {
        return Ok(None);
    }
    viewer.must(Permission::FirmwareWrite)?;
    let fault = |error| viewer.fault(error);
    let id: FirmwareId = named(&fields.firmware_id, Noun::Firmware).map_err(fault)?;
    firmware::get(context, id).await.map(Some).map_err(fault)
}

fn input(name: &str, label: &str, value: &str, range: Option<(u32, u32)>) -> Markup {
    html! {
        label { (label)
            @match range {
                Some((min, max)) => input type="number" name=(name) value=(value) min=(min) max=(max) required;,
                None => input name=(name) value=(value) maxlength="128";,
            }
        }
    }
}

fn shown(
    viewer: &Viewer,
    firmware: Option<&Firmware>,
    fields: &Fields,
    wrong: Option<&str>,
) -> Page {
    let (words, own) = (viewer.words(), Rollouts::of(viewer.language));
    let title = firmware.map_or(own.start, |_| own.update);
    let content = html! {
        p.path { a href="/console/rollouts" { (own.title) } }
        h1 { (title) }
        @if let Some(wrong) = wrong { p.error role="alert" { (icon::alert()) (wrong) } }
        form.sheet-form method="post" action="/console/rollouts" {
            (form::secret(viewer))
            input type="hidden" name="key" value=(fields.key);
            @match firmware {
                Some(firmware) => (what_firmware(firmware, viewer)),
                None => (what_command(fields, viewer)),
            }
            fieldset.card { legend { (own.which_boxes) }
                p.quiet { (own.empty_means_all) }
                div.grid {
                    (input("tag", Filters::of(viewer.language).tag, &fields.tag, None))
                    (input("merchant_id", Filters::of(viewer.language).merchant_id, &fields.merchant_id, None))
                    @if firmware.is_none() { (input("model", words.model, &fields.model, None)) }
                    (input("firmware_version", words.firmware, &fields.firmware_version, None))
                    (list::choice("online", &fields.online, words.presence, words.all_boxes, &[("true", words.online), ("false", words.offline)]))
                }
                label { (own.ids) textarea name="device_ids" rows="2" { (fields.device_ids) } }
            }
            fieldset.card { legend { (own.steps) }
                div.grid {
                    (input("canary", own.canary_count, &fields.canary, Some((0, 100_000))))
                    (input("phases", own.phases, &fields.phases, None))
                    (input("rate", own.rate, &fields.rate, Some((1, 60_000))))
                    (input("threshold", own.threshold, &fields.threshold, Some((1, 100))))
                    (input("sample", own.sample, &fields.sample, Some((1, 100_000))))
                    (input("expires_in", own.expires, &fields.expires_in, None))
                }
            }
            @if firmware.is_some() {
                fieldset.card { legend { (own.guard) }
                    div.grid {
                        (input("rise", own.rise, &fields.rise, Some((1, 100))))
                        (input("rise_sample", own.rise_sample, &fields.rise_sample, Some((1, 100_000))))
                        (input("confirm_s", own.confirm_s, &fields.confirm_s, Some((60, 604_800))))
                    }
                }
            }
            button.primary { (own.begin) }
        }
    };
    layout::page(viewer, title, &content)
}

fn what_firmware(firmware: &Firmware, viewer: &Viewer) -> Markup {
    let (words, own) = (viewer.words(), Rollouts::of(viewer.language));
    html! {
        input type="hidden" name="firmware_id" value=(firmware.id);
        dl.facts {
            div { dt { (own.version) } dd { (firmware.version) } }
            div { dt { (words.model) } dd { (firmware.model) } }
            @if let Some(notes) = &firmware.notes { div { dt { (own.notes) } dd { (notes) } } }
        }
    }
}

fn what_command(fields: &Fields, viewer: &Viewer) -> Markup {
    let (words, own) = (viewer.words(), Rollouts::of(viewer.language));
    html! {
        fieldset.card { legend { (own.what) }
            div.grid {
                label { (own.what)
                    select name="kind" {
                        @for kind in KINDS {
                            option value=(kind.as_str()) selected[kind.as_str() == fields.kind] { (order_name(kind, viewer)) }
                        }
                    }
                }
                (input("volume", words.volume, &fields.volume, Some((0, 10))))
                (input("text", own.text, &fields.text, None))
            }
            @if viewer.may(Permission::FirmwareRead) {
                p { a href="/console/firmware" { (own.update) " →" } }
            }
        }
    }
}

/// `POST /console/rollouts`. What is refused is shown in the form, with what was typed.
pub(crate) async fn start(
    State(context): State<Context>,
    Sent { viewer, fields }: Sent<Fields>,
) -> Result<Response, Fault> {
    viewer.must(Permission::CommandWrite)?;
    let firmware = chosen(&context, &viewer, &fields).await?;
    match begin(&context, &viewer, firmware.as_ref(), &fields).await {
        Ok(path) => Ok(Redirect::to(&path).into_response()),
        Err(error) if is_correctable(&error) => {
            let page = shown(
                &viewer,
                firmware.as_ref(),
                &fields,
                Some(&viewer.told(&error)),
            );
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(error) => Err(viewer.fault(error)),
    }
}

/// Starts it; where to go on.
async fn begin(
    context: &Context,
    viewer: &Viewer,
    firmware: Option<&Firmware>,
    fields: &Fields,
) -> Result<String, Error> {
    let begun = context
        .begin_keyed(viewer.actor(), Some(fields.key(viewer)))
        .await?;
    let mut unit = match begun {
        Begin::Fresh(unit) => unit,
        Begin::Replay(reply) => return Ok(String::from_utf8_lossy(&reply.body).into_owned()),
    };
    let path = match firmware {
        Some(firmware) => {
            let made = firmware::roll_out(&mut unit, firmware.id, fields.update()?).await?;
            format!("/console/rollouts/{}", made.id)
        }
        // Where two people must agree, this proposes it.
        None => match approval::create_bulk_command(&mut unit, fields.command()?).await? {
            Outcome::Done(made) => format!("/console/rollouts/{}", made.id),
            Outcome::Proposed(_) => "/console/approvals?status=pending".to_owned(),
        },
    };
    let reply = Reply {
        status: StatusCode::SEE_OTHER.as_u16(),
        body: Bytes::from(path.clone()),
    };
    unit.commit_with(&reply).await?;
    Ok(path)
}
