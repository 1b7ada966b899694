//! Whose money the payment of a printed code is.
//!
//! The first of these that names one approved merchant's terminal for static payments: NMID and terminal label, NMID and
//! terminal id, merchant PAN with either of them, the partner's own name of the merchant with the store or the terminal, and
//! the merchant's sole such terminal. An NMID decides about the merchant: a PAN is not looked at beside one, and the
//! partner's own name counts only where NMID and PAN are nobody else's. A label of the right form that names no terminal of
//! the merchant contradicts the sole one; a text that cannot be a label names nothing.

use chrono::{DateTime, Utc};
use domain::attribution::{self, Attempt, Found, LookedFor};
use domain::callback::PrintedCode;
use domain::merchant::MerchantStatus;
use store::payment::payee::{self, Payee};
use store::shop::{merchant, terminal};
use wire::ids::{MerchantId, OutletId, TerminalId};

use crate::{Result, UnitOfWork};

/// Who is paid, and where.
pub(super) enum Attribution {
    Terminal(Box<Attributed>),
    /// The merchant or terminal is not certain.
    None(Unattributed),
}

/// A payment whose terminal is known.
pub(super) struct Attributed {
    pub(super) payee: Payee,
    pub(super) outlet_id: OutletId,
    pub(super) terminal_id: TerminalId,
}

/// Why it is not known whose a payment is.
pub(super) struct Unattributed {
    /// In a word.
    pub(super) reason: &'static str,
    /// The merchant, if that is known.
    pub(super) merchant_id: Option<MerchantId>,
    /// What was looked for.
    pub(super) tried: Vec<Attempt>,
}

/// Attributes a payment that was made at `at`.
pub(super) async fn attribute(
    unit: &mut UnitOfWork,
    partner_id: &str,
    code: &PrintedCode,
    at: DateTime<Utc>,
) -> Result<Attribution> {
    let mut search = Search {
        unit,
        partner_id,
        code,
        at,
        tried: Vec::new(),
    };
    let none = |reason, merchant_id, tried| {
        Ok(Attribution::None(Unattributed {
            reason,
            merchant_id,
            tried,
        }))
    };
    let Some(payee) = search.payee().await? else {
        return none("no_such_merchant", None, search.tried);
    };
    let merchant_id = payee.merchant_id;
    let (reason, found) = match payee.status {
        MerchantStatus::Approved => {
            return match search.terminal(merchant_id).await? {
                Some((outlet_id, terminal_id)) => Ok(Attribution::Terminal(Box::new(Attributed {
                    payee,
                    outlet_id,
                    terminal_id,
                }))),
                None => none("no_such_terminal", Some(merchant_id), search.tried),
            };
        }
        MerchantStatus::Suspended => ("merchant_suspended", Found::Suspended),
        _ => ("merchant_not_approved", Found::NotApproved),
    };
    if let Some(last) = search.tried.last_mut() {
        last.found = found;
    }
    none(reason, Some(merchant_id), search.tried)
}

/// The search for one payment's terminal.
struct Search<'a> {
    unit: &'a mut UnitOfWork,
    partner_id: &'a str,
    code: &'a PrintedCode,
    at: DateTime<Utc>,
    tried: Vec<Attempt>,
}

impl Search<'_> {
    fn note(&mut self, looked_for: LookedFor, by: &[(&str, &str)], found: Found) {
        self.tried.push(Attempt::new(looked_for, by, found));
    }

    /// The merchant; the last of what was tried is what found it.
    async fn payee(&mut self) -> Result<Option<Payee>> {
        use LookedFor::Merchant;

        let (code, partner_id, at) = (self.code, self.partner_id, self.at);
        let (nmid, pan) = (code.nmid(), code.merchant_pan());
        let named = [
            ("nmid", &code.nmid, nmid.is_some()),
            ("merchant_pan", &code.merchant_pan, pan.is_some()),
        ];
        for (field, text, is_one) in named {
            if let (Some(text), false) = (text, is_one) {
                self.note(Merchant, &[(field, text)], Found::Malformed);
            }
        }
        let conn = self.unit.conn();
        let found = match (&nmid, &pan) {
            (Some(nmid), _) => payee::of_nmid(conn, partner_id, nmid.as_str(), at).await?,
            (None, Some(pan)) => payee::of_merchant_pan(conn, partner_id, pan.as_str(), at).await?,
            (None, None) => None,
        };
        let nmid = nmid.as_ref().map(domain::qris::Nmid::as_str);
        let pan = pan.as_ref().map(domain::qris::MerchantPan::as_str);
        let by = nmid
            .map(|nmid| ("nmid", nmid))
            .or(pan.map(|pan| ("merchant_pan", pan)));
        if let (Some(_), Some(by)) = (&found, by) {
            self.note(Merchant, &[by], Found::One);
            return Ok(found);
        }
        let owners = if by.is_some() {
            merchant::owners(self.unit.conn(), nmid, pan).await?
        } else {
            Vec::new()
        };
        if let Some(nmid) = nmid {
            let owner = owners
                .iter()
                .find(|owner| owner.nmid.as_deref() == Some(nmid));
            let found = owner.map_or(Found::None, |owner| self.standing(owner));
            self.note(Merchant, &[("nmid", nmid)], found);
        }
        if let Some(pan) = pan {
            let owner = owners
                .iter()
                .find(|owner| owner.merchant_pan.as_deref() == Some(pan));
            let found = match owner {
                Some(_) if nmid.is_some() => Found::Contradicts,
                Some(owner) => self.standing(owner),
                None => Found::None,
            };
            self.note(Merchant, &[("merchant_pan", pan)], found);
        }
        let is_owned = !owners.is_empty();
        self.payee_by_partners_names(by.is_some(), is_owned).await
    }

    /// Why a merchant with this NMID or PAN is not the payee.
    fn standing(&self, owner: &merchant::Owner) -> Found {
        match &owner.qris_partner_id {
            Some(partner_id) if partner_id != self.partner_id => Found::OtherPartner,
            _ => Found::NotApproved,
        }
    }

    /// The merchant that the partner calls so. A merchant that has the message's NMID or PAN is another one.
    async fn payee_by_partners_names(
        &mut self,
        is_registered_name: bool,
        is_owned: bool,
    ) -> Result<Option<Payee>> {
        use LookedFor::Merchant;

        let (code, partner_id, at) = (self.code, self.partner_id, self.at);
        if let Some(name) = &code.merchant_id {
            let by = [("merchant_id", name.as_str())];
            let conn = self.unit.conn();
            let payee = payee::of_partner_merchant_id(conn, partner_id, name, at).await?;
            let found = match &payee {
                None => Found::None,
                Some(_) if is_owned => Found::Contradicts,
                Some(_) => Found::One,
            };
            self.note(Merchant, &by, found);
            return Ok(payee.filter(|_| found == Found::One));
        }
        // A store alone, where the message names no merchant in any way.
        let Some(store) = code.store_id.as_deref().filter(|_| !is_registered_name) else {
            return Ok(None);
        };
        let mut payees =
            payee::of_partner_store_id(self.unit.conn(), partner_id, store, at).await?;
        let found = match payees.len() {
            0 => Found::None,
            1 => Found::One,
            _ => Found::Several,
        };
        self.note(Merchant, &[("store_id", store)], found);
        Ok(payees.pop().filter(|_| found == Found::One))
    }

    async fn terminal(
        &mut self,
        merchant_id: MerchantId,
    ) -> Result<Option<(OutletId, TerminalId)>> {
        let code = self.code;
        if code.terminal_label.is_some() || code.terminal_id.is_some() {
            let candidates = terminal::named(self.unit.conn(), merchant_id, code).await?;
            if let Some(found) = attribution::named(code, &candidates, &mut self.tried) {
                return Ok(Some((found.outlet_id, found.id)));
            }
        }
        if code.terminal_label().is_some() {
            return Ok(None);
        }
        let in_store = match code.store_id.as_deref() {
            Some(store) => {
                let conn = self.unit.conn();
                let ones = terminal::static_ones_of_store(conn, merchant_id, store).await?;
                ones.map(|ones| (Some(("store_id", store)), ones))
            }
            None => None,
        };
        let (by, candidates) = match in_store {
            Some(found) => found,
            None => (
                None,
                terminal::static_ones(self.unit.conn(), merchant_id).await?,
            ),
        };
        match attribution::sole(&candidates) {
            Ok(found) => Ok(Some((found.outlet_id, found.id))),
            Err(found) => {
                self.note(LookedFor::SoleTerminal, by.as_slice(), found);
                Ok(None)
            }
        }
    }
}
