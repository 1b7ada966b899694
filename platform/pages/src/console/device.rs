//! Boxes: the list, and one box with what is known of it.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::device::DeviceStatus;
use domain::role::Permission;
use http_api::device_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::fleet::device;
use service::{Context, Error, Noun};
use store::Scope;
use store::fleet::device_view::{DeviceView, Filter};
use wire::ids::DeviceId;

use super::settings_form::Fields;
use super::{device_beats, device_history, device_order, device_settings};
use crate::fault::Fault;
use crate::form::named;
use crate::format::{ago, moment};
use crate::icon;
use crate::layout::{self, Page};
use crate::list::{self, Found, csv};
use crate::session::Viewer;
use crate::words::Words;
use crate::words::device::Boxes;
use crate::words::page::Filters;
use crate::words::state::{Tone, badge};

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
            merchant_id: list::word("merchant_id", &self.merchant_id)?,
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
    let found = Found::of(&viewer, asked.read(&context, scope).await, |row| {
        (row.created_at, row.id.as_uuid())
    })?;
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
        viewer: &viewer,
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
    Ok(
        listing.page(words.devices, &controls, &found, words.no_devices, |rows| {
            table(rows, &viewer)
        }),
    )
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
        div.scroll tabindex="0" {
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

/// What was typed into a form of the page and refused, and why.
pub(super) enum Draft {
    /// Nothing.
    Empty,
    /// A text to say.
    Order { text: String, wrong: String },
    /// What is set on this box alone.
    Settings { fields: Box<Fields>, wrong: String },
}

impl Draft {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Order { text, .. } => text,
            _ => "",
        }
    }

    pub(super) fn order_wrong(&self) -> Option<&str> {
        match self {
            Self::Order { wrong, .. } => Some(wrong),
            _ => None,
        }
    }
}

/// What was just done.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Done {
    pub(super) saved: String,
}

/// `/console/devices/{id}`.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(done): Query<Done>,
) -> Result<Page, Fault> {
    viewer.must(Permission::DeviceRead)?;
    let id: DeviceId = named(&id, Noun::Device).map_err(|error| viewer.fault(error))?;
    let saved = (!done.saved.is_empty()).then_some(Boxes::of(viewer.language).saved);
    shown(&context, &viewer, id, &Draft::Empty, saved).await
}

/// The page with a form that was refused.
pub(super) async fn page_of(
    context: &Context,
    viewer: &Viewer,
    id: DeviceId,
    draft: &Draft,
) -> Result<Page, Fault> {
    shown(context, viewer, id, draft, None).await
}

async fn shown(
    context: &Context,
    viewer: &Viewer,
    id: DeviceId,
    draft: &Draft,
    done: Option<&str>,
) -> Result<Page, Fault> {
    let scope = viewer.must(Permission::DeviceRead)?;
    let fault = |error| viewer.fault(error);
    let words = viewer.words();
    let row = device::get(context, scope, id).await.map_err(fault)?;
    let commands = if viewer.may(Permission::CommandRead) {
        device_order::latest(context, id).await.map_err(fault)?
    } else {
        Vec::new()
    };
    let beats = device_beats::charts(context, viewer, id)
        .await
        .map_err(fault)?;
    let settings = device_settings::section(context, viewer, id, draft)
        .await
        .map_err(fault)?;
    let history = device_history::sections(context, viewer, id)
        .await
        .map_err(fault)?;
    let content = html! {
        p.path { a href="/console/devices" { (words.devices) } }
        div.head {
            h1 { (row.serial_number) " " (presence(row.online, words)) }
            @if viewer.may(Permission::CommandWrite) { (device_order::test_button(context, &row, viewer)) }
        }
        @if let Some(done) = done { p.done role="status" { (icon::check()) (done) } }
        (facts(&row, viewer))
        @if viewer.may(Permission::CommandWrite) { (device_order::buttons(context, &row, draft, viewer)) }
        section {
            h2 { (words.commands) }
            (device_order::orders(id, &commands, viewer))
        }
        (beats)
        (settings)
        (history)
    };
    Ok(layout::page(viewer, &row.serial_number, &content))
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
