//! The codes of the tills, as sheets to be printed.

use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use domain::transaction::QrMode;
use http_api::error::ApiError;
use http_api::qr_image;
use maud::{PreEscaped, html};
use service::shop::{merchant, outlet, terminal};
use service::{Context, Error, Noun};
use store::{Page as StorePage, Scope};
use wire::ids::TerminalId;

use crate::fault::Fault;
use crate::form::named;
use crate::icon;
use crate::layout::{self, Page};
use crate::list;
use crate::session::Viewer;
use crate::words::portal::Portal;

/// Tills that are listed.
const TILLS_MAX: i64 = 200;

/// `/portal/qr`.
pub(crate) async fn list(State(context): State<Context>, viewer: Viewer) -> Result<Page, Fault> {
    let merchant_id = viewer.merchant()?;
    let scope = Scope::Merchant(merchant_id);
    let fault = |error| viewer.fault(error);
    let (words, own) = (viewer.words(), Portal::of(viewer.language));
    let all = StorePage {
        limit: TILLS_MAX,
        after: None,
    };
    let shop = merchant::get(&context, scope, merchant_id)
        .await
        .map_err(fault)?;
    let tills = terminal::list(&context, scope, None, all)
        .await
        .map_err(fault)?;
    let printable: Vec<_> = tills
        .iter()
        .filter(|till| shop.nmid.is_some() && !matches!(till.qr_mode, QrMode::Dynamic))
        .collect();
    let content = html! {
        h1 { (words.code) }
        @if printable.is_empty() { (list::empty(words.no_codes)) }
        ul.cards {
            @for till in printable {
                li.card {
                    div.head {
                        h2 { (till.name) }
                        div.buttons {
                            a.button href={ "/portal/qr/" (till.id) } { (icon::code()) (words.poster) }
                            a.button href={ "/portal/qr/" (till.id) "/code.png" } download { (icon::download()) (own.as_png) }
                            a.button href={ "/portal/qr/" (till.id) "/code.svg" } download { (icon::download()) (own.as_svg) }
                        }
                    }
                }
            }
        }
    };
    Ok(layout::page(&viewer, words.code, &content))
}

/// `/portal/qr/{terminal}`: A5 or A6, as the printer is set.
pub(crate) async fn sheet(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Page, Fault> {
    let merchant_id = viewer.merchant()?;
    let scope = Scope::Merchant(merchant_id);
    let fault = |error| viewer.fault(error);
    let words = viewer.words();
    let id: TerminalId = named(&id, Noun::Terminal).map_err(fault)?;
    let till = terminal::get(&context, scope, id)
        .await
        .map_err(fault)?
        .terminal;
    let shop = merchant::get(&context, scope, merchant_id)
        .await
        .map_err(fault)?;
    let place = outlet::get(&context, scope, till.outlet_id)
        .await
        .map_err(fault)?;
    let payload = terminal::static_qr_payload(&context, scope, id)
        .await
        .map_err(fault)?;
    let picture = qr_image::svg(&payload).map_err(|error| fault(undrawn(&error)))?;
    let content = html! {
        p.no-print { a href="/portal/qr" { (words.go_back) } " · " (words.print) }
        main.poster #content {
            p.qris { "QRIS" }
            h1 { (shop.brand_name) }
            @if let Some(nmid) = &shop.nmid { p.code { "NMID: " (nmid) } }
            div.picture { (PreEscaped(picture)) }
            p { (place.name) " · " (till.name) }
            p.slogan { (words.scan_to_pay) }
            p.quiet { (words.one_code_for_all) }
        }
    };
    Ok(layout::sheet(&viewer, &shop.brand_name, &content))
}

/// A picture that could not be drawn, which is a bug.
fn undrawn(error: &ApiError) -> Error {
    Error::Internal(anyhow::anyhow!("{:?}", error.code()))
}

/// The printed code of one of the shop's own tills.
async fn payload(
    context: &Context,
    viewer: &Viewer,
    id: &str,
) -> Result<(TerminalId, String), Fault> {
    let scope = Scope::Merchant(viewer.merchant()?);
    let fault = |error| viewer.fault(error);
    let id: TerminalId = named(id, Noun::Terminal).map_err(fault)?;
    let payload = terminal::static_qr_payload(context, scope, id).await;
    Ok((id, payload.map_err(fault)?))
}

fn picture(content_type: &'static str, name: &str, bytes: Vec<u8>) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [
        (CONTENT_TYPE, content_type.to_owned()),
        (CONTENT_DISPOSITION, disposition),
    ];
    (headers, bytes).into_response()
}

/// `/portal/qr/{terminal}/code.svg`: for a printer of any size.
pub(crate) async fn svg(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let (id, payload) = payload(&context, &viewer, &id).await?;
    let drawn = qr_image::svg(&payload).map_err(|error| viewer.fault(undrawn(&error)))?;
    Ok(picture(
        "image/svg+xml",
        &format!("{id}.svg"),
        drawn.into_bytes(),
    ))
}

/// `/portal/qr/{terminal}/code.png`.
pub(crate) async fn png(
    State(context): State<Context>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let (id, payload) = payload(&context, &viewer, &id).await?;
    let drawn = qr_image::png(&payload).map_err(|error| viewer.fault(undrawn(&error)))?;
    Ok(picture("image/png", &format!("{id}.png"), drawn))
}
