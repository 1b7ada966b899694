//! Boxes: the list, and one box with a button that lets it be heard.

use axum::extract::{Path, Query, State};
use axum::response::{Redirect, Response};
use chrono::{DateTime, Utc};
use domain::command::CommandType;
use domain::device::DeviceStatus;
use domain::role::Permission;
use http_api::device_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::fleet::command::{self, NewCommand};
use service::fleet::device;
use service::{Context, Error, Noun, UnitOfWork, word};
use store::fleet::command::{Command, Filter as CommandFilter};
use store::fleet::device_view::{DeviceView, Filter};
use store::{Page as StorePage, Scope};
use wire::ids::DeviceId;

use crate::fault::Fault;
use crate::form::{self, Nothing, Sent, named};
use crate::format::{ago, milliseconds, moment};
use crate::icon;
use crate::layout::{self, Page};
use crate::list::{self, Found, csv};
use crate::session::Viewer;
use crate::words::Words;
use crate::words::page::Filters;
use crate::words::state::{Tone, badge};

/// Commands that a box's page shows.
const COMMANDS_MAX: i64 = 20;

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    q: String,
    online: String,
    status: String,
    model: String,
    firmware: String,
    tag: String,
    merchant_id: String,
    from: String,
    to: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> [(&'static str, &str); 9] {
        [
            ("q", &self.q),
            ("online", &self.online),
            ("status", &self.status),
            ("model", &self.model),
            ("firmware", &self.firmware),
            ("tag", &self.tag),
            ("merchant_id", &self.merchant_id),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn filter(&self) -> Result<Filter, Error> {
        Ok(Filter {
            q: list::given(&self.q),
            online: list::given(&self.online).map(|text| text == "true"),
            status: list::given(&self.status),
            model: list::given(&self.model),
            firmware_version: list::given(&self.firmware),
            tag: list::given(&self.tag),
            merchant_id: word("merchant_id", list::given(&self.merchant_id).as_deref())?,
            period: list::period(&self.from, &self.to)?,
            ..Filter::default()
        })
    }

    async fn read(&self, context: &Context, scope: Scope) -> Result<Vec<DeviceView>, Error> {
        let page = list::page(Some(&self.after))?;
        device::list(context, scope, &self.filter()?, page).await
    }

    /// Whether a filter is set that is seldom used.
    fn has_more(&self) -> bool {
        let more = [&self.model, &self.firmware, &self.tag, &self.from, &self.to];
        more.iter().any(|text| !text.is_empty())
    }
}

/// Whether a box is connected, with its colour.
pub(crate) fn presence(online: bool, words: &Words) -> Markup {
    badge(if online {
        (words.online, Tone::Good)
    } else {
        (words.offline, Tone::Bad)
    })
}

/// `/console/devices`.
pub(crate) async fn list(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    let scope = viewer.must(Permission::DeviceRead)?;
    let words = viewer.words();
    let found = Found::of(asked.read(&context, scope).await, |row| {
        (row.created_at, row.id.as_uuid())
    });
    let found = found.map_err(|error| viewer.fault(error))?;
    let statuses: Vec<(&str, &str)> = DeviceStatus::ALL
        .iter()
        .map(|status| (status.as_str(), words.device(*status).0))
        .collect();
    let online = [("true", words.online), ("false", words.offline)];
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/devices",
        filters: &pairs,
        after: &asked.after,
        words,
    };
    let labels = Filters::of(viewer.language);
    let seldom = html! {
        (list::search("model", &asked.model, words.model))
        (list::search("firmware", &asked.firmware, words.firmware))
        (list::search("tag", &asked.tag, labels.tag))
        (list::days(&asked.from, &asked.to, words))
    };
    let controls = html! {
        (list::search("q", &asked.q, words.serial_or_id))
        (list::choice("online", &asked.online, words.presence, words.all_boxes, &online))
        (list::choice("status", &asked.status, words.status, words.any, &statuses))
        (list::merchant(&asked.merchant_id, labels))
        (list::more(labels.more, asked.has_more(), &seldom))
    };
    let shown = found.shown(|rows| table(rows, &viewer));
    let content = html! {
        (listing.head(words.devices))
        (listing.form(&controls))
        (found.complaint())
        (listing.rows(shown.as_ref(), words.no_devices, found.next.as_deref()))
    };
    Ok(layout::page(&viewer, words.devices, &content))
}

/// `/console/devices.csv`: all that the list has with these filters.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let scope = viewer.must(Permission::DeviceRead)?;
    let filter = asked.filter().map_err(|error| viewer.fault(error))?;
    Ok(csv(device_file(
        &context,
        scope,
        filter,
        viewer.language.of_file(),
    )
    .await))
}

fn table(rows: &[DeviceView], viewer: &Viewer) -> Markup {
    let words = viewer.words();
    html! {
        div.scroll {
            table data-sort {
                thead { tr {
                    th { (words.serial_number) } th { (words.presence) } th { (words.status) } th { (words.last_seen) }
                    th { (words.model) } th { (words.firmware) } th.number { (words.battery) } th.number { (words.signal) }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            td { a href={ "/console/devices/" (row.id) } { (row.serial_number) } }
                            td { (presence(row.online, words)) }
                            td { (badge(words.device(row.status))) }
                            td { (seen(row.last_seen_at, viewer)) }
                            td { (row.model) }
                            td { (row.firmware_version.as_deref().unwrap_or("–")) }
                            td.number { (percent(row.battery_level)) }
                            td.number { (percent(row.network_strength)) }
                        }
                    }
                }
            }
        }
    }
}

/// When a box was last heard from.
pub(crate) fn seen(at: Option<DateTime<Utc>>, viewer: &Viewer) -> Markup {
    html! {
        @match at {
            Some(at) => time datetime=(at.to_rfc3339()) title=(moment(at)) { (ago(at, viewer.now, viewer.words())) },
            None => (viewer.words().never),
        }
    }
}

fn percent(value: Option<i16>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value} %"))
}

/// `/console/devices/{id}`.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Page, Fault> {
    let scope = viewer.must(Permission::DeviceRead)?;
    let fault = |error| viewer.fault(error);
    let words = viewer.words();
    let id: DeviceId = named(&id, Noun::Device).map_err(fault)?;
    let row = device::get(&context, scope, id).await.map_err(fault)?;
    let latest = StorePage {
        limit: COMMANDS_MAX,
        after: None,
    };
    let commands = if viewer.may(Permission::CommandRead) {
        let found = command::list_of_device(&context, id, &CommandFilter::default(), latest).await;
        found.map_err(fault)?
    } else {
        Vec::new()
    };
    let content = html! {
        p.path { a href="/console/devices" { (words.devices) } }
        div.head {
            h1 { (row.serial_number) " " (presence(row.online, words)) }
            @if viewer.may(Permission::CommandWrite) {
                form method="post" action={ "/console/devices/" (id) "/test" } {
                    (form::secret(&viewer))
                    button.primary title=(words.test_sound_hint) { (icon::sound()) (words.test_sound) }
                }
            }
        }
        (facts(&row, &viewer))
        section {
            h2 { (words.commands) }
            (orders(&commands, words))
        }
    };
    Ok(layout::page(&viewer, &row.serial_number, &content))
}

fn facts(row: &DeviceView, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let capabilities: Vec<&str> = row.capabilities.iter().map(|one| one.as_str()).collect();
    html! {
        dl.facts {
            div { dt { (words.status) } dd { (badge(words.device(row.status))) } }
            div { dt { (words.last_seen) } dd { (seen(row.last_seen_at, viewer)) } }
            div { dt { (words.stands_at) } dd {
                @match &row.binding {
                    Some(binding) => {
                        @if viewer.may(Permission::MerchantRead) {
                            a href={ "/console/merchants/" (binding.merchant_id) } { (binding.terminal_id) }
                        } @else { (binding.terminal_id) }
                    }
                    None => (words.not_bound),
                }
            } }
            div { dt { (words.model) } dd { (row.model) } }
            div { dt { (words.profile) } dd { (row.profile) " · " (row.communication_mode.as_str()) } }
            div { dt { (words.firmware) } dd { (row.firmware_version.as_deref().unwrap_or("–")) } }
            div { dt { (words.battery) } dd { (percent(row.battery_level)) } }
            div { dt { (words.signal) } dd { (percent(row.network_strength)) } }
            div { dt { (words.capabilities) } dd { (capabilities.join(", ")) } }
            @if let Some(certificate) = &row.certificate {
                div { dt { (words.certificate_until) } dd { (moment(certificate.not_after)) } }
            }
            div { dt { "ID" } dd.code { (row.id) } }
        }
    }
}

/// The latest commands. While one is open the script reads this part again, so that its end is seen.
pub(crate) fn orders(commands: &[Command], words: &Words) -> Markup {
    let is_open = commands.iter().any(|one| one.status.is_open());
    html! {
        div #orders data-refresh=[is_open.then_some("700")] {
            @if commands.is_empty() { (list::empty(words.no_commands)) }
            ol.orders {
                @for one in commands {
                    li {
                        time datetime=(one.created_at.to_rfc3339()) { (moment(one.created_at)) }
                        span.what { (kind(one.kind, words)) @if let Some(reason) = &one.reason { small { (reason) } } }
                        (way(one, words))
                    }
                }
            }
        }
    }
}

/// queued → sent → delivered, each with its milliseconds.
fn way(one: &Command, words: &Words) -> Markup {
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

fn kind(kind: CommandType, words: &Words) -> String {
    match kind {
        CommandType::PlayTest => words.test_sound.to_owned(),
        other => other.to_string(),
    }
}

/// `POST /console/devices/{id}/test`.
pub(crate) async fn test(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, .. }: Sent<Nothing>,
) -> Result<Redirect, Fault> {
    let wanted = NewCommand {
        kind: CommandType::PlayTest.to_string(),
        payload: None,
        expires_in: None,
    };
    let act = async |unit: &mut UnitOfWork| {
        command::create(unit, named(&id, Noun::Device)?, wanted).await
    };
    viewer
        .change(&context, Permission::CommandWrite, act)
        .await?;
    Ok(Redirect::to(&format!("/console/devices/{id}")))
}
