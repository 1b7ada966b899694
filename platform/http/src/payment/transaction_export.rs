//! `/admin/transactions.csv` and `/merchant/transactions.csv`: payments as a file for a spreadsheet.

use axum::body::{Body, Bytes};
use axum::extract::State;
use domain::transaction::{QrType, TransactionStatus};
use domain::wib;
use futures_util::stream;
use service::Context;
use service::payment::transaction_export::Export;
use store::Scope;
use store::payment::transaction_export::Line;
use wire::Rupiah;

use super::transaction::ListQuery;
use crate::auth::Staff;
use crate::auth::grants::{PortalRead, TransactionRead};
use crate::csv::{self, CsvFile};
use crate::error::ApiError;
use crate::language::{Language, LanguageQuery};
use crate::period::PeriodQuery;
use crate::query::Query;
use crate::routes::Routes;
use crate::shop::portal::TransactionQuery;

pub(super) fn routes() -> Routes {
    Routes::of("Transactions")
        .get(
            "/admin/transactions.csv",
            for_staff,
            "Payments that a list with these filters has, as a CSV file, newest first; at most 100,000",
            &[],
        )
        .get(
            "/merchant/transactions.csv",
            for_merchant,
            "One's own payments that a list with these filters has, as a CSV file, newest first; at most 100,000",
            &[],
        )
}

async fn for_staff(
    staff: Staff<TransactionRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<ListQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    let (scope, filter) = query.of(staff.scope, period)?;
    let export = Export::begin(&context, scope, filter).await?;
    payment_file(export, language.language())
}

async fn for_merchant(
    staff: Staff<PortalRead>,
    State(context): State<Context>,
    PeriodQuery(period): PeriodQuery,
    Query(query): Query<TransactionQuery>,
    Query(language): Query<LanguageQuery>,
) -> Result<CsvFile, ApiError> {
    let scope = Scope::Merchant(staff.merchant()?);
    let export = Export::begin(&context, scope, query.of(period)?).await?;
    payment_file(export, language.language())
}

/// Indonesian and English names of the columns.
const COLUMNS: [(&str, &str); 18] = [
    ("ID transaksi", "transaction_id"),
    ("Dibuat (WIB)", "created_at_wib"),
    ("Dibayar (WIB)", "paid_at_wib"),
    ("Status", "status"),
    ("Merchant", "merchant"),
    ("Outlet", "outlet"),
    ("Terminal", "terminal"),
    ("Jenis QR", "qr_type"),
    ("Mitra", "partner_id"),
    ("Referensi mitra", "partner_reference"),
    ("RRN", "rrn"),
    ("Penerbit", "issuer"),
    ("ID settlement", "settlement_id"),
    ("Tip", "tip"),
    ("Jumlah", "amount"),
    ("Biaya", "fee"),
    ("Bersih", "net"),
    ("Dikembalikan", "refunded_amount"),
];

/// The file of an export, with Indonesian or English names of its columns.
///
/// # Errors
/// A column that cannot be written, which is a bug.
pub fn payment_file(export: Export, language: Language) -> Result<CsvFile, ApiError> {
    let head = csv::row(&COLUMNS.map(|(id, en)| language.pick(id, en)))?;
    let chunks = stream::try_unfold((Some(head), export), move |(head, mut export)| async move {
        if let Some(head) = head {
            return Ok(Some((Bytes::from(head), (None, export))));
        }
        let lines = export
            .next()
            .await
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        if lines.is_empty() {
            return Ok(None);
        }
        let mut text = Vec::new();
        for line in &lines {
            let row = row(line, language)
                .map_err(|error| std::io::Error::other(error.code().as_str()))?;
            text.extend(row);
        }
        Ok::<_, std::io::Error>(Some((Bytes::from(text), (None, export))))
    });
    let name = language.pick("transaksi.csv", "transactions.csv");
    Ok(CsvFile::named(name, Body::from_stream(chunks)))
}

fn row(line: &Line, language: Language) -> Result<Vec<u8>, ApiError> {
    let amount = |amount: Option<Rupiah>| {
        amount
            .map(|amount| amount.to_i64().to_string())
            .unwrap_or_default()
    };
    let settlement_id = line.settlement_id.map(|id| id.to_string());
    csv::row(&[
        &line.id.to_string(),
        &wib::format(line.created_at),
        &line.paid_at.map(wib::format).unwrap_or_default(),
        language.pick(status_in_indonesian(line.status), line.status.as_str()),
        &line.merchant,
        &line.outlet,
        &line.terminal,
        language.pick(qr_type_in_indonesian(line.qr_type), line.qr_type.as_str()),
        &line.partner_id,
        line.partner_reference.as_deref().unwrap_or_default(),
        line.rrn.as_deref().unwrap_or_default(),
        line.issuer.as_deref().unwrap_or_default(),
        settlement_id.as_deref().unwrap_or_default(),
        &amount(line.tip),
        &amount(Some(line.amount)),
        &amount(line.fee),
        &amount(line.net),
        &amount(Some(line.refunded)),
    ])
}

fn status_in_indonesian(status: TransactionStatus) -> &'static str {
    match status {
        TransactionStatus::Initiated => "dibuat",
        TransactionStatus::AwaitingPayment => "menunggu pembayaran",
        TransactionStatus::Paid => "dibayar",
        TransactionStatus::Failed => "gagal",
        TransactionStatus::Expired => "kedaluwarsa",
        TransactionStatus::Reversed => "dibatalkan",
    }
}

fn qr_type_in_indonesian(qr_type: QrType) -> &'static str {
    match qr_type {
        QrType::Static => "statis",
        QrType::Dynamic => "dinamis",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_and_kind_of_code_has_an_indonesian_word() {
        for status in TransactionStatus::ALL {
            assert_ne!(status_in_indonesian(*status), status.as_str());
        }
        for qr_type in QrType::ALL {
            assert_ne!(qr_type_in_indonesian(*qr_type), qr_type.as_str());
        }
    }
}
