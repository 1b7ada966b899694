//! Logging in and out, and the language.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::header::{HOST, HeaderMap, HeaderValue, ORIGIN, SET_COOKIE};
use axum::http::{StatusCode, request::Parts};
use axum::response::{IntoResponse, Redirect, Response};
use http_api::rate::Origin;
use http_api::request;
use maud::html;
use serde::Deserialize;
use service::people::{login, token};
use service::{Context, Error, secret};

use crate::fault::Fault;
use crate::form::{self, Nothing, Sent};
use crate::layout::{self, Page};
use crate::session::{self, LOGIN, SESSION};
use crate::words::Language;
use crate::words::user::UserWords;
use crate::{asset, icon};

/// How long a session is good; its token ends by itself.
const SESSION_AGE_S: i64 = 12 * 3600;
/// How long a login form can be sent.
const LOGIN_AGE_S: i64 = 3600;

/// What leads to a login.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    next: String,
    language: Option<String>,
}

/// `GET /login`.
pub(crate) async fn page(
    State(context): State<Context>,
    Query(asked): Query<Asked>,
    parts: Parts,
) -> Response {
    if let Ok(viewer) = session::find(&parts, &context).await {
        let on = session::local(&asked.next).unwrap_or(viewer.home());
        return Redirect::to(on).into_response();
    }
    let chosen = asked.language.as_deref().and_then(Language::of);
    let language = chosen.unwrap_or_else(|| language_of(&parts.headers));
    let known = session::cookie(&parts.headers, LOGIN);
    let bound = known.map_or_else(random, str::to_owned);
    let mut response = with_cookie(shown(language, &bound, "", &asked.next, None), &bound);
    if let Some(language) = chosen {
        let cookie = session::set_language(language);
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// The language of somebody who is not logged in: as chosen, or as the browser is set.
pub(crate) fn language_of(headers: &HeaderMap) -> Language {
    let preferred = headers
        .get("accept-language")
        .and_then(|value| value.to_str().ok())
        .map_or(Language::En, |accepted| {
            if accepted.trim_start().to_ascii_lowercase().starts_with("id") {
                Language::Id
            } else {
                Language::En
            }
        });
    session::language(headers).unwrap_or(preferred)
}

/// What a form of somebody who is not logged in is bound to.
pub(crate) fn random() -> String {
    secret::token("sbf")
}

/// An answer with such a form, and the cookie that the form is bound to.
pub(crate) fn with_cookie(page: impl IntoResponse, bound: &str) -> Response {
    let mut response = page.into_response();
    let cookie = session::set(LOGIN, bound, LOGIN_AGE_S);
    response.headers_mut().append(SET_COOKIE, cookie);
    response
}

fn shown(language: Language, bound: &str, email: &str, next: &str, wrong: Option<&str>) -> Page {
    let words = language.words();
    let other = language.other();
    let on = session::local(next).unwrap_or_default();
    let switched: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("language", other.code())
        .append_pair("next", on)
        .finish();
    let content = html! {
        div.login.card {
            img src=(asset::path("icon.svg")) alt="" width="56" height="56";
            h1 { (words.product) }
            @if let Some(wrong) = wrong {
                p.error role="alert" { (icon::alert()) (wrong) }
            }
            form method="post" action="/login" {
                input type="hidden" name="csrf" value=(session::csrf(bound));
                input type="hidden" name="next" value=(on);
                label { (words.email)
                    input type="email" name="email" value=(email) autocomplete="username" required autofocus[email.is_empty()];
                }
                label { (words.password)
                    input type="password" name="password" autocomplete="current-password" required autofocus[!email.is_empty()];
                }
                button.primary { (words.log_in) }
            }
        }
        p.foot {
            a href={ "/login?" (switched) } lang=(other.code()) { (words.other_language) }
            a href="/password" { (UserWords::of(words.language).have_code) }
            a href="/docs" { (words.api_documentation) }
        }
    };
    layout::bare(language, words.log_in, &content)
}

/// Who wants to be logged in, and where to go then.
#[derive(Debug, Default, Deserialize)]
struct Entered {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

/// `POST /login`.
///
/// Nobody is logged in yet, so the form's secret belongs to a cookie of its own. A client that sends none must not be
/// a page of another site: browsers say from where a form comes.
pub(crate) async fn log_in(
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
        let page = shown(language, &bound, &entered.email, &entered.next, Some(wrong));
        with_cookie((status, page), &bound)
    };
    if !is_of_its_page(&headers, csrf.as_deref()) {
        return again(StatusCode::FORBIDDEN, words.form_expired);
    }
    let wanted = login::Login {
        email: entered.email.trim().to_owned(),
        password: entered.password.clone(),
    };
    let address = address.map(|address| address.to_string());
    let new = match login::login(&context, wanted, address, Some(request::id())).await {
        Ok(new) => new,
        Err(Error::WrongLogin | Error::Validation(_)) => {
            return again(StatusCode::UNAUTHORIZED, words.wrong_login);
        }
        Err(error @ Error::RateLimited { .. }) => {
            let mut response = again(StatusCode::TOO_MANY_REQUESTS, words.too_many_logins);
            if let Error::RateLimited { retry_after_s, .. } = error {
                let wait = HeaderValue::from(retry_after_s);
                response.headers_mut().insert("retry-after", wait);
            }
            return response;
        }
        Err(error) => return Fault::new(error, language).into_response(),
    };
    request::set_principal(&new.user.id.to_string());
    let home = session::home(new.user.role);
    // A path of the other kind of pages would only be refused.
    let on = session::local(&entered.next)
        .filter(|path| path.starts_with(home))
        .unwrap_or(home);
    let mut response = Redirect::to(on).into_response();
    let cookies = response.headers_mut();
    cookies.append(SET_COOKIE, session::set(SESSION, &new.token, SESSION_AGE_S));
    cookies.append(SET_COOKIE, session::set(LOGIN, "", 0));
    response
}

/// Whether a form of somebody who is not logged in comes from our own page, or from no page at all.
pub(crate) fn is_of_its_page(headers: &HeaderMap, secret: Option<&str>) -> bool {
    if let Some(secret) = secret {
        return session::cookie(headers, LOGIN)
            .is_some_and(|bound| session::is_csrf(&session::csrf(bound), secret));
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return false;
    }
    let origin = text(ORIGIN.as_str());
    let own = origin
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, host)| host);
    origin.is_none() || (own.is_some() && own == text(HOST.as_str()))
}

/// `POST /logout`.
pub(crate) async fn log_out(
    State(context): State<Context>,
    Sent {
        viewer,
        fields: Nothing {},
    }: Sent<Nothing>,
) -> Result<Response, Fault> {
    let fault = |error| viewer.fault(error);
    let mut unit = context.begin(viewer.actor()).await.map_err(fault)?;
    token::revoke(&mut unit, viewer.token_id)
        .await
        .map_err(fault)?;
    unit.commit().await.map_err(fault)?;
    let mut response = Redirect::to("/login").into_response();
    let gone = session::set(SESSION, "", 0);
    response.headers_mut().append(SET_COOKIE, gone);
    Ok(response)
}

/// The language to go on in.
#[derive(Debug, Deserialize)]
pub(crate) struct Chosen {
    language: Language,
    #[serde(default)]
    back: String,
}

/// `POST /language`.
pub(crate) async fn choose_language(Sent { viewer, fields }: Sent<Chosen>) -> Response {
    let on = session::local(&fields.back).unwrap_or(viewer.home());
    let mut response = Redirect::to(on).into_response();
    let cookie = session::set_language(fields.language);
    response.headers_mut().append(SET_COOKIE, cookie);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_page_of_another_site_logs_nobody_in() {
        let own = headers(&[("host", "a.example"), ("origin", "https://a.example")]);
        assert!(is_of_its_page(&own, None));
        assert!(is_of_its_page(&headers(&[]), None));
        for foreign in [
            headers(&[("host", "a.example"), ("origin", "https://b.example")]),
            headers(&[("host", "a.example"), ("origin", "null")]),
            headers(&[("sec-fetch-site", "cross-site")]),
            headers(&[("sec-fetch-site", "same-site")]),
        ] {
            assert!(!is_of_its_page(&foreign, None), "{foreign:?}");
        }
    }

    #[test]
    fn a_secret_that_is_sent_must_be_the_cookies() {
        let bound = headers(&[("cookie", "soundbox_login=abc")]);
        assert!(is_of_its_page(&bound, Some(&session::csrf("abc"))));
        assert!(!is_of_its_page(&bound, Some(&session::csrf("abd"))));
        assert!(!is_of_its_page(&headers(&[]), Some(&session::csrf("abc"))));
    }
}
