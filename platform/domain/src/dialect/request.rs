//! The bodies of what an acquirer is asked for, in its dialect.
//!
//! All of them name the order as the dialect says, so that a repeated request is recognised. A text of which a name has no
//! value is left out: a merchant without a number of the acquirer's sends none.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use wire::Rupiah;

use super::outbound::{Call, Info, Outbound};
use super::template::Template;
use crate::snap::money::Money;
use crate::snap::timestamp;

/// What the acquirer calls a merchant, its outlet and its terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct PayeeNames {
    pub nmid: Option<String>,
    pub partner_merchant_id: Option<String>,
    pub partner_store_id: Option<String>,
    pub partner_terminal_id: Option<String>,
    pub terminal_label: Option<String>,
}

/// What we are called at the acquirer. These are four different things, though many give one value for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnNames {
    /// X-CLIENT-KEY.
    pub client_id: String,
    /// X-PARTNER-ID.
    pub partner_id: String,
    /// Where a merchant has no name of its own.
    pub merchant_id: Option<String>,
    /// Where a terminal has no name of its own.
    pub terminal_id: Option<String>,
    /// From where we call.
    pub ip_address: Option<String>,
}

/// The values of a request's templates.
#[derive(Debug, Clone, Default)]
pub struct Values(Vec<(&'static str, String)>);

impl Values {
    /// Those of every request at this time.
    pub fn new(own: &OwnNames, payee: &PayeeNames, now: DateTime<Utc>) -> Self {
        let mut values = Self::default();
        values.set("client_id", Some(own.client_id.clone()));
        values.set("partner_id", Some(own.partner_id.clone()));
        values.set("ip_address", own.ip_address.clone());
        values.set("nmid", payee.nmid.clone().filter(|nmid| !nmid.is_empty()));
        let merchant_id = payee.partner_merchant_id.as_ref();
        values.set(
            "merchant_id",
            merchant_id.or(own.merchant_id.as_ref()).cloned(),
        );
        let terminal_id = payee.partner_terminal_id.as_ref();
        values.set(
            "terminal_id",
            terminal_id.or(own.terminal_id.as_ref()).cloned(),
        );
        values.set("store_id", payee.partner_store_id.clone());
        values.set("terminal_label", payee.terminal_label.clone());
        values.set("now", Some(timestamp(now)));
        values
    }

    fn set(&mut self, name: &'static str, value: Option<String>) {
        self.0.extend(value.map(|value| (name, value)));
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The text of a template; none when one of its names has no value.
    pub fn fill(&self, template: &Template) -> Option<String> {
        template.fill(|name| self.get(name))
    }
}

/// An order, or a payment of one, as the acquirer is asked about it.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// Our name for the order.
    pub name: &'a str,
    /// The acquirer's name for the order or the money, if it gave one.
    pub reference_no: Option<&'a str>,
    /// The X-EXTERNAL-ID under which the code was asked for, if it was.
    pub external_id: Option<&'a str>,
    /// The values of the templates.
    pub values: Values,
}

impl Outbound {
    /// Body of a request for a code.
    pub fn generate_body(
        &self,
        mut asked: Asked<'_>,
        amount: Rupiah,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Value {
        let money = Money::of(amount);
        let lifetime = (expires_at - now).num_seconds().max(1);
        let values = &mut asked.values;
        values.set("amount", Some(money.value.clone()));
        values.set("expires_at", Some(timestamp(expires_at)));
        values.set("validity_s", Some(lifetime.to_string()));
        let mut body = self.begin(&mut asked);
        put(&mut body, "partnerReferenceNo", Some(asked.name));
        body.insert("amount".to_owned(), json!(money));
        let values = &asked.values;
        let optional =
            |template: &Option<Template>| template.as_ref().and_then(|it| values.fill(it));
        put(
            &mut body,
            "terminalId",
            optional(&self.terminal_id).as_deref(),
        );
        put(&mut body, "storeId", optional(&self.store_id).as_deref());
        put(
            &mut body,
            "validityPeriod",
            values.fill(&self.validity).as_deref(),
        );
        self.generate.finish(body, values)
    }

    /// Body of a question about an order.
    pub fn query_body(&self, call: &Call, mut asked: Asked<'_>) -> Value {
        let mut body = self.begin(&mut asked);
        originals(&mut body, &asked);
        put(&mut body, "serviceCode", call.asked_service.as_deref());
        call.finish(body, &asked.values)
    }

    /// Body of a request to take back this much of a payment, under a name of ours for the refund.
    pub fn refund_body(
        &self,
        call: &Call,
        mut asked: Asked<'_>,
        refund: &str,
        amount: Rupiah,
        reason: &str,
    ) -> Value {
        let money = Money::of(amount);
        asked.values.set("amount", Some(money.value.clone()));
        asked.values.set("reason", Some(reason.to_owned()));
        let mut body = self.begin(&mut asked);
        originals(&mut body, &asked);
        put(&mut body, "partnerRefundNo", Some(refund));
        body.insert("refundAmount".to_owned(), json!(money));
        put(&mut body, "reason", Some(reason));
        call.finish(body, &asked.values)
    }

    /// Body of a request to withdraw a code.
    pub fn cancel_body(&self, call: &Call, mut asked: Asked<'_>, reason: &str) -> Value {
        asked.values.set("reason", Some(reason.to_owned()));
        let mut body = self.begin(&mut asked);
        originals(&mut body, &asked);
        put(&mut body, "reason", Some(reason));
        call.finish(body, &asked.values)
    }

    /// A body with what each has, and the values of the order.
    fn begin(&self, asked: &mut Asked<'_>) -> Map<String, Value> {
        let (reference_no, external_id) = (asked.reference_no, asked.external_id);
        let values = &mut asked.values;
        values.set("order", Some(asked.name.to_owned()));
        values.set("reference", reference_no.map(str::to_owned));
        values.set("external_id", external_id.map(str::to_owned));
        let mut body = Map::new();
        put(
            &mut body,
            "merchantId",
            values.fill(&self.merchant_id).as_deref(),
        );
        body
    }
}

impl Call {
    /// The body with what the dialect adds to this request.
    fn finish(&self, mut body: Map<String, Value>, values: &Values) -> Value {
        let fill = |info: &Info| info.fill(&|name| values.get(name));
        if let Some(info) = self.additional_info.as_ref().and_then(fill) {
            body.insert("additionalInfo".to_owned(), info);
        }
        for (field, info) in &self.fields {
            if let Some(value) = fill(info) {
                body.insert(field.clone(), value);
            }
        }
        Value::Object(body)
    }
}

fn originals(body: &mut Map<String, Value>, asked: &Asked<'_>) {
    put(body, "originalReferenceNo", asked.reference_no);
    put(body, "originalPartnerReferenceNo", Some(asked.name));
}

fn put(body: &mut Map<String, Value>, field: &str, value: Option<&str>) {
    if let Some(value) = value {
        body.insert(field.to_owned(), json!(value));
    }
}

/// The first of these places of an answer that holds something.
pub fn first_of<'a>(answer: &'a Value, pointers: &[String]) -> Option<&'a Value> {
    let mut found = pointers
        .iter()
        .filter_map(|pointer| answer.pointer(pointer));
    found.find(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::built_in;

    fn outbound(dialect: &str) -> Outbound {
        let dialect = built_in(dialect).unwrap().unwrap();
        dialect.outbound.clone().unwrap()
    }

    const ORDER: &str = "tx_019a0a5d3f2c7b3e8f00112233445566";

    fn asked<'a>(name: &'a str, payee: &PayeeNames) -> Asked<'a> {
        let own = OwnNames {
            client_id: "client".to_owned(),
            partner_id: "partner".to_owned(),
            merchant_id: Some("OURS".to_owned()),
            terminal_id: None,
            ip_address: Some("192.0.2.7".to_owned()),
        };
        Asked {
            name,
            reference_no: Some("R-1"),
            external_id: Some("0000123"),
            values: Values::new(&own, payee, now()),
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-11-27T03:00:00Z".parse().unwrap()
    }

    fn payee() -> PayeeNames {
        PayeeNames {
            nmid: Some("ID1020021181745".to_owned()),
            partner_merchant_id: None,
            partner_store_id: Some("S-1".to_owned()),
            partner_terminal_id: Some("A01".to_owned()),
            terminal_label: Some("T001".to_owned()),
        }
    }

    fn generate(dialect: &str) -> Value {
        let outbound = outbound(dialect);
        let until = now() + chrono::TimeDelta::minutes(5);
        let amount = Rupiah::from_i64(50_000);
        let name = outbound.reference.write(ORDER.parse().unwrap());
        outbound.generate_body(asked(&name, &payee()), amount, now(), until)
    }

    #[test]
    fn the_standard_asks_by_nmid_and_label() {
        assert_eq!(
            generate("snap"),
            json!({
                "partnerReferenceNo": "tx_019a0a5d3f2c7b3e8f00112233445566",
                "amount": { "value": "50000.00", "currency": "IDR" },
                "merchantId": "ID1020021181745", "terminalId": "T001",
                "validityPeriod": "2026-11-27T10:05:00+07:00",
            })
        );
    }

    #[test]
    fn a_dialect_decides_names_lengths_and_what_is_added() {
        let bri = generate("bri");
        assert_eq!(bri["merchantId"], "OURS");
        assert_eq!(bri["additionalInfo"], json!({ "terminalId": "A01" }));
        let manjo = generate("manjo");
        let order = manjo["partnerReferenceNo"].as_str().unwrap();
        assert_eq!((order.len(), &manjo["validityPeriod"]), (25, &json!("300")));
        assert_eq!(manjo["additionalInfo"]["paymentId"], order);
        assert_eq!(manjo["additionalInfo"]["dynamicAmount"], true);
        let ocbc = generate("ocbc");
        let order = ocbc["partnerReferenceNo"].as_str().unwrap();
        assert_eq!(order.len(), 20);
        let ocbc = outbound("ocbc");
        let query = ocbc.query.clone().unwrap();
        let body = ocbc.query_body(&query, asked(order, &payee()));
        assert_eq!(body["originalExternalId"], "0000123");
        assert_eq!(body["originalPartnerReferenceNo"], order);
    }

    #[test]
    fn a_name_without_a_value_is_left_out() {
        let bri = outbound("bri");
        let nobody = PayeeNames::default();
        let query = bri.query.clone().unwrap();
        let body = bri.query_body(&query, asked(ORDER, &nobody));
        assert_eq!(
            body,
            json!({
                "merchantId": "OURS", "originalReferenceNo": "R-1", "serviceCode": "17",
                "originalPartnerReferenceNo": "tx_019a0a5d3f2c7b3e8f00112233445566",
            })
        );
        let snap = outbound("snap");
        let refund = snap.refund.clone().unwrap();
        let amount = Rupiah::from_i64(7);
        let body = snap.refund_body(&refund, asked(ORDER, &nobody), "F-1", amount, "why");
        assert_eq!(body.get("merchantId"), None);
        assert_eq!(body["refundAmount"]["value"], "7.00");
    }

    #[test]
    fn every_dialect_that_is_called_asks_for_a_code() {
        for name in crate::dialect::NAMES {
            if built_in(name).unwrap().unwrap().outbound.is_some() {
                assert!(generate(name)["partnerReferenceNo"].is_string(), "{name}");
            }
        }
    }
}
