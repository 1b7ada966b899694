//! The shop's boxes: are they there, can they be heard, how loud are they.

use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use domain::device::Capability;
use domain::role::Permission;
use maud::{Markup, html};
use serde::Deserialize;
use service::fleet::device;
use service::payment::notification;
use service::shop::portal::{self, OwnCommand};
use service::{Context, Error, Noun, UnitOfWork};
use store::fleet::device_view::{DeviceView, Filter};
use store::{Page as StorePage, Scope};
use wire::ids::DeviceId;

use crate::console::device::{presence, seen};
use crate::console::device_history::announcements;
use crate::fault::Fault;
use crate::form::{self, Nothing, Sent, named};
use crate::icon;
use crate::layout::{self, Page};
use crate::list;
use crate::session::Viewer;
use crate::words::portal::Portal;

/// Payments that a box's page shows.
const LATEST: StorePage = StorePage {
    limit: 20,
    after: None,
};
/// The loudest.
const VOLUME_MAX: u8 = 10;

/// What was just done, and the place in the list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    sent: String,
    after: String,
}

/// `/portal/devices`.
pub(crate) async fn page(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Page, Fault> {
    let scope = Scope::Merchant(viewer.merchant()?);
    let fault = |error| viewer.fault(error);
    let words = viewer.words();
    let page = list::page(Some(&asked.after)).map_err(fault)?;
    let mut rows = device::list(&context, scope, &Filter::default(), page)
        .await
        .map_err(fault)?;
    let next = list::cut(&mut rows, |row| (row.created_at, row.id.as_uuid()));
    let content = html! {
        h1 { (words.boxes) }
        @if !asked.sent.is_empty() { p.done role="status" { (icon::check()) (words.sent_to_box) } }
        @if rows.is_empty() { (list::empty(words.portal_no_devices)) }
        ul.cards { @for row in &rows { (card(row, &viewer)) } }
        (list::pager("/portal/devices", &[], asked.after.is_empty(), next.as_deref(), words))
    };
    Ok(layout::page(&viewer, words.boxes, &content))
}

fn card(row: &DeviceView, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let path = format!("/portal/devices/{}", row.id);
    html! {
        li.card {
            div.head { h2 { a href=(path) { (row.serial_number) } } (presence(row.online, words)) }
            p.quiet { (words.last_seen) ": " (seen(row.last_seen_at, viewer)) }
            div.decision {
                form method="post" action={ (path) "/test" } {
                    (form::secret(viewer))
                    button.primary { (icon::sound()) (words.test_sound) }
                }
                @if row.capabilities.contains(&Capability::Speaker) {
                    form method="post" action={ (path) "/volume" } {
                        (form::secret(viewer))
                        label { (words.volume)
                            input type="number" name="volume" min="0" max=(VOLUME_MAX) value="7" required;
                        }
                        button { (words.set) }
                    }
                }
            }
        }
    }
}

/// `/portal/devices/{id}`: one box, and the payments that it was last told of.
pub(crate) async fn one(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Page, Fault> {
    let merchant_id = viewer.merchant()?;
    let scope = Scope::Merchant(merchant_id);
    let fault = |error| viewer.fault(error);
    let (words, own) = (viewer.words(), Portal::of(viewer.language));
    let id: DeviceId = named(&id, Noun::Device).map_err(fault)?;
    let row = device::get(&context, scope, id).await.map_err(fault)?;
    let told = notification::list_of_device(&context, scope, id, LATEST).await;
    let told = told.map_err(fault)?;
    let content = html! {
        p.path { a href="/portal/devices" { (words.boxes) } }
        div.head { h1 { (row.serial_number) " " (presence(row.online, words)) } }
        ul.cards { (card(&row, &viewer)) }
        section {
            h2 { (own.last_said) }
            @if told.is_empty() { (list::empty(own.nothing_said)) }
            @else { (announcements(&told, &viewer)) }
        }
    };
    Ok(layout::page(&viewer, &row.serial_number, &content))
}

async fn order(
    context: &Context,
    viewer: &Viewer,
    id: &str,
    wanted: OwnCommand,
) -> Result<Redirect, Fault> {
    let merchant_id = viewer.merchant()?;
    let act = async |unit: &mut UnitOfWork| {
        portal::command(unit, merchant_id, named(id, Noun::Device)?, wanted).await
    };
    viewer.change(context, Permission::PortalRead, act).await?;
    Ok(Redirect::to("/portal/devices?sent=1"))
}

/// `POST /portal/devices/{id}/test`.
pub(crate) async fn test(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, .. }: Sent<Nothing>,
) -> Result<Redirect, Fault> {
    order(&context, &viewer, &id, OwnCommand::Test).await
}

/// How loud.
#[derive(Debug, Deserialize)]
pub(crate) struct Volume {
    #[serde(default)]
    volume: String,
}

/// `POST /portal/devices/{id}/volume`.
pub(crate) async fn volume(
    State(context): State<Context>,
    Path(id): Path<String>,
    Sent { viewer, fields }: Sent<Volume>,
) -> Result<Redirect, Fault> {
    let volume: u8 = fields
        .volume
        .parse()
        .ok()
        .filter(|volume| *volume <= VOLUME_MAX)
        .ok_or_else(|| viewer.fault(Error::field("volume", "from 0 to 10")))?;
    order(&context, &viewer, &id, OwnCommand::Volume(volume)).await
}
