//! A verified message: its entry in the archive, and the incidents and alerts about it.

use chrono::{DateTime, Utc};
use domain::alert::{AlertKind, AlertSubject, NewAlert};
use serde_json::{Value, json};
use sqlx::PgConnection;
use store::payment::callback::Callback;
use store::payment::external_id::ExternalId;
use wire::ids::{CallbackId, IncidentId, TransactionId};

use crate::payment::incident;
use crate::{Result, UnitOfWork};

/// A message of a partner whose signature was checked.
#[derive(Clone, Copy)]
pub(crate) struct Verified<'a> {
    pub(crate) id: CallbackId,
    pub(crate) partner_id: &'a str,
    /// What the archive calls where it came from.
    pub(crate) route: &'a str,
    /// Without credentials.
    pub(crate) headers: &'a Value,
    /// The raw bytes.
    pub(crate) body: &'a [u8],
    pub(crate) received_at: DateTime<Utc>,
    /// When its signature was checked and its body read.
    pub(crate) verified_at: DateTime<Utc>,
}

/// What became of a message, as the archive shows it.
pub(crate) struct Entry<'a> {
    pub(crate) verdict: &'a str,
    pub(crate) reason: Option<&'a str>,
    pub(crate) http_status: u16,
    pub(crate) partner_reference: Option<&'a str>,
    pub(crate) transaction_id: Option<TransactionId>,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(verdict: &'a str, http_status: u16) -> Self {
        Self {
            verdict,
            reason: None,
            http_status,
            partner_reference: None,
            transaction_id: None,
        }
    }
}

impl<'a> Verified<'a> {
    /// What an X-EXTERNAL-ID of its partner names: one message on the day it came.
    pub(super) fn external_id<'b>(&self, external_id: &'b str) -> ExternalId<'b>
    where
        'a: 'b,
    {
        ExternalId {
            partner_id: self.partner_id,
            day: domain::snap::day(self.received_at),
            external_id,
        }
    }

    /// Archives it.
    pub(crate) async fn archive(&self, conn: &mut PgConnection, entry: Entry<'_>) -> Result<()> {
        Ok(store::payment::callback::insert(conn, &self.archived_as(entry)).await?)
    }

    /// Its row in the archive.
    pub(super) fn archived_as<'e>(&self, entry: Entry<'e>) -> Callback<'e>
    where
        'a: 'e,
    {
        Callback {
            id: self.id,
            route: self.route,
            partner_id: Some(self.partner_id),
            received_at: self.received_at,
            headers: self.headers,
            body: self.body,
            verdict: entry.verdict,
            reason: entry.reason,
            http_status: entry.http_status,
            partner_reference: entry.partner_reference,
            transaction_id: entry.transaction_id,
        }
    }

    /// Keeps an incident about it.
    pub(crate) async fn incident(
        &self,
        unit: &mut UnitOfWork,
        kind: &str,
        transaction_id: Option<TransactionId>,
        partner_reference: Option<&str>,
        details: Value,
    ) -> Result<()> {
        let incident = store::payment::incident::NewIncident {
            id: IncidentId::from_uuid(unit.uuid()),
            kind,
            partner_id: self.partner_id,
            transaction_id,
            partner_reference,
            callback_id: self.id,
            details,
            created_at: unit.now(),
        };
        incident::open(unit, &incident).await
    }

    /// The alert that it was refused.
    pub(crate) fn rejected(&self, reason: &str) -> NewAlert {
        NewAlert::new(
            AlertKind::RejectedCallback,
            AlertSubject::Partner(self.partner_id.to_owned()),
            json!({ "callback_id": self.id, "kind": reason }),
        )
    }
}
