//! The requests: every list of the OpenAPI document, with every filter that it has.

use std::string::ToString;

use http_api::openapi;
use serde_json::Value;

use crate::fill::Known;

/// Values of `status`, by path: a common one and a rare one.
const STATUSES: [(&str, [&str; 2]); 6] = [
    ("/admin/devices", ["active", "suspended"]),
    (
        "/admin/devices/{device_id}/commands",
        ["delivered", "queued"],
    ),
    ("/admin/merchants", ["approved", "suspended"]),
    ("/admin/settlements", ["pending", "paid"]),
    ("/admin/transactions", ["paid", "awaiting_payment"]),
    ("/admin/users", ["active", "disabled"]),
];

/// Paths with their queries.
pub(crate) fn all(known: &Known) -> anyhow::Result<Vec<String>> {
    let document: Value = serde_json::from_str(openapi::json())?;
    let mut questions = vec!["/merchant/dashboard/summary".to_owned()];
    let paths = document["paths"].as_object().into_iter().flatten();
    for (template, item) in paths {
        let names = query_names(&item["get"]);
        if !names.contains(&"cursor") {
            continue;
        }
        let path = template.replace("{device_id}", &known.device_id.to_string());
        // A list inside an entity that was not inserted.
        if path.contains('{') {
            continue;
        }
        questions.push(format!("{path}?limit=50"));
        questions.push(format!("{path}?limit=200"));
        questions.push(format!("{path}?limit=50&cursor="));
        for name in names {
            for value in values(template, name, known) {
                questions.push(format!("{path}?{name}={value}"));
            }
        }
    }
    Ok(questions)
}

fn query_names(operation: &Value) -> Vec<&str> {
    operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|parameter| parameter["in"] == "query")
        .filter_map(|parameter| parameter["name"].as_str())
        .collect()
}

/// Values of filters that match rows.
fn values(template: &str, name: &str, known: &Known) -> Vec<String> {
    let word = match name {
        "actor" => "fill",
        "email" => "owner7@fill.example",
        "entity" => "dev_7",
        "firmware_version" => "1.0.3",
        "from" => "2020-01-01T00:00:00Z",
        "merchant_id" => return vec![known.merchant_id.to_string()],
        "model" => "SB-1",
        "online" => "false",
        "outlet_id" => return vec![known.outlet_id.to_string()],
        "partner_reference" => "FILL777",
        "q" => "FILL-77",
        "role" => "merchant_owner",
        "serial_number" => "FILL-777",
        "status" => return statuses(template),
        "terminal_id" => return vec![known.terminal_id.to_string()],
        "transaction_id" => return vec![known.transaction_id.to_string()],
        "type" => "play_test",
        "user_id" => return vec![known.user_id.to_string()],
        _ => return Vec::new(),
    };
    vec![word.to_owned()]
}

fn statuses(template: &str) -> Vec<String> {
    let template = template.replace("/merchant/", "/admin/");
    STATUSES
        .iter()
        .filter(|(path, _)| *path == template)
        .flat_map(|(_, words)| words.iter().map(ToString::to_string))
        .collect()
}
