//! The `local` partner: codes are built here, from the merchant's registration, without a call.

use domain::qris::{QrisCode, Reference};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use service::payment::qr_partner::{
    Issued, Named, Order, PartnerError, QrPartner, Refund, Refunded,
};

/// Builds codes.
#[derive(Debug, Clone, Copy)]
pub struct Local;

impl QrPartner for Local {
    fn is_local(&self) -> bool {
        true
    }

    fn generate<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Issued, PartnerError>> {
        let reference = Reference::from_u128(order.id.as_uuid().as_u128());
        let issued = QrisCode::dynamic(
            &order.registration,
            order.amount,
            &reference,
            Some(&order.terminal_label),
        )
        .map(|code| Issued {
            qr_payload: code.to_string(),
            qr_reference: Some(reference.to_string()),
            reference_no: None,
            external_id: None,
        })
        .map_err(|error| PartnerError::Refused {
            code: "amount".into(),
            message: error.to_string(),
        });
        std::future::ready(issued).boxed()
    }

    fn query<'a>(&'a self, _: &'a Named) -> BoxFuture<'a, Result<Vec<u8>, PartnerError>> {
        std::future::ready(Err(PartnerError::Unsupported)).boxed()
    }

    fn refund<'a>(&'a self, _: &'a Refund) -> BoxFuture<'a, Result<Refunded, PartnerError>> {
        std::future::ready(Err(PartnerError::Unsupported)).boxed()
    }

    fn cancel<'a>(&'a self, _: &'a Named, _: &'a str) -> BoxFuture<'a, Result<(), PartnerError>> {
        // Nothing to withdraw: a payment would still arrive as the acquirer's callback.
        std::future::ready(Ok(())).boxed()
    }
}
