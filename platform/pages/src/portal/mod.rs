//! `/portal/`: the pages of a merchant's own people, made for a phone.

mod account;
mod device;
mod history;
mod poster;
mod settlement;
pub(crate) mod today;

use axum::Router;
use axum::routing::{get, post};

use crate::App;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/portal/", get(today::page))
        .route("/portal", get(today::moved))
        .route("/portal/live", get(today::live))
        .route("/portal/history", get(history::page))
        .route("/portal/payments.csv", get(history::file))
        .route("/portal/devices", get(device::page))
        .route("/portal/settlements", get(settlement::list))
        .route("/portal/settlements.csv", get(settlement::file))
        .route("/portal/settlements/{id}", get(settlement::page))
        .route(
            "/portal/settlements/{id}/statement.csv",
            get(settlement::statement_csv),
        )
        .route(
            "/portal/settlements/{id}/statement.html",
            get(settlement::statement_html),
        )
        .route("/portal/devices/{id}", get(device::one))
        .route("/portal/devices/{id}/test", post(device::test))
        .route("/portal/devices/{id}/volume", post(device::volume))
        .route("/portal/qr", get(poster::list))
        .route("/portal/qr/{id}", get(poster::sheet))
        .route("/portal/qr/{id}/code.svg", get(poster::svg))
        .route("/portal/qr/{id}/code.png", get(poster::png))
        .route("/portal/account", get(account::page).post(account::change))
}
