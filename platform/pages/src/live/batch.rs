//! What changed, encoded once for each kind of viewer, as `text/event-stream`.

use std::collections::HashMap;

use bytes::Bytes;
use domain::role::{Permission, Role};
use maud::Markup;
use service::shop::portal::Summary;
use store::payment::live::LivePayment;
use wire::ids::MerchantId;

use super::Board;
use crate::console::now;
use crate::payment_row;
use crate::portal::today;
use crate::words::Language;

/// How many payments of one batch the console shows: its list has no more.
const STAFF_MAX: usize = 50;

/// The events of one reading.
pub(crate) struct Batch {
    /// Its number.
    pub(super) number: u64,
    /// The line that ends it, with its place.
    place: Bytes,
    /// Payments, for staff who may see them.
    payments: HashMap<Language, Bytes>,
    /// Figures, by what a role may see.
    figures: HashMap<(Role, Language), Bytes>,
    /// What a shop sees.
    shops: HashMap<(MerchantId, Language), Bytes>,
}

impl Batch {
    /// The parts for one viewer; none when nothing of it is for this one.
    pub(super) fn of(
        &self,
        role: Role,
        merchant_id: Option<MerchantId>,
        language: Language,
    ) -> Vec<Bytes> {
        let mut parts = Vec::new();
        match merchant_id {
            Some(merchant_id) => parts.extend(self.shops.get(&(merchant_id, language)).cloned()),
            None if !role.is_of_merchant() => {
                if role.may(Permission::TransactionRead) {
                    parts.extend(self.payments.get(&language).cloned());
                }
                parts.extend(self.figures.get(&(role, language)).cloned());
            }
            None => {}
        }
        if !parts.is_empty() {
            parts.push(self.place.clone());
        }
        parts
    }
}

/// One event: an element that replaces the one with its id, or is new.
fn event(name: &str, html: Markup) -> String {
    // A line break ends a line of the stream; in a page it is a space.
    let html = html.into_string().replace(['\r', '\n'], " ");
    format!("event: {name}\ndata: {html}\n\n")
}

/// Collects the events of a reading.
#[derive(Default)]
pub(super) struct Encoder {
    payments: HashMap<Language, String>,
    figures: HashMap<(Role, Language), String>,
    shops: HashMap<(MerchantId, Language), String>,
}

impl Encoder {
    pub(super) fn payments(&mut self, changes: &[LivePayment]) {
        let newest = &changes[changes.len().saturating_sub(STAFF_MAX)..];
        for language in Language::ALL {
            let words = language.words();
            for payment in newest {
                let text = event("payment", payment_row::for_staff(payment, words));
                *self.payments.entry(language).or_default() += &text;
            }
            for payment in changes {
                let text = event("payment", payment_row::for_merchant(payment, words));
                let shop = (payment.merchant_id, language);
                *self.shops.entry(shop).or_default() += &text;
            }
        }
    }

    pub(super) fn takings(&mut self, merchant_id: MerchantId, summary: &Summary) {
        for language in Language::ALL {
            let text = event("part", today::takings(summary, language.words()));
            *self.shops.entry((merchant_id, language)).or_default() += &text;
        }
    }

    pub(super) fn figures(&mut self, board: &Board, is_new_chart: bool) {
        let staff = Role::ALL
            .iter()
            .copied()
            .filter(|role| !role.is_of_merchant());
        for role in staff {
            for language in Language::ALL {
                let words = language.words();
                let mut text = event("part", now::tiles(board, role, language));
                text += &event("part", now::attention(&board.figures, role, words));
                if is_new_chart && let Some(hours) = now::by_hour(board, role, language) {
                    text += &event("part", hours);
                }
                self.figures.insert((role, language), text);
            }
        }
    }

    /// The batch with this number; none without events.
    pub(super) fn finish(&mut self, number: u64, place: &str) -> Option<Batch> {
        let Self {
            payments,
            figures,
            shops,
        } = std::mem::take(self);
        if payments.is_empty() && figures.is_empty() && shops.is_empty() {
            return None;
        }
        Some(Batch {
            number,
            // Its id is set by an event of its own, after all others: one that is cut off comes again as a whole.
            place: Bytes::from(format!("id: {place}\nevent: place\ndata: \n\n")),
            payments: encoded(payments),
            figures: encoded(figures),
            shops: encoded(shops),
        })
    }
}

fn encoded<K: Eq + std::hash::Hash>(texts: HashMap<K, String>) -> HashMap<K, Bytes> {
    texts
        .into_iter()
        .map(|(key, text)| (key, Bytes::from(text)))
        .collect()
}
