//! Pages for people: the console of the staff (`/console/`) and the portal of the merchants (`/portal/`).
//!
//! A page is the people's side of the use cases that the API has: it asks the same role table, calls the same functions
//! of `service`, and has no SQL. Pages are written on the server; reading and every action work without JavaScript, and
//! what is live needs it. What all pages share is here: who looks ([`session`]), what every page is framed by
//! ([`layout`]), the words of both languages ([`words`]), how money and times are written ([`format`]), lists
//! ([`list`]), forms ([`form`], [`upload`]), changes ([`change`]), two states side by side ([`comparison`]),
//! errors ([`fault`]), own changes in lists ([`own_change`]), what browsers load beside ([`asset`]), what is live ([`live`]).

mod asset;
mod change;
mod chart;
mod comparison;
mod console;
mod fault;
mod form;
mod format;
mod icon;
mod layout;
mod list;
mod live;
mod login;
mod names;
mod own_change;
mod password;
mod payment_row;
mod portal;
mod session;
mod upload;
mod words;

use std::future::Future;

use axum::Router;
use axum::extract::FromRef;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use service::Context;
use tokio_util::sync::CancellationToken;

use self::console::ledger::Balances;
use self::live::Live;

/// What handlers share.
#[derive(Clone)]
struct App {
    context: Context,
    live: Live,
    balances: Balances,
}

impl FromRef<App> for Context {
    fn from_ref(app: &App) -> Self {
        app.context.clone()
    }
}

/// Limits on those who look on.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many streams of `/console/live` and `/portal/live` are open at a time.
    pub viewers_max: usize,
}

/// All pages, and the task that tells open ones what changed. The task ends with `stop`, and so does every open stream.
pub fn router(
    context: Context,
    limits: Limits,
    stop: CancellationToken,
) -> (Router, impl Future<Output = ()> + Send + 'static) {
    let live = Live::new(context.clone(), limits.viewers_max, stop);
    let feeder = live.clone().feed();
    let router = Router::new()
        .route("/login", get(login::page).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/language", post(login::choose_language))
        .route("/password", get(password::page).post(password::set))
        .route("/favicon.ico", get(asset::icon))
        .route("/assets/{hash}/{name}", get(asset::file))
        .merge(console::routes())
        .merge(portal::routes())
        .layer(from_fn_with_state(context.clone(), own_change::read_back))
        .with_state(App {
            context,
            live,
            balances: Balances::default(),
        });
    (router, feeder)
}
