//! Setting a password with a one-time code: for those who were made or reset by others, and cannot log in yet.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use axum::response::{IntoResponse, Response};
use http_api::rate::Origin;
use http_api::request;
use maud::html;
use serde::Deserialize;
use service::people::own_password::{self, PasswordSetup};
use service::{Context, Error};

use crate::fault::Fault;
use crate::layout::{self, Page};
use crate::login::{is_of_its_page, language_of, random, with_cookie};
use crate::session::{self, LOGIN};
use crate::words::Language;
use crate::words::refusal::told;
use crate::words::user::UserWords;
use crate::{asset, form, icon, list};

/// Who sets a password, and with which code.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entered {
    email: String,
    code: String,
    second_code: String,
    password: String,
}

/// `GET /password`.
pub(crate) async fn page(headers: HeaderMap) -> Response {
    let language = language_of(&headers);
    let bound = session::cookie(&headers, LOGIN).map_or_else(random, str::to_owned);
    let page = shown(language, &bound, &Entered::default(), None);
    with_cookie(page, &bound)
}

fn shown(language: Language, bound: &str, entered: &Entered, wrong: Option<&str>) -> Page {
    let words = language.words();
    let own = UserWords::of(words.language);
    let content = html! {
        div.login.card {
            img src=(asset::path("icon.svg")) alt="" width="56" height="56";
            h1 { (own.set_password) }
            @if let Some(wrong) = wrong { p.error role="alert" { (icon::alert()) (wrong) } }
            form method="post" action="/password" {
                input type="hidden" name="csrf" value=(session::csrf(bound));
                label { (own.email)
                    input type="email" name="email" value=(entered.email) autocomplete="username" required;
                }
                label { (own.code) input name="code" value=(entered.code) autocomplete="off" required maxlength="100"; }
                label { (own.second_code) input name="second_code" value=(entered.second_code) autocomplete="off" maxlength="100"; }
                label { (own.new_password)
                    input type="password" name="password" autocomplete="new-password" minlength="12" maxlength="128" required;
                }
                button.primary { (own.set_password) }
            }
        }
        p.foot { a href="/login" { (words.log_in) } }
    };
    layout::bare(language, own.set_password, &content)
}

/// `POST /password`. As at a login, the form's secret belongs to a cookie of its own.
pub(crate) async fn set(
    State(context): State<Context>,
    Extension(Origin(address)): Extension<Origin>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let language = language_of(&headers);
    let words = language.words();
    let (fields, csrf) = form::read(&body);
    let entered: Entered = match form::typed(fields) {
        Ok(entered) => entered,
        Err(error) => return Fault::new(error, language).into_response(),
    };
    let again = |status: StatusCode, wrong: &str| {
        let bound = random();
        let page = shown(language, &bound, &entered, Some(wrong));
        with_cookie((status, page), &bound)
    };
    if !is_of_its_page(&headers, csrf.as_deref()) {
        return again(StatusCode::FORBIDDEN, words.form_expired);
    }
    let wanted = PasswordSetup {
        email: entered.email.trim().to_owned(),
        code: entered.code.clone(),
        second_code: list::given(&entered.second_code),
        password: entered.password.clone(),
    };
    let address = address.map(|address| address.to_string());
    match own_password::set_up(&context, wanted, address, Some(request::id())).await {
        Ok(user) => {
            request::set_principal(&user.id.to_string());
            let content = html! {
                div.login.card {
                    h1 { (UserWords::of(words.language).set_password) }
                    p.done role="status" { (icon::check()) (UserWords::of(words.language).password_set) }
                    p { a.button href="/login" { (words.log_in) } }
                }
            };
            layout::bare(
                language,
                UserWords::of(words.language).set_password,
                &content,
            )
            .into_response()
        }
        Err(Error::WrongLogin) => again(
            StatusCode::UNAUTHORIZED,
            UserWords::of(words.language).code_wrong,
        ),
        Err(error @ Error::Validation(_)) => {
            again(StatusCode::UNPROCESSABLE_ENTITY, &told(&error, language))
        }
        Err(Error::RateLimited { .. }) => {
            again(StatusCode::TOO_MANY_REQUESTS, words.too_many_logins)
        }
        Err(error) => Fault::new(error, language).into_response(),
    }
}
