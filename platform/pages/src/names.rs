//! What ids are called where people read them.

use std::collections::HashMap;

use domain::role::Permission;
use maud::{Markup, html};
use wire::ids::MerchantId;

use crate::list;
use crate::session::Viewer;

/// The names of the merchants of a list.
pub(crate) type Names = HashMap<MerchantId, String>;

/// A merchant by its name, with the way to its page for those who may see it.
pub(crate) fn merchant(id: MerchantId, names: &Names, viewer: &Viewer) -> Markup {
    let name = names.get(&id).cloned().unwrap_or_else(|| list::short(id));
    html! {
        @if viewer.may(Permission::MerchantRead) {
            a href={ "/console/merchants/" (id) } { (name) }
        } @else { (name) }
    }
}

/// Something that has a page, by its id; the id alone where there is none, or not for this viewer.
pub(crate) fn entity(id: &str, viewer: &Viewer) -> Markup {
    let pages = [
        ("m_", Permission::MerchantRead, "merchants"),
        ("sbx_", Permission::DeviceRead, "devices"),
        ("tx_", Permission::TransactionRead, "payments"),
        ("set_", Permission::SettlementRead, "settlements"),
        ("apr_", Permission::ApprovalRead, "approvals"),
        ("inc_", Permission::IncidentRead, "incidents"),
        ("cb_", Permission::IncidentRead, "callbacks"),
        ("rec_", Permission::LedgerRead, "reconciliations"),
        ("usr_", Permission::UserRead, "users"),
    ];
    let page = pages
        .iter()
        .find(|(prefix, permission, _)| id.starts_with(prefix) && viewer.may(*permission));
    html! {
        @match page {
            Some((_, _, page)) => a href={ "/console/" (page) "/" (id) } title=(id) { (list::short(id)) },
            None => span title=(id) { (list::short(id)) },
        }
    }
}
