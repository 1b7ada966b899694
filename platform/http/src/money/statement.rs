//! The statement of a settlement, for a spreadsheet and for a printer. Items are read and sent a page at a time.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use domain::merchant::masked_account;
use domain::settlement::SettlementStatus;
use domain::wib;
use domain::zone::Zone;
use futures_util::stream;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use service::Context;
use service::money::statement::{self, ITEMS_MAX, Statement};
use store::Scope;
use store::money::settlement_item::{After, Item};
use utoipa::openapi::{ContentBuilder, ResponseBuilder};
use wire::Rupiah;
use wire::ids::SettlementId;

use crate::auth::Staff;
use crate::auth::grants::{PortalRead, SettlementRead};
use crate::csv;
use crate::error::ApiError;
use crate::language::{Language, LanguageQuery};
use crate::operation::{Describe, Operation};
use crate::path::Id;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Settlements")
        .get(
            "/admin/settlements/{settlement_id}/statement.csv",
            csv_for_staff,
            "The items of a settlement as CSV",
            &[],
        )
        .get(
            "/admin/settlements/{settlement_id}/statement.html",
            html_for_staff,
            "The statement of a settlement as a page to print",
            &[],
        )
        .get(
            "/merchant/settlements/{settlement_id}/statement.csv",
            csv_for_merchant,
            "The items of one of one's own settlements as CSV",
            &[],
        )
        .get(
            "/merchant/settlements/{settlement_id}/statement.html",
            html_for_merchant,
            "The statement of one of one's own settlements as a page to print",
            &[],
        )
}

async fn csv_for_staff(
    staff: Staff<SettlementRead>,
    State(context): State<Context>,
    Id(id): Id<SettlementId>,
    Query(language): Query<LanguageQuery>,
) -> Result<csv::CsvFile, ApiError> {
    statement_file(context, staff.scope, id, language.language()).await
}

async fn csv_for_merchant(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    Id(id): Id<SettlementId>,
    Query(language): Query<LanguageQuery>,
) -> Result<csv::CsvFile, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    statement_file(context, scope, id, language.language()).await
}

async fn html_for_staff(
    staff: Staff<SettlementRead>,
    State(context): State<Context>,
    Id(id): Id<SettlementId>,
    Query(language): Query<LanguageQuery>,
) -> Result<Page, ApiError> {
    statement(context, staff.scope, id, language.language()).await
}

async fn html_for_merchant(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    Id(id): Id<SettlementId>,
    Query(language): Query<LanguageQuery>,
) -> Result<Page, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    statement(context, scope, id, language.language()).await
}

/// Indonesian and English names of the columns.
const COLUMNS: [(&str, &str); 13] = [
    ("ID settlement", "settlement_id"),
    ("ID transaksi", "transaction_id"),
    ("Jenis", "kind"),
    ("Dibayar (WIB)", "paid_at_wib"),
    ("Dibayar (waktu outlet)", "paid_at_outlet"),
    ("Outlet", "outlet"),
    ("Terminal", "terminal"),
    ("ID terminal", "terminal_id"),
    ("Referensi mitra", "partner_reference"),
    ("RRN", "rrn"),
    ("Jumlah", "amount"),
    ("Biaya", "fee"),
    ("Bersih", "net"),
];

/// The items of a settlement.
///
/// # Errors
/// No such settlement, or not for this scope.
pub async fn statement_file(
    context: Context,
    scope: Scope,
    id: SettlementId,
    language: Language,
) -> Result<csv::CsvFile, ApiError> {
    statement::open(&context, scope, id).await?;
    let rows = pages(
        context,
        id,
        csv::row(&COLUMNS.map(|(id, en)| language.pick(id, en)))?,
        move |items| {
            let mut text = Vec::new();
            for item in items {
                // A refund takes off: its amounts are negative, so that the columns can be summed.
                let sign = |amount: Rupiah| match item.kind.as_str() {
                    "refund" => format!("-{}", amount.to_i64()),
                    _ => amount.to_i64().to_string(),
                };
                let paid_at = item.paid_at.map(wib::format).unwrap_or_default();
                text.extend(csv::row(&[
                    &id.to_string(),
                    &item.transaction_id.to_string(),
                    kind(&item.kind, language),
                    &paid_at,
                    &outlet_time(item),
                    &item.outlet,
                    &item.terminal,
                    &item.terminal_id.to_string(),
                    item.partner_reference.as_deref().unwrap_or_default(),
                    item.rrn.as_deref().unwrap_or_default(),
                    &sign(item.amount),
                    &sign(item.fee),
                    &sign(item.net),
                ])?);
            }
            Ok(text)
        },
        Vec::new(),
    );
    Ok(csv::CsvFile::named(&format!("{id}.csv"), rows))
}

/// When it was paid, as the clock of its outlet showed.
fn outlet_time(item: &Item) -> String {
    let zone = Zone::of(&item.timezone);
    item.paid_at.map(|at| zone.format(at)).unwrap_or_default()
}

/// What an item is, in a word.
fn kind(kind: &str, language: Language) -> &str {
    match (kind, language) {
        ("sale", Language::Id) => "penjualan",
        ("refund", Language::Id) => "pengembalian",
        (kind, _) => kind,
    }
}

/// How far a settlement is, in a word.
fn status(status: SettlementStatus, language: Language) -> &'static str {
    match (status, language) {
        (SettlementStatus::Pending, Language::Id) => "menunggu",
        (SettlementStatus::Processing, Language::Id) => "diproses",
        (SettlementStatus::Paid, Language::Id) => "dibayarkan",
        (SettlementStatus::Failed, Language::Id) => "gagal",
        (SettlementStatus::Returned, Language::Id) => "dikembalikan bank",
        (status, _) => status.as_str(),
    }
}

/// The head, what is made of each page of items, and the foot.
fn pages(
    context: Context,
    id: SettlementId,
    head: Vec<u8>,
    render: impl Fn(&[Item]) -> Result<Vec<u8>, ApiError> + Send + Sync + 'static,
    foot: Vec<u8>,
) -> Body {
    enum At {
        Head(Vec<u8>),
        Items(Option<After>),
        End,
    }
    let state = (At::Head(head), foot);
    let chunks = stream::try_unfold(
        (state, context, render),
        move |((at, foot), context, render)| async move {
            match at {
                At::Head(head) => Ok(Some((
                    Bytes::from(head),
                    ((At::Items(None), foot), context, render),
                ))),
                At::End => Ok(None),
                At::Items(after) => {
                    let items = statement::items(&context, id, after.as_ref(), ITEMS_MAX)
                        .await
                        .map_err(|error| std::io::Error::other(error.to_string()))?;
                    let Some(last) = items.last() else {
                        let end = ((At::End, Vec::new()), context, render);
                        return Ok(Some((Bytes::from(foot), end)));
                    };
                    let after = After {
                        transaction_id: last.transaction_id,
                        kind: last.kind.clone(),
                        refund_number: last.refund_number,
                    };
                    let text = render(&items)
                        .map_err(|error| std::io::Error::other(error.code().as_str()))?;
                    let next = ((At::Items(Some(after)), foot), context, render);
                    Ok::<_, std::io::Error>(Some((Bytes::from(text), next)))
                }
            }
        },
    );
    Body::from_stream(chunks)
}

/// Styles of its own, and nothing from elsewhere.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const STYLE: &str = "body{font:11pt/1.4 system-ui,sans-serif;margin:2rem auto;max-width:56rem;color:#111}\
h1{font-size:1.3rem;margin:0}table{border-collapse:collapse;width:100%;margin:1rem 0}\
th,td{padding:.25rem .5rem;border-bottom:1px solid #ccc;text-align:left}\
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
thead{display:table-header-group}tr{break-inside:avoid}@media print{body{margin:0}}";

/// A page to print.
struct Page(Body);

/// The statement of a settlement, to be printed.
///
/// # Errors
/// No such settlement, or not for this scope.
pub async fn statement_page(
    context: Context,
    scope: Scope,
    id: SettlementId,
    language: Language,
) -> Result<Response, ApiError> {
    let page = statement(context, scope, id, language).await?;
    Ok(page.into_response())
}

async fn statement(
    context: Context,
    scope: Scope,
    id: SettlementId,
    language: Language,
) -> Result<Page, ApiError> {
    let statement = statement::open(&context, scope, id).await?;
    // maud has no halves of elements: the table is left open here and closed at the end.
    let head = format!(
        "{}<table>{}<tbody>",
        begin(&statement, language).into_string(),
        columns(language).into_string()
    );
    let render = move |items: &[Item]| Ok(rows(items, language).into_string().into_bytes());
    let foot = b"</tbody></table></body></html>\n".to_vec();
    Ok(Page(pages(context, id, head.into_bytes(), render, foot)))
}

fn begin(Statement { view, merchant }: &Statement, language: Language) -> Markup {
    let settlement = &view.settlement;
    let title = language.pick("Laporan settlement", "Settlement statement");
    let facts = [
        (
            language.pick("Nomor settlement", "Settlement"),
            settlement.id.to_string(),
        ),
        ("Status", status(settlement.status, language).to_owned()),
        (
            language.pick("Batas waktu (WIB)", "Cutoff (WIB)"),
            wib::format(settlement.cutoff),
        ),
        (
            language.pick("Jumlah transaksi", "Transactions"),
            settlement.transaction_count.to_string(),
        ),
        (
            language.pick("Rekening tujuan", "Account"),
            settlement
                .destination
                .as_deref()
                .map_or_else(|| "manual".into(), masked_account),
        ),
        (
            language.pick("Referensi bank", "Bank reference"),
            settlement
                .bank_reference
                .clone()
                .unwrap_or_else(|| "-".into()),
        ),
    ];
    let sums = [
        (
            language.pick("Penjualan", "Sales"),
            rupiah(settlement.gross),
        ),
        (
            language.pick("Biaya MDR", "Fees (MDR)"),
            format!("-{}", rupiah(settlement.fee)),
        ),
        (
            language.pick("Pengembalian", "Refunds"),
            format!("-{}", rupiah(settlement.refunds)),
        ),
        (
            language.pick("Dibayarkan", "Paid out"),
            rupiah(settlement.net),
        ),
    ];
    html! {
        (DOCTYPE)
        (PreEscaped(language.pick("<html lang=\"id\">", "<html lang=\"en\">")))
        head {
            meta charset="utf-8";
            title { (title) " " (settlement.id) }
            style { (PreEscaped(STYLE)) }
        }
        (PreEscaped("<body>"))
        h1 { (title) }
        p { (merchant.legal_name) " · " (merchant.brand_name) " · " (merchant.merchant_code) }
        table {
            @for (name, value) in &facts { tr { th { (name) } td { (value) } } }
            @for (name, value) in &sums { tr { th { (name) } td.n { (value) } } }
        }
    }
}

fn columns(language: Language) -> Markup {
    let words = language.pick(
        ["Waktu", "Outlet", "Terminal", "Transaksi", "RRN", "Jenis"],
        ["Time", "Outlet", "Terminal", "Transaction", "RRN", "Kind"],
    );
    let amounts = language.pick(["Jumlah", "Biaya", "Bersih"], ["Amount", "Fee", "Net"]);
    html! {
        thead { tr {
            @for word in words { th { (word) } }
            @for word in amounts { th.n { (word) } }
        } }
    }
}

fn rows(items: &[Item], language: Language) -> Markup {
    html! {
        @for item in items {
            @let is_refund = item.kind == "refund";
            @let sign = if is_refund { "-" } else { "" };
            tr {
                td { (outlet_time(item)) }
                td { (item.outlet) }
                td { (item.terminal) }
                td { (item.transaction_id) }
                td { (item.rrn.as_deref().unwrap_or("-")) }
                td { (kind(&item.kind, language)) }
                td.n { (sign) (rupiah(item.amount)) }
                td.n { (sign) (rupiah(item.fee)) }
                td.n { (sign) (rupiah(item.net)) }
            }
        }
    }
}

/// As it is written in Indonesia: `Rp148.950`.
fn rupiah(amount: Rupiah) -> String {
    let digits = amount.to_i64().unsigned_abs().to_string();
    let mut text = String::from(if amount.to_i64() < 0 { "-Rp" } else { "Rp" });
    for (position, digit) in digits.char_indices() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push('.');
        }
        text.push(digit);
    }
    text
}

impl Page {
    const CONTENT_TYPE: &'static str = "text/html; charset=utf-8";
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.0);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(Self::CONTENT_TYPE));
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
        response
    }
}

impl Describe for Page {
    fn describe(operation: &mut Operation) {
        let answer = ResponseBuilder::new()
            .description("The page")
            .content(Self::CONTENT_TYPE, ContentBuilder::new().build())
            .build();
        operation.answer = Some((200, answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rupiah_are_written_with_points() {
        let written = |amount| rupiah(Rupiah::from_i64(amount));
        assert_eq!(
            [0, 999, 1_000, 148_950, 1_250_000, -5_000].map(written),
            [
                "Rp0",
                "Rp999",
                "Rp1.000",
                "Rp148.950",
                "Rp1.250.000",
                "-Rp5.000"
            ]
        );
    }
}
