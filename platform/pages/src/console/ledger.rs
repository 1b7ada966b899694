//! The ledger: the balance of each account, and the lines of a period.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use chrono::TimeDelta;
use domain::ledger::{Account, PostingKind};
use domain::role::Permission;
use http_api::ledger_file;
use maud::{Markup, html};
use serde::Deserialize;
use service::money::ledger::{self, TrialBalance};
use service::shop::merchant;
use service::{Context, Error, Result};
use store::Scope;
use store::money::ledger::{Entry, Filter};
use tokio::sync::Mutex;
use wire::ids::{MerchantId, SettlementId, TransactionId};

use crate::App;
use crate::fault::Fault;
use crate::format::{moment, rupiah, total};
use crate::layout::{self, Page};
use crate::list::{self, Found};
use crate::names::{self, Names};
use crate::session::Viewer;
use crate::words::Words;
use crate::words::ledger::LedgerWords;
use crate::words::state::{Tone, badge};

/// How old the balances of all merchants may be: adding up a million lines takes longer than a page may.
const BALANCES_AGE_MAX: TimeDelta = TimeDelta::seconds(30);

/// The balances of all merchants, added up once for everybody who looks.
#[derive(Clone, Default)]
pub(crate) struct Balances(Arc<Mutex<Option<Arc<TrialBalance>>>>);

impl Balances {
    async fn now(&self, context: &Context) -> Result<Arc<TrialBalance>> {
        let mut kept = self.0.lock().await;
        let now = context.clock().now();
        if let Some(balances) = kept.as_ref()
            && now - balances.at < BALANCES_AGE_MAX
            && now >= balances.at
        {
            return Ok(Arc::clone(balances));
        }
        let read = Arc::new(ledger::trial_balance(context, None, Some(now)).await?);
        *kept = Some(Arc::clone(&read));
        Ok(read)
    }
}

/// The filters of the list, as the URL has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    merchant_id: String,
    account: String,
    kind: String,
    transaction_id: String,
    settlement_id: String,
    from: String,
    to: String,
    after: String,
}

impl Asked {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("merchant_id", &self.merchant_id),
            ("account", &self.account),
            ("kind", &self.kind),
            ("transaction_id", &self.transaction_id),
            ("settlement_id", &self.settlement_id),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    async fn read(&self, context: &Context, scope: Scope) -> Result<Vec<Entry>> {
        let scope = scope.narrowed_to(self.merchant()?);
        let page = list::page(Some(&self.after))?;
        ledger::list(context, scope, &self.filter()?, page).await
    }

    fn merchant(&self) -> Result<Option<MerchantId>> {
        list::word("merchant_id", &self.merchant_id)
    }

    fn filter(&self) -> Result<Filter> {
        let transaction_id: Option<TransactionId> =
            list::word("transaction_id", &self.transaction_id)?;
        let settlement_id: Option<SettlementId> = list::word("settlement_id", &self.settlement_id)?;
        Ok(Filter {
            account: list::word("account", &self.account)?,
            kind: list::word("kind", &self.kind)?,
            transaction_id,
            settlement_id,
            payout_id: None,
            period: list::period(&self.from, &self.to)?,
        })
    }
}

/// `/console/ledger`.
pub(crate) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> std::result::Result<Page, Fault> {
    let scope = viewer.must(Permission::LedgerRead)?;
    let fault = |error: Error| viewer.fault(error);
    let words = viewer.words();
    let own = LedgerWords::of(words.language);
    let found = Found::of(&viewer, asked.read(&app.context, scope).await, |row| {
        list::numbered(row.created_at, row.id)
    })?;
    // Where the filters are wrong there are no lines, and no balances of them.
    let balances = match (asked.merchant(), asked.filter()) {
        (Ok(merchant_id), Ok(filter)) if asked.after.is_empty() => {
            Some(balances(&app, merchant_id, &filter).await.map_err(fault)?)
        }
        _ => None,
    };
    let ids = found.rows.iter().map(|row| row.merchant_id);
    let names = merchant::names(&app.context, ids).await.map_err(fault)?;
    let pairs = asked.pairs();
    let listing = list::Listing {
        path: "/console/ledger",
        filters: &pairs,
        after: &asked.after,
        viewer: &viewer,
    };
    let accounts: Vec<(&str, &str)> = Account::ALL
        .iter()
        .map(|account| (account.as_str(), own.account(*account)))
        .collect();
    let kinds: Vec<(&str, &str)> = PostingKind::ALL
        .iter()
        .map(|kind| (kind.as_str(), own.event(*kind)))
        .collect();
    let controls = html! {
        (list::choice("account", &asked.account, words.account, words.any, &accounts))
        (list::choice("kind", &asked.kind, own.kind, words.any, &kinds))
        (list::days(&asked.from, &asked.to, words))
        (list::search("merchant_id", &asked.merchant_id, own.merchant_id))
        (list::hidden(&[("transaction_id", &asked.transaction_id), ("settlement_id", &asked.settlement_id)]))
    };
    let shown = found.shown(|rows| table(rows, &names, &viewer));
    let content = html! {
        (listing.head(own.title))
        (listing.form(&controls))
        (found.complaint())
        @if let Some(balances) = &balances { (balance(balances, words)) }
        section {
            h2 { (own.lines) }
            (listing.rows(shown.as_ref(), own.none, found.next.as_deref()))
        }
    };
    Ok(layout::page(&viewer, own.title, &content))
}

/// The balances at the end of the period; of all merchants and until now they are those that are kept.
async fn balances(
    app: &App,
    merchant_id: Option<MerchantId>,
    filter: &Filter,
) -> Result<Arc<TrialBalance>> {
    let now = app.context.clock().now();
    let at = filter.period.to.filter(|to| *to < now);
    if merchant_id.is_none() && at.is_none() {
        return app.balances.now(&app.context).await;
    }
    Ok(Arc::new(
        ledger::trial_balance(&app.context, merchant_id, at).await?,
    ))
}

fn balance(balances: &TrialBalance, words: &Words) -> Markup {
    let own = LedgerWords::of(words.language);
    let state = if balances.balanced {
        (own.balanced, Tone::Good)
    } else {
        (own.unbalanced, Tone::Bad)
    };
    html! {
        section {
            div.head {
                h2 { (own.balances) " " (badge(state)) }
                span.quiet { (own.at) " " (moment(balances.at)) }
            }
            div.scroll tabindex="0" { table #balances {
                thead { tr {
                    th { (words.account) } th.number { (own.balance) } th.number { (words.debit) } th.number { (words.credit) }
                } }
                tbody {
                    @for one in &balances.accounts { tr {
                        td { (own.account(one.account)) }
                        td.number.money { (total(one.balance)) }
                        td.number { (total(one.debit)) }
                        td.number { (total(one.credit)) }
                    } }
                    tr.sum {
                        td { (own.sum) }
                        td.number.money { (total(balances.debit - balances.credit)) }
                        td.number.money { (total(balances.debit)) }
                        td.number.money { (total(balances.credit)) }
                    }
                }
            } }
            p.quiet { (own.proof) " " code { "platform ledger verify" } }
        }
    }
}

fn table(rows: &[Entry], names: &Names, viewer: &Viewer) -> Markup {
    let words = viewer.words();
    let own = LedgerWords::of(words.language);
    html! {
        div.scroll tabindex="0" { table {
            thead { tr {
                th { (words.time) } th { (own.kind) } th { (words.account) } th.number { (words.debit) }
                th.number { (words.credit) } th { (own.subject) } th { (words.merchant) }
            } }
            tbody { @for row in rows { tr {
                td { (moment(row.created_at)) }
                td { (own.event(row.kind)) }
                td { (own.account(row.account)) }
                td.number.money { @if row.debit.to_i64() != 0 { (rupiah(row.debit)) } }
                td.number.money { @if row.credit.to_i64() != 0 { (rupiah(row.credit)) } }
                td { (subject(row, words)) }
                td { (names::merchant(row.merchant_id, names, viewer)) }
            } } }
        } }
    }
}

/// What a line is about, with the way there.
fn subject(row: &Entry, words: &Words) -> Markup {
    let own = LedgerWords::of(words.language);
    html! {
        @if let Some(id) = row.transaction_id {
            a href={ "/console/payments/" (id) } { (own.payment) } " "
        }
        @if let Some(id) = row.settlement_id {
            a href={ "/console/settlements/" (id) } { (own.settlement) }
        }
    }
}

/// `/console/ledger.csv`: all lines that the list has with these filters.
pub(crate) async fn file(
    State(context): State<Context>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> std::result::Result<Response, Fault> {
    let scope = viewer.must(Permission::LedgerRead)?;
    let fault = |error: Error| viewer.fault(error);
    let scope = scope.narrowed_to(asked.merchant().map_err(fault)?);
    let filter = asked.filter().map_err(fault)?;
    let language = viewer.language.of_file();
    Ok(list::csv(
        ledger_file(&context, scope, filter, language).await,
    ))
}
