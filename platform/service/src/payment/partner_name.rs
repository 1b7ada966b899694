//! Learning a partner's names for a merchant, an outlet and a terminal from money that a person attributed.
//!
//! A name is taken only where ours has none and no other of ours has it: what was set by people, or learned before, stays.

use domain::attribution::{self, Lesson, PartnerName, Taught};
use domain::callback::PrintedCode;
use domain::transaction::QrType;
use serde_json::json;
use store::payment::unmatched_payment::UnmatchedPayment;
use store::shop::merchant::Merchant;
use store::shop::terminal::Terminal;

use crate::shop::{merchant, outlet, terminal};
use crate::{Error, Noun, Result, UnitOfWork};

/// What the message about this money called its printed code.
fn code_of(money: &UnmatchedPayment) -> PrintedCode {
    PrintedCode {
        nmid: money.nmid.clone(),
        merchant_pan: money.merchant_pan.clone(),
        terminal_label: money.terminal_label.clone(),
        terminal_id: money.terminal_id.clone(),
        merchant_id: money.partner_merchant_id.clone(),
        store_id: money.partner_store_id.clone(),
    }
}

/// Takes the names of a message about a payment of this terminal, so that the next one is attributed by itself. Locks the
/// merchant, the outlet and the terminal.
///
/// # Errors
/// [`Error::Duplicate`] when another takes the same name at the same time.
pub(super) async fn learn(
    unit: &mut UnitOfWork,
    money: &UnmatchedPayment,
    merchant: &Merchant,
    terminal: &Terminal,
) -> Result<Vec<Lesson>> {
    let code = code_of(money);
    let mut lessons = Vec::new();
    let mut note = |field: &str, value: &str, outcome| {
        lessons.push(Lesson {
            field: field.to_owned(),
            value: value.to_owned(),
            outcome,
        });
    };
    if let Some(name) = &code.merchant_id {
        let outcome = learn_merchant(unit, &money.partner_id, merchant, name).await?;
        note("partner_merchant_id", name, outcome);
    }
    if let Some(name) = &code.store_id {
        note(
            "partner_store_id",
            name,
            learn_store(unit, terminal, name).await?,
        );
    }
    // A partner calls a terminal by one name, whichever field it writes it into.
    if let Some(name) = code.terminal_id.as_ref().or(code.terminal_label.as_ref()) {
        let outcome = learn_terminal(unit, terminal, name, &code).await?;
        note("partner_terminal_id", name, outcome);
    }
    Ok(lessons)
}

/// What becomes of a name when ours has `own` already; `None` when it may be taken.
fn standing(own: Option<&str>, name: &str) -> Option<Taught> {
    if name.parse::<PartnerName>().is_err() {
        return Some(Taught::Malformed);
    }
    match own {
        Some(own) if own == name => Some(Taught::Known),
        Some(_) => Some(Taught::HasAnother),
        None => None,
    }
}

async fn learn_merchant(
    unit: &mut UnitOfWork,
    partner_id: &str,
    merchant: &Merchant,
    name: &str,
) -> Result<Taught> {
    let mut merchant = store::shop::merchant::lock(unit.conn(), merchant.id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    if let Some(outcome) = standing(merchant.partner_merchant_id.as_deref(), name) {
        return Ok(outcome);
    }
    let now = unit.now();
    let owner =
        store::payment::payee::of_partner_merchant_id(unit.conn(), partner_id, name, now).await?;
    if owner.is_some() {
        return Ok(Taught::OfAnother);
    }
    let before = json!(merchant);
    merchant.partner_merchant_id = Some(name.to_owned());
    merchant.updated_at = now;
    merchant::write(unit, &merchant, before).await?;
    Ok(Taught::Set)
}

async fn learn_store(unit: &mut UnitOfWork, terminal: &Terminal, name: &str) -> Result<Taught> {
    let mut outlet = store::shop::outlet::lock(unit.conn(), terminal.outlet_id)
        .await?
        .ok_or(Error::NotFound(Noun::Outlet))?;
    if let Some(outcome) = standing(outlet.partner_store_id.as_deref(), name) {
        return Ok(outcome);
    }
    let owner =
        store::shop::outlet::find_by_partner_store_id(unit.conn(), outlet.merchant_id, name);
    if owner.await?.is_some() {
        return Ok(Taught::OfAnother);
    }
    let before = json!(outlet);
    outlet.partner_store_id = Some(name.to_owned());
    outlet.updated_at = unit.now();
    outlet::write(unit, &outlet, before).await?;
    Ok(Taught::Set)
}

async fn learn_terminal(
    unit: &mut UnitOfWork,
    terminal: &Terminal,
    name: &str,
    code: &PrintedCode,
) -> Result<Taught> {
    let mut terminal = store::shop::terminal::lock(unit.conn(), terminal.id)
        .await?
        .ok_or(Error::NotFound(Noun::Terminal))?;
    if !terminal.qr_mode.takes(QrType::Static) {
        return Ok(Taught::NotStatic);
    }
    let merchant_id = terminal.merchant_id;
    let candidates = store::shop::terminal::named(unit.conn(), merchant_id, code).await?;
    let mut tried = Vec::new();
    match attribution::named(code, &candidates, &mut tried) {
        Some(found) if found.id == terminal.id => return Ok(Taught::Known),
        Some(_) => return Ok(Taught::OfAnother),
        None => {}
    }
    match standing(terminal.partner_terminal_id.as_deref(), name) {
        // Others of the merchant have the same name, and the message does not say in which store.
        Some(Taught::Known) => return Ok(Taught::OfAnother),
        Some(outcome) => return Ok(outcome),
        None => {}
    }
    let is_taken = candidates.iter().any(|one| {
        one.partner_terminal_id.as_deref() == Some(name) && one.outlet_id == terminal.outlet_id
    });
    if is_taken
        || tried
            .iter()
            .any(|one| one.found == attribution::Found::Several)
    {
        return Ok(Taught::OfAnother);
    }
    let before = json!(terminal);
    terminal.partner_terminal_id = Some(name.to_owned());
    terminal.updated_at = unit.now();
    terminal::write(unit, &terminal, before).await?;
    Ok(Taught::Set)
}
