//! `platform partner check`: one partner's configuration tried end to end, without money and without the database.

use chrono::TimeDelta;
use domain::callback::CallbackTarget;
use domain::dialect::signature::{Evidence, Headers};
use service::Partner;
use service::clock::Clock;

use super::partners;
use super::problems::Problems;
use crate::config::Config;
use crate::partner::finding::Finding;

/// A recorded message is as old as it is: only its signature is in question.
const ANY_AGE: TimeDelta = TimeDelta::days(36_500);

/// Tries the partner of this id; `sample` is a message of it as it came: request line, headers, an empty line, body.
pub async fn partner_check(
    config: &Config,
    id: &str,
    sample: Option<&[u8]>,
    clock: &Clock,
) -> Vec<Finding> {
    let Some(configured) = config.qris_partners.get(id) else {
        let mut known: Vec<_> = config.qris_partners.keys().map(String::as_str).collect();
        known.sort_unstable();
        return vec![Finding::wrong(format!(
            "the configuration has no [qris_partners.{id}]; it has: {}",
            known.join(", ")
        ))];
    };
    let mut findings = Vec::new();
    let mut problems = Problems::default();
    let partner = partners::qris_partner(id, configured, &mut problems);
    findings.extend(problems.take().into_iter().map(Finding::wrong));
    if let Some(partner) = &partner {
        findings.push(Finding::good(format!(
            "dialect {} ({}): {} secrets and {} keys of the partner are read",
            partner.dialect.name,
            partner.dialect.title,
            partner.credentials.shared.len(),
            partner.credentials.keys.len()
        )));
        findings.extend(of_statuses(partner));
        match sample {
            Some(sample) => findings.push(of_sample(partner, sample, clock)),
            None => findings.push(Finding::doubtful(
                "no message of the partner was tried: record one of its test tool and give it as --sample FILE",
            )),
        }
    }
    let Some(api) = &configured.api else {
        findings.push(Finding::good(
            "codes are built here: there is no [api] that could be tried",
        ));
        return findings;
    };
    let mut problems = Problems::default();
    let client = partners::client(config, id, api, clock, &mut problems);
    findings.extend(problems.take().into_iter().map(Finding::wrong));
    if let Some(client) = client {
        if partner.is_some_and(|partner| client.has_key_of_ours(&partner.credentials.keys)) {
            findings.push(Finding::wrong(
                "public_key_files has the public half of our own api.private_key_file; the partner's key belongs there",
            ));
        }
        findings.push(Finding::good("our key and secret for its API are read"));
        let tolerance = i64::from(config.callbacks.timestamp_tolerance_s);
        findings.extend(client.check(TimeDelta::seconds(tolerance)).await);
    }
    findings
}

/// Status codes of which nobody at the partner has said what they mean.
fn of_statuses(partner: &Partner) -> Option<Finding> {
    let unconfirmed = partner.dialect.statuses.unconfirmed();
    let mut codes: Vec<String> = unconfirmed
        .into_iter()
        .map(|(table, code, meaning)| format!("{code} = {meaning} ({table})"))
        .collect();
    codes.sort_unstable();
    (!codes.is_empty()).then(|| {
        Finding::doubtful(format!(
            "the partner has not confirmed what these status codes mean: {}; ask it, and list them in confirmed_statuses",
            codes.join(", ")
        ))
    })
}

fn of_sample(partner: &Partner, sample: &[u8], clock: &Clock) -> Finding {
    let Some(request) = Request::read(sample) else {
        return Finding::wrong(
            "the sample is no HTTP request: a line as POST /path HTTP/1.1, headers, an empty line, and the body as it came",
        );
    };
    let dialect = &partner.dialect;
    let body = dialect.carrier(&request.path, request.body);
    let fields = dialect.fields_of(body);
    let evidence = Evidence {
        method: "POST",
        path: &request.path,
        headers: &request.headers,
        body,
        fields: &fields,
    };
    let now = clock.now();
    let proven = match dialect
        .signing
        .verify(&evidence, &partner.credentials, now, ANY_AGE)
    {
        Ok(proven) => proven,
        Err(error) => {
            return Finding::wrong(format!(
                "the sample's signature is not believed: {error}. Are the partner's secrets and keys right, is its path as it \
                 signs it, and is the body unchanged to the last byte?"
            ));
        }
    };
    let age = proven.signed_at.map_or_else(String::new, |signed_at| {
        format!(", signed at {}", wire::time::format(signed_at))
    });
    match dialect.read(&fields) {
        Err(error) => Finding::wrong(format!(
            "the sample is signed by the partner{age}, and cannot be read: {}",
            problems_of(&error)
        )),
        Ok(message) => {
            let about = match &message.target {
                Some(CallbackTarget::Transaction { id, .. }) => id.to_string(),
                Some(CallbackTarget::Static(_)) => "a printed code".to_owned(),
                None => "no code that it names".to_owned(),
            };
            let amount = message.amount.as_ref().and_then(|amount| amount.rupiah());
            let amount = amount.map_or("no amount".to_owned(), |amount| format!("Rp {amount}"));
            let code = &message.status_code;
            match message.meaning {
                Some(meaning) => Finding::good(format!(
                    "the sample is signed by the partner{age}: {about}, {amount}, status {code} = {meaning}"
                )),
                None => Finding::doubtful(format!(
                    "the sample is signed by the partner{age}: {about}, {amount}, and status {code} means nothing to us; such \
                     a message is held"
                )),
            }
        }
    }
}

fn problems_of(error: &domain::dialect::ReadError) -> String {
    match error {
        domain::dialect::ReadError::Fields(problems) => {
            let named = |one: &domain::dialect::Problem| format!("{} {}", one.field, one.message);
            problems.iter().map(named).collect::<Vec<_>>().join("; ")
        }
        error => error.to_string(),
    }
}

/// A recorded HTTP request.
struct Request<'a> {
    path: String,
    headers: Headers,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    fn read(sample: &'a [u8]) -> Option<Self> {
        let (head_len, body_at) = [&b"\r\n\r\n"[..], b"\n\n"]
            .iter()
            .filter_map(|end| {
                let at = sample.windows(end.len()).position(|bytes| bytes == *end)?;
                Some((at, at + end.len()))
            })
            .min()?;
        let head = std::str::from_utf8(&sample[..head_len]).ok()?;
        let mut lines = head.lines();
        let mut first = lines.next()?.split_ascii_whitespace();
        let path = first.nth(1).filter(|path| path.starts_with('/'))?;
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            path: path.to_owned(),
            headers: Headers::new(headers),
            body: &sample[body_at..],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_request_keeps_its_body_to_the_last_byte() {
        for end in ["\r\n", "\n"] {
            let text = format!("POST /a?b=1 HTTP/1.1{end}X-Signature:  s {end}{end}{{ }}\n\n");
            let request = Request::read(text.as_bytes()).unwrap();
            assert_eq!(request.path, "/a?b=1");
            assert_eq!(request.headers.get("x-signature"), Some("s"));
            assert_eq!(request.body, b"{ }\n\n");
        }
        for none in ["", "POST /a HTTP/1.1", "hello\n\n", "POST a HTTP/1.1\n\n{}"] {
            assert!(Request::read(none.as_bytes()).is_none(), "{none:?}");
        }
    }
}
