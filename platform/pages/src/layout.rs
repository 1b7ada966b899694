//! What every page is framed by.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use domain::role::Permission;
use maud::{DOCTYPE, Markup, html};

use crate::session::Viewer;
use crate::words::Language;
use crate::words::acquirer::AcquirerWords;
use crate::words::audit::AuditWords;
use crate::words::device::Boxes;
use crate::words::incident::IncidentWords;
use crate::words::ledger::LedgerWords;
use crate::words::payout::PayoutWords;
use crate::words::portal::Portal;
use crate::words::reconciliation::ReconciliationWords;
use crate::words::rollout::Rollouts;
use crate::words::user::UserWords;
use crate::{asset, form, icon};

/// What a page may load and do: our own files and nothing inline. It is in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A page with its headers.
#[derive(Debug)]
pub(crate) struct Page(Markup);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let headers = [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            // A form's own origin is checked, so it is sent to ourselves.
            (REFERRER_POLICY, "same-origin"),
            (CACHE_CONTROL, "no-store"),
        ];
        (headers, self.0.into_string()).into_response()
    }
}

/// A page without a menu: for those who are not logged in, and errors.
pub(crate) fn bare(language: Language, title: &str, content: &Markup) -> Page {
    let body = html! { main.bare #content { (content) } };
    document(language, title, "plain", &body)
}

/// A sheet to be printed.
pub(crate) fn sheet(viewer: &Viewer, title: &str, content: &Markup) -> Page {
    document(viewer.language, title, "sheet", content)
}

fn document(language: Language, title: &str, class: &str, body: &Markup) -> Page {
    let words = language.words();
    Page(html! {
        (DOCTYPE)
        html lang=(language.code()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · " (words.product) }
                link rel="stylesheet" href=(asset::path("style.css"));
                link rel="icon" href=(asset::path("icon.svg")) type="image/svg+xml";
                script src=(asset::path("script.js")) defer {}
            }
            body class=(class) data-copied=(words.copied) { (body) }
        }
    })
}

/// An entry of a menu.
struct Entry {
    path: &'static str,
    name: &'static str,
    icon: Markup,
}

fn console_menu(viewer: &Viewer) -> Vec<Entry> {
    let words = viewer.words();
    let all = [
        (None, "/console/", words.now, icon::now()),
        (
            Some(Permission::TransactionRead),
            "/console/payments",
            words.payments,
            icon::payment(),
        ),
        (
            Some(Permission::DeviceRead),
            "/console/devices",
            words.devices,
            icon::device(),
        ),
        (
            Some(Permission::MerchantRead),
            "/console/merchants",
            words.merchants,
            icon::merchant(),
        ),
        (
            Some(Permission::DeviceRead),
            "/console/alerts",
            words.alerts,
            icon::alert(),
        ),
        (
            Some(Permission::CommandRead),
            "/console/rollouts",
            Rollouts::of(viewer.language).title,
            icon::rollout(),
        ),
        (
            Some(Permission::DeviceRead),
            "/console/configuration",
            Boxes::of(viewer.language).configuration,
            icon::settings(),
        ),
        (
            Some(Permission::SettlementRead),
            "/console/settlements",
            words.settlements,
            icon::sent(),
        ),
        (
            Some(Permission::SettlementRead),
            "/console/payouts",
            PayoutWords::of(words.language).title,
            icon::payout(),
        ),
        (
            Some(Permission::ApprovalRead),
            "/console/approvals",
            words.approvals,
            icon::check(),
        ),
        (
            Some(Permission::IncidentRead),
            "/console/unmatched",
            words.unmatched,
            icon::person(),
        ),
        (
            Some(Permission::LedgerRead),
            "/console/ledger",
            LedgerWords::of(words.language).title,
            icon::book(),
        ),
        (
            Some(Permission::LedgerRead),
            "/console/reconciliations",
            ReconciliationWords::of(words.language).title,
            icon::scales(),
        ),
        (
            Some(Permission::IncidentRead),
            "/console/incidents",
            IncidentWords::of(words.language).title,
            icon::incident(),
        ),
        (
            Some(Permission::IncidentRead),
            "/console/partners",
            AcquirerWords::of(words.language).title,
            icon::partner(),
        ),
        (
            Some(Permission::AuditRead),
            "/console/audit",
            AuditWords::of(words.language).title,
            icon::log(),
        ),
        (
            Some(Permission::UserRead),
            "/console/users",
            UserWords::of(words.language).title,
            icon::people(),
        ),
    ];
    all.into_iter()
        .filter(|(permission, ..)| permission.is_none_or(|permission| viewer.may(permission)))
        .map(|(_, path, name, icon)| Entry { path, name, icon })
        .collect()
}

fn portal_menu(viewer: &Viewer) -> Vec<Entry> {
    let words = viewer.words();
    [
        ("/portal/", words.today, icon::home()),
        ("/portal/history", words.history, icon::history()),
        (
            "/portal/settlements",
            Portal::of(viewer.language).payouts,
            icon::sent(),
        ),
        ("/portal/devices", words.boxes, icon::device()),
        ("/portal/qr", words.code, icon::code()),
        ("/portal/account", words.me, icon::person()),
    ]
    .into_iter()
    .map(|(path, name, icon)| Entry { path, name, icon })
    .collect()
}

/// A page of the console or of the portal, with the menu of its viewer.
pub(crate) fn page(viewer: &Viewer, title: &str, content: &Markup) -> Page {
    let words = viewer.words();
    let is_portal = viewer.role.is_of_merchant();
    let (class, entries) = if is_portal {
        ("portal", portal_menu(viewer))
    } else {
        ("console", console_menu(viewer))
    };
    let seen = viewer.path.split('?').next().unwrap_or_default();
    let is_here = |path: &str| {
        seen == path || (path.len() > viewer.home().len() && seen.starts_with(&format!("{path}/")))
    };
    let body = html! {
        a.skip href="#content" { (words.skip) }
        header.top {
            // A phone shows the picture alone.
            a.brand href=(viewer.home()) aria-label=(words.product) {
                img src=(asset::path("icon.svg")) alt="" width="28" height="28";
                span { (words.product) }
            }
            nav.menu aria-label=(words.menu) {
                @for entry in &entries {
                    a href=(entry.path) aria-current=[is_here(entry.path).then_some("page")] {
                        (entry.icon) span { (entry.name) }
                    }
                }
            }
            div.session {
                form method="post" action="/language" {
                    (form::secret(viewer))
                    input type="hidden" name="language" value=(viewer.language.other().code());
                    input type="hidden" name="back" value=(viewer.path);
                    button.link lang=(viewer.language.other().code()) { (words.other_language) }
                }
                form method="post" action="/logout" {
                    (form::secret(viewer))
                    button.link { (icon::exit()) (words.log_out) }
                }
            }
        }
        main #content tabindex="-1" { (content) }
    };
    document(viewer.language, title, class, &body)
}
