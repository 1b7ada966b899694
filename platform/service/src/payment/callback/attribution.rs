//! Whose money the payment of a printed code is.
//!
//! The first of these that names one approved merchant's terminal for static payments: NMID and terminal label, NMID and
//! terminal id, merchant PAN with either of them, and the merchant's sole such terminal. A label of the right form that
//! names no terminal of the merchant contradicts the last of them; a text that cannot be a label names nothing.

use chrono::{DateTime, Utc};
use domain::callback::PrintedCode;
use domain::merchant::MerchantStatus;
use domain::transaction::QrType;
use store::Scope;
use store::payment::payee::Payee;
use store::shop::terminal::Terminal;
use wire::ids::{MerchantId, TerminalId};

use crate::{Result, UnitOfWork};

/// Who is paid, and where.
pub(super) enum Attribution {
    Terminal(Box<(Payee, Terminal)>),
    /// The merchant or terminal is not certain.
    None {
        /// Why, in a word.
        reason: &'static str,
        /// The merchant, if that is known.
        merchant_id: Option<MerchantId>,
    },
}

/// Attributes a payment that was made at `at`.
pub(super) async fn attribute(
    unit: &mut UnitOfWork,
    partner_id: &str,
    code: &PrintedCode,
    at: DateTime<Utc>,
) -> Result<Attribution> {
    let Some(payee) = payee(unit, partner_id, code, at).await? else {
        return Ok(Attribution::None {
            reason: "no_such_merchant",
            merchant_id: None,
        });
    };
    let merchant_id = Some(payee.merchant_id);
    let reason = match payee.status {
        MerchantStatus::Approved => None,
        MerchantStatus::Suspended => Some("merchant_suspended"),
        _ => Some("merchant_not_approved"),
    };
    if let Some(reason) = reason {
        return Ok(Attribution::None {
            reason,
            merchant_id,
        });
    }
    Ok(match terminal(unit, payee.merchant_id, code).await? {
        Some(terminal) => Attribution::Terminal(Box::new((payee, terminal))),
        None => Attribution::None {
            reason: "no_such_terminal",
            merchant_id,
        },
    })
}

/// An NMID decides; a PAN counts when there is no NMID, or one that is none.
async fn payee(
    unit: &mut UnitOfWork,
    partner_id: &str,
    code: &PrintedCode,
    at: DateTime<Utc>,
) -> Result<Option<Payee>> {
    let conn = unit.conn();
    Ok(match (code.nmid(), code.merchant_pan()) {
        (Some(nmid), _) => {
            store::payment::payee::of_nmid(conn, partner_id, nmid.as_str(), at).await?
        }
        (None, Some(pan)) => {
            store::payment::payee::of_merchant_pan(conn, partner_id, pan.as_str(), at).await?
        }
        (None, None) => None,
    })
}

async fn terminal(
    unit: &mut UnitOfWork,
    merchant_id: MerchantId,
    code: &PrintedCode,
) -> Result<Option<Terminal>> {
    let label = code.terminal_label();
    let names = [
        label.as_ref().map(|label| label.as_str()),
        code.terminal_id.as_deref(),
    ];
    for name in names.into_iter().flatten() {
        let found =
            store::shop::terminal::find_static_by_label(unit.conn(), merchant_id, name).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    if let Some(id) = code.terminal_id.as_deref().and_then(|id| id.parse().ok()) {
        let found = by_our_id(unit, merchant_id, id).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    if label.is_some() {
        return Ok(None);
    }
    Ok(store::shop::terminal::find_sole_static(unit.conn(), merchant_id).await?)
}

async fn by_our_id(
    unit: &mut UnitOfWork,
    merchant_id: MerchantId,
    id: TerminalId,
) -> Result<Option<Terminal>> {
    let scope = Scope::Merchant(merchant_id);
    let found = store::shop::terminal::find(unit.conn(), scope, id).await?;
    Ok(found.filter(|terminal| terminal.qr_mode.takes(QrType::Static)))
}
