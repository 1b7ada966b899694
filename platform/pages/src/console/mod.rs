//! `/console/`: the pages of the staff.

mod alert;
mod approval;
mod audit;
mod callback;
mod configuration;
pub(crate) mod device;
mod device_beats;
pub(crate) mod device_history;
mod device_order;
mod device_settings;
mod firmware;
mod incident;
pub(crate) mod ledger;
mod merchant;
pub(crate) mod now;
mod partner;
pub(crate) mod payment;
mod payout;
mod proposal;
mod reconciliation;
mod role;
mod rollout;
mod rollout_form;
mod rollout_page;
mod rollout_progress;
mod secret;
mod settings_form;
mod settlement;
mod token;
mod unmatched;
mod user;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::App;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/console/", get(now::page))
        .route("/console", get(now::moved))
        .route("/console/live", get(now::live))
        .route("/console/payments", get(payment::list))
        .route("/console/payments.csv", get(payment::file))
        .route("/console/payments/{id}", get(payment::page))
        .route("/console/payments/{id}/announce", post(payment::announce))
        .route("/console/devices", get(device::list))
        .route("/console/devices.csv", get(device::file))
        .route("/console/devices/{id}", get(device::page))
        .route("/console/devices/{id}/commands", get(device_order::list))
        .route("/console/devices/{id}/test", post(device_order::test))
        .route("/console/devices/{id}/command", post(device_order::send))
        .route(
            "/console/devices/{id}/configuration",
            post(device_settings::change),
        )
        .route(
            "/console/devices/{id}/configuration/push",
            post(device_settings::push),
        )
        .route("/console/configuration", get(configuration::page))
        .route("/console/configuration.csv", get(configuration::file))
        .route(
            "/console/configuration/{owner}",
            get(configuration::of_owner).post(configuration::change),
        )
        .route(
            "/console/rollouts",
            get(rollout::list).post(rollout_form::start),
        )
        .route("/console/rollouts.csv", get(rollout::file))
        .route("/console/rollouts/new", get(rollout_form::form))
        .route("/console/rollouts/{id}", get(rollout_page::page))
        .route(
            "/console/rollouts/{id}/devices.csv",
            get(rollout_page::boxes_file),
        )
        .route("/console/rollouts/{id}/{action}", post(rollout_page::act))
        .route(
            "/console/firmware",
            get(firmware::list).post(firmware::create),
        )
        .route("/console/firmware.csv", get(firmware::file))
        .route("/console/merchants", get(merchant::list))
        .route("/console/merchants.csv", get(merchant::file))
        .route("/console/merchants/{id}", get(merchant::page))
        .route("/console/merchants/{id}/approve", post(merchant::approve))
        .route("/console/merchants/{id}/reject", post(merchant::reject))
        .route("/console/approvals", get(approval::list))
        .route("/console/approvals.csv", get(approval::file))
        .route("/console/approvals/{id}", get(proposal::page))
        .route("/console/approvals/{id}/approve", post(approval::approve))
        .route("/console/approvals/{id}/reject", post(approval::reject))
        .route("/console/settlements", get(settlement::list))
        .route("/console/settlements.csv", get(settlement::file))
        .route("/console/settlements/{id}", get(settlement::page))
        .route("/console/settlements/{id}/retry", post(settlement::retry))
        .route("/console/settlements/{id}/paid", post(settlement::paid))
        .route("/console/unmatched", get(unmatched::list))
        .route("/console/unmatched.csv", get(unmatched::file))
        .route("/console/unmatched/{id}/assign", post(unmatched::assign))
        .route("/console/alerts", get(alert::list))
        .route("/console/alerts.csv", get(alert::file))
        .route("/console/alerts/{id}/acknowledge", post(alert::acknowledge))
        .merge(money())
        .merge(partners())
        .merge(people())
}

/// What moves, and whether it adds up.
fn money() -> Router<App> {
    Router::new()
        .route("/console/payouts", get(payout::list))
        .route("/console/payouts.csv", get(payout::file))
        .route("/console/ledger", get(ledger::list))
        .route("/console/ledger.csv", get(ledger::file))
        .route(
            "/console/reconciliations",
            // The use case limits the file.
            get(reconciliation::list)
                .post(reconciliation::create)
                .layer(DefaultBodyLimit::disable()),
        )
        .route("/console/reconciliations.csv", get(reconciliation::file))
        .route("/console/reconciliations/{id}", get(reconciliation::page))
        .route(
            "/console/reconciliations/{id}/lines.csv",
            get(reconciliation::lines),
        )
}

/// How it goes with the acquirers.
fn partners() -> Router<App> {
    Router::new()
        .route("/console/incidents", get(incident::list))
        .route("/console/incidents.csv", get(incident::file))
        .route("/console/incidents/{id}", get(incident::page))
        .route("/console/incidents/{id}/resolve", post(incident::resolve))
        .route("/console/partners", get(partner::list))
        .route("/console/partners.csv", get(partner::file))
        .route("/console/partners/{id}", get(partner::page))
        .route("/console/callbacks", get(callback::list))
        .route("/console/callbacks.csv", get(callback::file))
        .route("/console/callbacks/{id}", get(callback::page))
        .route("/console/callbacks/{id}/body.bin", get(callback::bytes))
}

/// Who may do what, and who did.
fn people() -> Router<App> {
    Router::new()
        .route("/console/users", get(user::list).post(user::create))
        .route("/console/users.csv", get(user::file))
        .route("/console/users/{id}", get(user::page))
        .route("/console/users/{id}/change", post(user::change))
        .route("/console/users/{id}/reset", post(user::reset))
        .route("/console/tokens", get(token::list).post(token::create))
        .route("/console/tokens.csv", get(token::file))
        .route("/console/tokens/{id}/revoke", post(token::revoke))
        .route("/console/audit", get(audit::list))
        .route("/console/audit.csv", get(audit::file))
}
