//! Whose message it is: the path and a header name the partner, before its signature is checked with that partner's
//! credentials alone.

use std::sync::Arc;

use domain::dialect::{Dialect, built_in};

use super::{Incoming, NamedBy};
use crate::{Context, Partner};

/// The header that names a partner on the route of all partners.
const PARTNER_ID: &str = "x-partner-id";

/// The partner that a message claims to be from, if that partner may call this path.
pub(super) fn sender<'a>(
    context: &'a Context,
    incoming: &Incoming,
) -> Option<(&'a str, &'a Partner)> {
    match incoming.named_by {
        NamedBy::Path => by_id(context, incoming.partner_id.as_deref()?),
        NamedBy::Header => {
            let named = incoming.headers.get(PARTNER_ID)?;
            by_id(context, named).or_else(|| {
                let mut partners = context.qris_partners();
                partners.find(|(id, partner)| partner.is_named(id, named))
            })
        }
        NamedBy::Dialect => {
            let path = incoming.path_alone();
            let mut callers = context
                .qris_partners()
                .filter(|(_, partner)| partner.dialect.calls(path));
            callers.find(
                |(id, partner)| match &partner.dialect.inbound.partner_header {
                    Some(header) => {
                        let named = incoming.headers.get(header);
                        named.is_some_and(|named| partner.is_named(id, named))
                    }
                    // Only one partner may have such a path; that is checked at start.
                    None => true,
                },
            )
        }
    }
}

fn by_id<'a>(context: &'a Context, id: &str) -> Option<(&'a str, &'a Partner)> {
    context.qris_partners().find(|(known, _)| *known == id)
}

/// The partner that asks for a token: one that is named so, and gets tokens at this path.
pub(crate) fn of_token<'a>(
    context: &'a Context,
    path: &str,
    client_key: &str,
) -> Option<(&'a str, &'a Partner)> {
    context.qris_partners().find(|(id, partner)| {
        partner.dialect.inbound.token_path.as_deref() == Some(path)
            && partner.is_named(id, client_key)
    })
}

/// The dialect in which whoever calls this path expects its answer, when the sender is not known.
pub(super) fn spoken_at(context: &Context, incoming: &Incoming) -> Option<Arc<Dialect>> {
    if incoming.named_by != NamedBy::Dialect {
        return None;
    }
    let path = incoming.path_alone();
    let mut partners = context.qris_partners();
    let found = partners.find(|(_, partner)| partner.dialect.calls(path));
    // The standard's path is there also when no partner calls it.
    let standard = || built_in("snap").ok().flatten();
    found
        .map(|(_, partner)| Arc::clone(&partner.dialect))
        .or_else(standard)
}
