//! Commands to one box: buttons for those that it has, and what became of the latest.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::{DateTime, Utc};
use domain::command::CommandType;
use domain::device::DeviceStatus;
use domain::role::Permission;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use service::fleet::command::{self, NewCommand};
use service::money::approval;
use service::{Context, Error, Noun, UnitOfWork};
use store::Page as StorePage;
use store::fleet::command::{Command, Filter};
use store::fleet::device_view::DeviceView;
use wire::ids::DeviceId;

use super::device::{Draft, page_of};
use crate::change::led_by;
use crate::fault::Fault;
use crate::form::{self, Nothing, Sent, named};
use crate::format::{milliseconds, moment};
use crate::icon;
use crate::layout::{self, Page};
use crate::list;
use crate::session::Viewer;
use crate::words::device::Boxes;
use crate::words::rollout::Rollouts;

/// Commands that a box's page shows.
const SHOWN_MAX: i64 = 20;
/// What needs no more than a press, beside the test sound. A new firmware comes from the catalogue.
const PRESSED: [CommandType; 5] = [
    CommandType::AnnounceTotal,
    CommandType::ClearDisplay,
    CommandType::SyncConfig,
    CommandType::CollectDiagnostics,
    CommandType::Reboot,
];

/// What a command does, in words.
pub(crate) fn order_name(kind: CommandType, viewer: &Viewer) -> &'static str {
    let (words, own) = (viewer.words(), Rollouts::of(viewer.language));
    match kind {
        CommandType::PlayTest => words.test_sound,
        CommandType::AnnounceText => own.announce_text,
        CommandType::AnnounceTotal => own.total,
        CommandType::SetVolume => own.set_volume,
        CommandType::DisplayQr => own.display_qr,
        CommandType::ClearDisplay => own.clear_display,
        CommandType::Reboot => own.reboot,
        CommandType::CollectDiagnostics => own.diagnostics,
        CommandType::SyncConfig => own.sync,
        CommandType::UpdateFirmware => own.update,
    }
}

/// Whether a box is in service and has this command.
fn has(context: &Context, row: &DeviceView, kind: CommandType) -> bool {
    row.status == DeviceStatus::Active
        && kind
            .capability()
            .is_none_or(|capability| row.capabilities.contains(&capability))
        && context
            .settings()
            .mqtt
            .profiles
            .supports(&row.profile, kind)
}

/// The button that lets the box be heard.
pub(super) fn test_button(context: &Context, row: &DeviceView, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    html! {
        @if has(context, row, CommandType::PlayTest) {
            form method="post" action={ "/console/devices/" (row.id) "/test" } {
                (form::secret(viewer))
                button.primary title=(words.test_sound_hint) { (icon::sound()) (words.test_sound) }
            }
        }
    }
}

/// The other commands that the box has, with what was typed and refused.
pub(super) fn buttons(
    context: &Context,
    row: &DeviceView,
    draft: &Draft,
    viewer: &Viewer,
) -> Markup {
    let own = Boxes::of(viewer.language);
    let words = viewer.words();
    let action = format!("/console/devices/{}/command", row.id);
    html! {
        @if row.status == DeviceStatus::Active {
            section {
                h2 { (own.tell) }
                @if let Some(wrong) = draft.order_wrong() { p.error role="alert" { (icon::alert()) (wrong) } }
                div.decision {
                    @if has(context, row, CommandType::SetVolume) {
                        form method="post" action=(action) {
                            (form::secret(viewer))
                            input type="hidden" name="kind" value=(CommandType::SetVolume.as_str());
                            label { (words.volume) input type="number" name="volume" min="0" max="10" value="7" required; }
                            button { (words.set) }
                        }
                    }
                    @if has(context, row, CommandType::AnnounceText) {
                        form method="post" action=(action) {
                            (form::secret(viewer))
                            input type="hidden" name="kind" value=(CommandType::AnnounceText.as_str());
                            label { (own.text) input name="text" value=(draft.text()) maxlength="200" required; }
                            button { (own.send) }
                        }
                    }
                    @for kind in PRESSED {
                        @if has(context, row, kind) {
                            form method="post" action=(action) {
                                (form::secret(viewer))
                                button name="kind" value=(kind.as_str()) { (order_name(kind, viewer)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The latest commands of a box.
pub(super) async fn latest(context: &Context, id: DeviceId) -> Result<Vec<Command>, Error> {
    let page = StorePage {
        limit: SHOWN_MAX,
        after: None,
    };
    command::list_of_device(context, id, &Filter::default(), page).await
}

/// The latest commands. While one is open the script reads this part again, so that its end is seen.
pub(super) fn orders(id: DeviceId, commands: &[Command], viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let is_open = commands.iter().any(|one| one.status.is_open());
    html! {
        div #orders data-refresh=[is_open.then_some("700")] data-from={ "/console/devices/" (id) "/commands" } {
            @if commands.is_empty() { (list::empty(words.no_commands)) }
            ol.orders {
                @for one in commands {
                    li {
                        time datetime=(one.created_at.to_rfc3339()) { (moment(one.created_at)) }
                        span.what { (order_name(one.kind, viewer)) @if let Some(reason) = &one.reason { small { (reason) } } }
                        (way(one, viewer))
                    }
                }
            }
        }
    }
}

/// queued → sent → delivered, each with its milliseconds.
fn way(one: &Command, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let after = |at: DateTime<Utc>| milliseconds((at - one.created_at).num_milliseconds());
    let (text, tone) = words.command(one.status);
    html! {
        span.marks {
            span class="mark good" { (icon::check()) (words.queued) }
            @if let Some(at) = one.sent_at {
                span class="mark good" { (icon::sent()) (words.sent) span.ms { (after(at)) } }
            }
            @if let Some(at) = one.ended_at {
                span class={ "mark " (tone.class()) } { (icon::sound()) (text) span.ms { (after(at)) } }
            }
        }
    }
}

/// `/console/devices/{id}/commands`: the latest commands alone, which an open page reads again and again.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Page, Fault> {
    viewer.must(Permission::CommandRead)?;
    let fault = |error| viewer.fault(error);
    let words = viewer.words();
    let id: DeviceId = named(&id, Noun::Device).map_err(fault)?;
    let commands = latest(&context, id).await.map_err(fault)?;
    let content = html! {
        p.path { a href={ "/console/devices/" (id) } { (words.go_back) } }
        h1 { (words.commands) }
        (orders(id, &commands, &viewer))
    };
    Ok(layout::page(&viewer, words.commands, &content))
}

/// A command, as it was filled in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    kind: String,
    volume: String,
    text: String,
}

impl Fields {
    fn command(&self) -> Result<NewCommand, Error> {
        let payload = match self.kind.parse() {
            Ok(CommandType::SetVolume) => {
                let volume: u8 = self
                    .volume
                    .trim()
                    .parse()
                    .map_err(|_| Error::field("payload.volume", "from 0 to 10"))?;
                Some(Map::from_iter([("volume".to_owned(), json!(volume))]))
            }
            Ok(CommandType::AnnounceText) => {
                let text = Value::from(self.text.trim());
                Some(Map::from_iter([("text".to_owned(), text)]))
            }
            _ => None,
        };
        Ok(NewCommand {
            kind: self.kind.clone(),
            payload,
            expires_in: None,
        })
    }
}

async fn give(
    context: &Context,
    viewer: &Viewer,
    id: DeviceId,
    wanted: Result<NewCommand, Error>,
) -> Result<Result<Redirect, Error>, Fault> {
    // Where two people must agree, this proposes it.
    let act = async |unit: &mut UnitOfWork| approval::create_command(unit, id, wanted?).await;
    let given = viewer
        .attempt(context, Permission::CommandWrite, act)
        .await?;
    Ok(given.map(|outcome| led_by(&outcome, &format!("/console/devices/{id}"))))
}

/// `POST /console/devices/{id}/test`.
pub(crate) async fn test(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, .. }: Sent<Nothing>,
) -> Result<Redirect, Fault> {
    let fault = |error| viewer.fault(error);
    let id: DeviceId = named(&id, Noun::Device).map_err(fault)?;
    let wanted = NewCommand {
        kind: CommandType::PlayTest.to_string(),
        payload: None,
        expires_in: None,
    };
    give(&context, &viewer, id, Ok(wanted))
        .await?
        .map_err(fault)
}

/// `POST /console/devices/{id}/command`. What is refused is shown in the form, with what was typed.
pub(crate) async fn send(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, fields }: Sent<Fields>,
) -> Result<Response, Fault> {
    let id: DeviceId = named(&id, Noun::Device).map_err(|error| viewer.fault(error))?;
    match give(&context, &viewer, id, fields.command()).await? {
        Ok(redirect) => Ok(redirect.into_response()),
        Err(error) => {
            let draft = Draft::Order {
                text: fields.text,
                wrong: viewer.told(&error),
            };
            let page = page_of(&context, &viewer, id, &draft).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}
