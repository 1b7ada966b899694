//! The configured acquirers, for people who look after them: how each speaks, and how it goes.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use store::payment::partner::{LastCallback, RefusedFor};
use utoipa::ToSchema;

use super::qr_partner::Circuit;
use crate::{Context, Error, Noun, Partner, Result};

/// How far back messages are looked for: a day.
const BACK: TimeDelta = TimeDelta::hours(24);

/// An acquirer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Partner)]
pub struct View {
    /// Its id in the configuration.
    pub id: String,
    /// The dialect that it speaks.
    pub dialect: String,
    /// Who speaks that.
    pub title: String,
    /// The paths that it may call, besides `/integrations/qris/callback/{id}`.
    pub paths: Vec<String>,
    /// How its messages may be signed.
    pub signatures: Vec<&'static str>,
    /// Status codes whose meaning it has not confirmed: table, code, meaning.
    pub unconfirmed_statuses: Vec<UnconfirmedStatus>,
    /// Its last verified message of the last 24 hours.
    pub last_callback: Option<LastCallback>,
    /// What was refused in the last 24 hours, by reason: messages that claim to be from it, and verified ones.
    pub refused: Vec<RefusedFor>,
    /// How many seconds our clock is ahead of its, by its last message to the process that answers; null before the first, and
    /// where messages carry no time.
    pub clock_ahead_s: Option<i64>,
    /// Whether we call it now: `closed` we do, `open` it failed too often and is left alone for a while; null when codes are
    /// built here.
    pub circuit: Option<Circuit>,
}

impl View {
    /// How many messages were refused in the last 24 hours, for whatever reason.
    pub fn refused_count(&self) -> i64 {
        self.refused.iter().map(|refused| refused.count).sum()
    }
}

/// A status code that needs to be confirmed.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "as in the dialect")]
pub struct UnconfirmedStatus {
    pub table: &'static str,
    pub code: String,
    pub meaning: &'static str,
}

/// All of them, by id; with a search, those whose id, dialect or title contains it, in any case.
pub async fn list(context: &Context, search: Option<&str>) -> Result<Vec<View>> {
    let search = search.unwrap_or_default().to_lowercase();
    let mut partners: Vec<_> = context
        .qris_partners()
        .filter(|(id, partner)| {
            let dialect = &partner.dialect;
            [*id, &dialect.name, &dialect.title]
                .iter()
                .any(|text| text.to_lowercase().contains(&search))
        })
        .collect();
    partners.sort_unstable_by_key(|(id, _)| *id);
    let mut views = Vec::with_capacity(partners.len());
    for (id, partner) in partners {
        views.push(view(context, id, partner).await?);
    }
    Ok(views)
}

/// One of them.
///
/// # Errors
/// [`Noun::Partner`] not found.
pub async fn find(context: &Context, id: &str) -> Result<View> {
    let partner = context
        .qris_partner(id)
        .ok_or(Error::NotFound(Noun::Partner))?;
    view(context, id, partner).await
}

async fn view(context: &Context, id: &str, partner: &Partner) -> Result<View> {
    let since: DateTime<Utc> = context.clock().now() - BACK;
    let mut conn = context.lists().acquire().await?;
    let last_callback = store::payment::partner::last_callback(&mut conn, id, since).await?;
    let refused = store::payment::partner::refused(&mut conn, id, since).await?;
    let dialect = &partner.dialect;
    let unconfirmed = dialect.statuses.unconfirmed().into_iter();
    Ok(View {
        id: id.to_owned(),
        dialect: dialect.name.clone(),
        title: dialect.title.clone(),
        paths: dialect.inbound.paths.clone(),
        signatures: dialect
            .signing
            .kinds
            .iter()
            .map(|kind| kind.as_str())
            .collect(),
        unconfirmed_statuses: unconfirmed
            .map(|(table, code, meaning)| UnconfirmedStatus {
                table,
                code: code.to_owned(),
                meaning: meaning.as_str(),
            })
            .collect(),
        last_callback,
        refused,
        clock_ahead_s: context.partner_clocks().ahead_s(id),
        circuit: context.qr_partner(id).circuit(),
    })
}
