//! One's own password.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_api::rate::Origin;
use http_api::request;
use maud::html;
use serde::Deserialize;
use service::people::own_password::{self, PasswordChange};
use service::people::user;
use service::{Context, Error};
use store::Scope;

use crate::fault::Fault;
use crate::form::{self, Sent};
use crate::icon;
use crate::layout::{self, Page};
use crate::session::Viewer;

/// `/portal/account`.
pub(crate) async fn page(State(context): State<Context>, viewer: Viewer) -> Result<Page, Fault> {
    viewer.merchant()?;
    shown(&context, &viewer, None, false).await
}

async fn shown(
    context: &Context,
    viewer: &Viewer,
    wrong: Option<&str>,
    done: bool,
) -> Result<Page, Fault> {
    let words = viewer.words();
    let person = user::get(context, Scope::All, viewer.user_id).await;
    let person = person.map_err(|error| viewer.fault(error))?;
    let content = html! {
        h1 { (words.me) }
        p.quiet { (words.signed_in_as) " " strong { (person.email) } }
        @if done { p.done role="status" { (icon::check()) (words.password_changed) } }
        form.card.column method="post" action="/portal/account" {
            h2 { (words.change_password) }
            (form::secret(viewer))
            @if let Some(wrong) = wrong { p.error role="alert" { (icon::alert()) (wrong) } }
            label { (words.current_password)
                input type="password" name="current_password" autocomplete="current-password" required;
            }
            label { (words.new_password)
                input type="password" name="new_password" autocomplete="new-password" minlength="12" maxlength="128" required;
            }
            button.primary { (words.change_password) }
        }
    };
    Ok(layout::page(viewer, words.me, &content))
}

/// A new password.
#[derive(Deserialize)]
pub(crate) struct Change {
    #[serde(default)]
    current_password: String,
    #[serde(default)]
    new_password: String,
}

/// `POST /portal/account`.
pub(crate) async fn change(
    State(context): State<Context>,
    Extension(Origin(address)): Extension<Origin>,
    Sent { viewer, fields }: Sent<Change>,
) -> Result<Response, Fault> {
    viewer.merchant()?;
    let wanted = PasswordChange {
        current_password: fields.current_password,
        new_password: fields.new_password,
    };
    let asker = (viewer.token_id, Some(viewer.user_id));
    let address = address.map(|address| address.to_string());
    match own_password::change(&context, asker, wanted, address, Some(request::id())).await {
        Ok(_) => Ok(shown(&context, &viewer, None, true).await?.into_response()),
        Err(error @ (Error::Validation(_) | Error::RateLimited { .. })) => {
            let page = shown(&context, &viewer, Some(&viewer.told(&error)), false).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(error) => Err(viewer.fault(error)),
    }
}
