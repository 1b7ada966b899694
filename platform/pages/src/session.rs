//! Who looks: the session of a browser.
//!
//! A login makes the token that the API's login makes, and the browser keeps it in a cookie that no script can read and
//! that no request from another site carries. So a session ends as any login does: after its time, by logging out, when
//! the user is disabled or has another role or password. The API does not read the cookie.
//!
//! Each form has a text that only pages of this session know: a MAC over the session's token.

use aws_lc_rs::{constant_time, hmac};
use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::{COOKIE, HeaderMap, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use domain::role::{Permission, Role};
use http_api::{rate, request};
use service::people::token::{self, Principal};
use service::{Actor, Context, Error, span};
use store::Scope;
use wire::ids::{MerchantId, TokenId, UserId};

use crate::fault::Fault;
use crate::words::refusal::told;
use crate::words::{Language, Words};

/// The cookie with the session's token.
pub(crate) const SESSION: &str = "soundbox_session";
/// The cookie with the chosen language.
pub(crate) const LANGUAGE: &str = "soundbox_language";
/// The cookie that a login form is bound to.
pub(crate) const LOGIN: &str = "soundbox_login";
/// The longest value of a cookie that is looked at, bytes.
const COOKIE_BYTES_MAX: usize = 256;
/// How long a language is remembered: a year, seconds.
const LANGUAGE_AGE_S: u32 = 31_536_000;

/// A person who is logged in.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    /// The session.
    pub(crate) token_id: TokenId,
    /// The person.
    pub(crate) user_id: UserId,
    /// What the person is.
    pub(crate) role: Role,
    /// For merchant roles: whose pages these are.
    pub(crate) merchant_id: Option<MerchantId>,
    /// The language of the pages.
    pub(crate) language: Language,
    /// The secret of this session's forms.
    pub(crate) csrf: String,
    /// Who it is for use cases.
    pub(crate) principal: Principal,
    /// The path that is looked at, with its query.
    pub(crate) path: String,
    /// The time.
    pub(crate) now: DateTime<Utc>,
}

impl Viewer {
    /// The words of the pages.
    pub(crate) fn words(&self) -> &'static Words {
        self.language.words()
    }

    /// The caller, for the audit log.
    pub(crate) fn actor(&self) -> Actor {
        Actor {
            name: self.principal.name(),
            request_id: Some(request::id()),
        }
    }

    /// Whether the role has a permission.
    pub(crate) fn may(&self, permission: Permission) -> bool {
        self.role.may(permission)
    }

    /// Refuses a role without this permission.
    ///
    /// # Errors
    /// FORBIDDEN, and for merchants on staff's pages and the other way round.
    pub(crate) fn must(&self, permission: Permission) -> Result<Scope, Fault> {
        let allowed = self.may(permission);
        match self.principal.scope().filter(|_| allowed) {
            Some(scope) => Ok(scope),
            None => Err(self.fault(Error::Forbidden("your role may not do this"))),
        }
    }

    /// The merchant whose portal this is.
    ///
    /// # Errors
    /// FORBIDDEN for staff.
    pub(crate) fn merchant(&self) -> Result<MerchantId, Fault> {
        match self.must(Permission::PortalRead)? {
            Scope::Merchant(id) => Ok(id),
            Scope::All => Err(self.fault(Error::Forbidden("staff have no merchant"))),
        }
    }

    /// Refuses those who are not staff.
    ///
    /// # Errors
    /// FORBIDDEN for merchants.
    pub(crate) fn must_be_staff(&self) -> Result<(), Fault> {
        if self.role.is_of_merchant() {
            return Err(self.fault(Error::Forbidden("the console is for staff")));
        }
        Ok(())
    }

    /// What a use case says of a refusal, for a form of this viewer's that is shown again.
    pub(crate) fn told(&self, error: &Error) -> String {
        told(error, self.language)
    }

    /// An error on a page of this viewer's.
    pub(crate) fn fault(&self, error: impl Into<Error>) -> Fault {
        Fault::new(error.into(), self.language)
    }

    /// Where this viewer's pages begin.
    pub(crate) fn home(&self) -> &'static str {
        home(self.role)
    }
}

/// Where the pages of a role begin.
pub(crate) const fn home(role: Role) -> &'static str {
    if role.is_of_merchant() {
        "/portal/"
    } else {
        "/console/"
    }
}

/// Why there is no viewer.
pub(crate) enum Absent {
    /// Nobody is logged in: to the login, and back here afterwards.
    LoggedOut(String),
    /// Something else.
    Fault(Box<Fault>),
}

impl IntoResponse for Absent {
    fn into_response(self) -> Response {
        match self {
            Self::LoggedOut(path) => {
                let next: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
                Redirect::to(&format!("/login?next={next}")).into_response()
            }
            Self::Fault(fault) => fault.into_response(),
        }
    }
}

impl<S> FromRequestParts<S> for Viewer
where
    Context: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Absent;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Absent> {
        let context = Context::from_ref(state);
        match find(parts, &context).await {
            Ok(viewer) => Ok(viewer),
            Err(Error::Unauthenticated) => {
                let seen = path_of(&parts.uri);
                // After logging in a form cannot be sent again: it is shown again.
                let back = if parts.method == Method::GET {
                    seen
                } else {
                    String::new()
                };
                Err(Absent::LoggedOut(back))
            }
            Err(error) => {
                let language = language(&parts.headers).unwrap_or(Language::En);
                Err(Absent::Fault(Box::new(Fault::new(error, language))))
            }
        }
    }
}

/// Finds out who sent a request.
///
/// # Errors
/// [`Error::Unauthenticated`], too, for a token that is not a person's.
pub(crate) async fn find(parts: &Parts, context: &Context) -> Result<Viewer, Error> {
    let token = cookie(&parts.headers, SESSION).ok_or(Error::Unauthenticated)?;
    let principal = token::authenticate(context, token).await?;
    let Principal::Role {
        token_id,
        user_id: Some(user_id),
        role,
        merchant_id,
    } = principal
    else {
        return Err(Error::Unauthenticated);
    };
    request::set_principal(&principal.name());
    rate::admit_principal(&parts.extensions, &principal)?;
    if let Some(merchant_id) = merchant_id {
        span::set_merchant(merchant_id);
    }
    let own = if role.is_of_merchant() {
        Language::Id
    } else {
        Language::En
    };
    Ok(Viewer {
        token_id,
        user_id,
        role,
        merchant_id,
        language: language(&parts.headers).unwrap_or(own),
        csrf: csrf(token),
        principal,
        path: path_of(&parts.uri),
        now: context.clock().now(),
    })
}

fn path_of(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or_else(|| uri.path().to_owned(), ToString::to_string)
}

/// The language that a browser has chosen before.
pub(crate) fn language(headers: &HeaderMap) -> Option<Language> {
    cookie(headers, LANGUAGE).and_then(Language::of)
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .filter(|value| (1..=COOKIE_BYTES_MAX).contains(&value.len()))
}

/// What the forms of the session with this token have in them.
pub(crate) fn csrf(token: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    hex::encode(hmac::sign(&key, b"soundbox forms"))
}

/// Whether a form has what it must.
pub(crate) fn is_csrf(expected: &str, sent: &str) -> bool {
    constant_time::verify_slices_are_equal(expected.as_bytes(), sent.as_bytes()).is_ok()
}

/// A cookie that no script reads and no other site's request carries.
pub(crate) fn set(name: &str, value: &str, age_s: i64) -> HeaderValue {
    let text =
        format!("{name}={value}; Path=/; Max-Age={age_s}; HttpOnly; Secure; SameSite=Strict");
    // Values are ours: letters, digits, points, lines.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

/// The cookie of a chosen language.
pub(crate) fn set_language(language: Language) -> HeaderValue {
    set(LANGUAGE, language.code(), LANGUAGE_AGE_S.into())
}

/// A path of these pages, to go on to; anything else is none. So nobody is led to another site.
pub(crate) fn local(path: &str) -> Option<&str> {
    let is_ours = ["/console/", "/portal/"]
        .iter()
        .any(|begin| path.starts_with(begin));
    let is_plain = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (is_ours && is_plain && !path.contains("//")).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_pages_are_gone_on_to() {
        for ours in [
            "/console/",
            "/portal/history?from=2026-11-26",
            "/console/payments/trx_1",
        ] {
            assert_eq!(local(ours), Some(ours));
        }
        for other in [
            "",
            "/",
            "//evil.example",
            "https://evil.example/console/",
            "/console",
            "/\\evil.example",
            "/console/\\evil",
            "/console//evil.example",
            "/console/\r\nX: y",
            "/login",
        ] {
            assert_eq!(local(other), None, "{other}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(
            COOKIE,
            HeaderValue::from_static("a=1; soundbox_session=abc"),
        );
        headers.append(COOKIE, HeaderValue::from_static("soundbox_language=id"));
        assert_eq!(cookie(&headers, SESSION), Some("abc"));
        assert_eq!(language(&headers), Some(Language::Id));
        assert_eq!(cookie(&headers, "soundbox"), None);
    }

    #[test]
    fn forms_of_another_session_are_not_taken() {
        assert!(is_csrf(&csrf("one"), &csrf("one")));
        assert!(!is_csrf(&csrf("one"), &csrf("two")));
        assert!(!is_csrf(&csrf("one"), ""));
    }
}
