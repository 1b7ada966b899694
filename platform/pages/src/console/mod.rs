//! `/console/`: the pages of the staff.

mod alert;
mod approval;
pub(crate) mod device;
mod merchant;
pub(crate) mod now;
pub(crate) mod payment;
mod settlement;
mod unmatched;

use axum::Router;
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
        .route("/console/devices/{id}/test", post(device::test))
        .route("/console/merchants", get(merchant::list))
        .route("/console/merchants.csv", get(merchant::file))
        .route("/console/merchants/{id}", get(merchant::page))
        .route("/console/merchants/{id}/approve", post(merchant::approve))
        .route("/console/merchants/{id}/reject", post(merchant::reject))
        .route("/console/approvals", get(approval::list))
        .route("/console/approvals.csv", get(approval::file))
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
}
