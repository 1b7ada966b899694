//! The document of all endpoints, OpenAPI 3.1.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{OperationBuilder, PathsBuilder};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, Header, HeaderBuilder, InfoBuilder, LicenseBuilder, OpenApi,
    OpenApiBuilder, PathItem, Ref, RefOr, Response, ResponseBuilder, Responses, ResponsesBuilder,
    Schema,
};

use super::super::error::ErrorCode;
use super::super::operation::{Callers, Idempotency, Operation, Schemas, add};
use super::super::routes::Endpoint;

/// What holds for every operation.
const DESCRIPTION: &str = "\
The HTTP side of the QRIS soundbox platform, for operators, merchants, boxes and partners. Boxes speak MQTT besides; \
see the README.

Every answer is JSON over HTTPS. A success is `{data, request_id, timestamp}`; a list has `next_cursor` besides, which \
is given back as `?cursor=` for the next page and is null at the end. An error is `{code, message, details, request_id, \
timestamp}`: `code` is for programs, `message` for people. An `X-Request-Id` of the client's is kept when it is sane, \
and always returned. Times are RFC 3339 in UTC; amounts are whole rupiah.

`Idempotency-Key`: the same key with the same body gets the first answer again, with `Idempotent-Replayed: true` and \
without its secrets; with another body it is refused (`DUPLICATE_REQUEST`). Keys are kept for 24 hours.

A path that does not exist answers 404 `ROUTE_NOT_FOUND`, a method that a path does not have 405 `METHOD_NOT_ALLOWED`.";

/// The name of the schema of errors.
const ERROR: &str = "Error";

/// The document of these endpoints.
pub(super) fn of(endpoints: &[Endpoint]) -> OpenApi {
    let mut schemas = Schemas::from([(ERROR.to_owned(), error_schema())]);
    let mut paths = PathsBuilder::new();
    let mut refusals = BTreeMap::new();
    let mut tags = Vec::new();
    for endpoint in endpoints {
        for (status, codes) in refusals_of(&endpoint.operation) {
            refusals
                .entry(refusal_name(&codes))
                .or_insert_with(|| refusal(status, &codes));
        }
        for (name, schema) in endpoint.operation.schemas.clone() {
            add(&mut schemas, name, schema);
        }
        if !tags.contains(&endpoint.tag) {
            tags.push(endpoint.tag);
        }
        paths = paths.path(
            endpoint.path,
            PathItem::new(endpoint.method.clone(), operation_of(endpoint)),
        );
    }
    let mut components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .responses_from_iter(refusals);
    for (name, scheme) in security_schemes() {
        components = components.security_scheme(name, scheme);
    }
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("QRIS soundbox platform")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(DESCRIPTION))
                .license(Some(
                    LicenseBuilder::new()
                        .name(env!("CARGO_PKG_LICENSE"))
                        .identifier(Some(env!("CARGO_PKG_LICENSE")))
                        .build(),
                ))
                .build(),
        )
        .paths(paths.build())
        .components(Some(components.build()))
        .tags(Some(
            tags.into_iter()
                .map(|tag| TagBuilder::new().name(tag).build()),
        ))
        .build()
}

fn operation_of(endpoint: &Endpoint) -> utoipa::openapi::path::Operation {
    let operation = &endpoint.operation;
    let mut builder = OperationBuilder::new()
        .tag(endpoint.tag)
        .operation_id(Some(endpoint.id.clone()))
        .summary(Some(endpoint.summary))
        .parameters(Some(operation.parameters.clone()))
        .request_body(operation.body.clone())
        .responses(responses_of(operation))
        .securities(Some(security_of(operation.callers)));
    if let Callers::Roles(roles) = operation.callers {
        let words: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        builder = builder
            .description(Some(format!("Roles: {}.", words.join(", "))))
            .extensions(Some(
                ExtensionsBuilder::new()
                    .add("x-roles", json!(words))
                    .build(),
            ));
    }
    builder.build()
}

fn responses_of(operation: &Operation) -> Responses {
    let mut responses = ResponsesBuilder::new();
    for (status, answer) in operation.answer.iter().chain(&operation.other_answer) {
        let mut answer = answer.clone();
        if let (Some(foreign), Some(RefOr::T(content))) = (
            operation.foreign.get(status),
            answer.content.get_mut("application/json"),
        ) {
            let ours = content.schema.take();
            let either = ours.into_iter().fold(
                OneOfBuilder::new().item(foreign.clone()),
                OneOfBuilder::item,
            );
            content.schema = Some(RefOr::T(Schema::OneOf(either.build())));
        }
        if operation.idempotency != Idempotency::Ignored {
            answer.headers.insert(
                "Idempotent-Replayed".to_owned(),
                header(Type::String, "`true` when this is the first answer again").into(),
            );
        }
        responses = responses.response(status.to_string(), answer);
    }
    let refusals = refusals_of(operation);
    for (status, codes) in &refusals {
        let name = refusal_name(codes);
        responses = match operation.foreign.get(status) {
            None => responses.response(status.to_string(), Ref::from_response_name(name)),
            Some(foreign) => {
                let either = OneOfBuilder::new()
                    .item(refusal_schema(codes))
                    .item(foreign.clone());
                responses.response(status.to_string(), plain(&name, either))
            }
        };
    }
    for (status, foreign) in &operation.foreign {
        let answered = operation.answer.as_ref().map(|(status, _)| status);
        if !refusals.contains_key(status) && answered != Some(status) {
            let answer = OneOfBuilder::new().item(foreign.clone());
            responses =
                responses.response(status.to_string(), plain("In the form of SNAP BI", answer));
        }
    }
    responses.build()
}

/// An answer of one of these forms.
fn plain(description: &str, forms: OneOfBuilder) -> Response {
    let schema = RefOr::T(Schema::OneOf(forms.build()));
    ResponseBuilder::new()
        .description(description)
        .content(
            "application/json",
            ContentBuilder::new().schema(Some(schema)).build(),
        )
        .build()
}

/// The errors of an operation by their statuses.
fn refusals_of(operation: &Operation) -> BTreeMap<u16, Vec<ErrorCode>> {
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in &operation.errors {
        by_status.entry(code.status()).or_default().push(*code);
    }
    by_status
}

/// Many operations fail in the same ways, which are described once.
fn refusal_name(codes: &[ErrorCode]) -> String {
    let words: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    words.join(".")
}

/// An error with one of these codes.
fn refusal(status: u16, codes: &[ErrorCode]) -> Response {
    let words: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let mut response = ResponseBuilder::new()
        .description(words.join(", "))
        .content(
            "application/json",
            ContentBuilder::new()
                .schema(Some(refusal_schema(codes)))
                .build(),
        );
    if matches!(status, 429 | 503) {
        response = response.header(
            "Retry-After",
            header(Type::Integer, "When to try again, seconds"),
        );
    }
    response.build()
}

fn refusal_schema(codes: &[ErrorCode]) -> RefOr<Schema> {
    let words: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let code = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words));
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name(ERROR))
        .item(ObjectBuilder::new().property("code", code));
    RefOr::T(Schema::AllOf(schema.build()))
}

fn header(kind: Type, description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(kind)))
        .description(Some(description))
        .build()
}

fn error_schema() -> RefOr<Schema> {
    let text = |description: &str| {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(description))
    };
    let details = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .description(Some(
            "What depends on the code: `fields` [{field, message}] of VALIDATION_FAILED, `current` state of INVALID_STATE, \
             `capability` of DEVICE_CAPABILITY_NOT_SUPPORTED",
        ));
    let example: Value = json!({
        "code": "MERCHANT_NOT_FOUND",
        "message": "no such merchant",
        "details": null,
        "request_id": "req_001",
        "timestamp": "2026-05-24T00:00:00Z",
    });
    ObjectBuilder::new()
        .description(Some(
            "Why a request was refused. Nothing of it has happened.",
        ))
        .property("code", text("For programs"))
        .property("message", text("For people who write programs"))
        .property("details", details)
        .property("request_id", text("Names the request in our logs"))
        .property(
            "timestamp",
            text("When it was answered").format(Some(utoipa::openapi::SchemaFormat::KnownFormat(
                utoipa::openapi::KnownFormat::DateTime,
            ))),
        )
        .required("code")
        .required("message")
        .required("details")
        .required("request_id")
        .required("timestamp")
        .examples([example])
        .into()
}

const TOKEN: &str = "token";
const DEVICE_TOKEN: &str = "device_token";
const DEVICE_CERTIFICATE: &str = "device_certificate";
const PARTNER_ID: &str = "partner_id";
const PARTNER_TIMESTAMP: &str = "partner_timestamp";
const PARTNER_SIGNATURE: &str = "partner_signature";
const SNAP_SIGNATURE: &str = "snap_signature";

/// Each requirement is a way in; several schemes in one are needed together.
fn security_of(callers: Callers) -> Vec<SecurityRequirement> {
    let alone = |name| SecurityRequirement::new::<_, [&str; 0], &str>(name, []);
    match callers {
        Callers::Anyone => Vec::new(),
        Callers::Roles(_) => vec![alone(TOKEN)],
        Callers::Devices => vec![alone(DEVICE_TOKEN), alone(DEVICE_CERTIFICATE)],
        Callers::Partners => vec![
            alone(PARTNER_ID)
                .add::<_, [&str; 0], &str>(PARTNER_TIMESTAMP, [])
                .add::<_, [&str; 0], &str>(PARTNER_SIGNATURE, []),
            alone(SNAP_SIGNATURE),
        ],
        Callers::SnapPartners => vec![alone(SNAP_SIGNATURE)],
    }
}

fn security_schemes() -> [(&'static str, SecurityScheme); 7] {
    let bearer = |description| {
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(description))
                .build(),
        )
    };
    let header = |name, description| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            name,
            description,
        )))
    };
    [
        (
            TOKEN,
            bearer(
                "A token of `POST /admin/login`, `POST /admin/tokens` or `platform token create`",
            ),
        ),
        (
            DEVICE_TOKEN,
            bearer("The device_token that the box got when it was activated"),
        ),
        (
            DEVICE_CERTIFICATE,
            SecurityScheme::MutualTls {
                description: Some(
                    "The certificate that the box got when it was activated".to_owned(),
                ),
                extensions: None,
                deprecated: None,
            },
        ),
        (PARTNER_ID, header("X-Partner-Id", "Which partner calls")),
        (
            PARTNER_TIMESTAMP,
            header(
                "X-Partner-Timestamp",
                "Unix seconds, at most 300 from our time",
            ),
        ),
        (
            PARTNER_SIGNATURE,
            header(
                "X-Partner-Signature",
                "Lower-case hex of HMAC-SHA256(secret, timestamp + \".\" + raw body)",
            ),
        ),
        (
            SNAP_SIGNATURE,
            header(
                "X-SIGNATURE",
                "SNAP BI, with X-TIMESTAMP: symmetric (with a token) or asymmetric, as agreed with the partner",
            ),
        ),
    ]
}
