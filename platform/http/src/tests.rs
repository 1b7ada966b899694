//! What holds for every request, seen through a router with a few routes of its own.

use axum::body::{Body, Bytes};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use service::Error;
use tower::ServiceExt;

use super::envelope::{Created, List};
use super::json::{Amount, Json};
use super::page::{Cursor, PageQuery};
use super::*;

const BODY_BYTES_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body_ {
    name: String,
    #[serde(default)]
    amount: Option<Amount>,
}

async fn create(Json(body): Json<Body_>) -> Result<Created<Value>, ApiError> {
    let amount = body.amount.map(Amount::rupiah).transpose()?;
    envelope::created(&json!({ "name": body.name, "amount": amount }))
}

async fn list(page: PageQuery) -> Result<List<u8>, ApiError> {
    let place = |_: &u8| Cursor {
        created_at: chrono::DateTime::UNIX_EPOCH,
        id: uuid::Uuid::nil(),
    };
    page.reply(vec![1, 2, 3], place)
}

#[derive(Deserialize)]
struct Filter {
    device_id: Option<wire::ids::DeviceId>,
}

fn app() -> Router {
    let routes = Router::new()
        .route(
            "/filtered",
            get(async |query::Query(filter): query::Query<Filter>| envelope::ok(&filter.device_id)),
        )
        .route("/things", post(create).get(list))
        .route(
            "/panic",
            get(async || -> Response { panic!("the vault's password is hunter2") }),
        )
        .route(
            "/stuck",
            get(async || -> Response { std::future::pending().await }),
        )
        .route(
            "/busy",
            get(async || ApiError::from(sqlx::Error::PoolTimedOut)),
        )
        .route(
            "/state",
            get(async || {
                ApiError::from(Error::InvalidState {
                    current: "paid".into(),
                    message: "it is paid".into(),
                })
            }),
        );
    finish(
        routes,
        Clock::system(),
        Limits {
            body_bytes_max: BODY_BYTES_MAX,
            body_bytes_in_flight_max: 1 << 20,
            request: Duration::from_secs(5),
            rates: rate::Quotas::default(),
        },
    )
}

struct Seen {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Value,
}

impl Seen {
    /// Checks the form that every error has, and gives its status and code.
    fn error(&self) -> (u16, &str) {
        let object = self.body.as_object().expect("an object");
        let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            ["code", "details", "message", "request_id", "timestamp"]
        );
        assert_eq!(
            self.headers["x-request-id"],
            *object["request_id"].as_str().unwrap()
        );
        let timestamp = object["timestamp"].as_str().unwrap();
        assert!(
            timestamp.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(timestamp).is_ok()
        );
        assert!(!object["message"].as_str().unwrap().is_empty());
        (self.status.as_u16(), object["code"].as_str().unwrap())
    }
}

async fn send(request: Request<Body>) -> Seen {
    let response = app().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1_000_000).await.unwrap();
    Seen {
        status: parts.status,
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap(),
    }
}

fn request(method: Method, path: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap()
}

fn post_things(body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(Method::POST)
        .uri("/things")
        .header(CONTENT_TYPE, "application/json")
        .body(body.into())
        .unwrap()
}

#[tokio::test]
async fn a_success_has_data_request_id_and_timestamp() {
    let seen = send(post_things(r#"{"name": "x", "amount": "50000.00"}"#)).await;
    assert_eq!(seen.status, StatusCode::CREATED);
    assert_eq!(seen.headers[CONTENT_TYPE], "application/json");
    assert_eq!(seen.body["data"], json!({ "name": "x", "amount": 50_000 }));
    let id = seen.body["request_id"].as_str().unwrap();
    assert!(id.starts_with("req_") && id.len() == 36, "{id}");
    assert_eq!(seen.headers["x-request-id"], *id);
    assert!(seen.body["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(seen.body.as_object().unwrap().len(), 3);
}

#[tokio::test]
async fn a_list_adds_its_next_cursor() {
    let seen = send(request(Method::GET, "/things?limit=2")).await;
    assert_eq!(
        (seen.status, &seen.body["data"]),
        (StatusCode::OK, &json!([1, 2]))
    );
    let next = seen.body["next_cursor"].as_str().unwrap();
    let seen = send(request(Method::GET, &format!("/things?cursor={next}"))).await;
    assert_eq!(
        (&seen.body["data"], &seen.body["next_cursor"]),
        (&json!([1, 2, 3]), &Value::Null)
    );
    let seen = send(request(Method::GET, "/things?limit=0&cursor=x")).await;
    assert_eq!(seen.error(), (422, "VALIDATION_FAILED"));
    assert_eq!(seen.body["details"]["fields"][1]["field"], "cursor");
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_another_is_replaced() {
    let with_id = |id: &'static str| {
        let mut request = request(Method::GET, "/nowhere");
        request
            .headers_mut()
            .insert("x-request-id", HeaderValue::from_static(id));
        request
    };
    let seen = send(with_id("req_001")).await;
    assert_eq!(seen.body["request_id"], "req_001");
    assert_eq!(seen.error(), (404, "ROUTE_NOT_FOUND"));
    for strange in ["a b", "\"quoted\"", ""] {
        let seen = send(with_id(strange)).await;
        assert!(
            seen.body["request_id"]
                .as_str()
                .unwrap()
                .starts_with("req_"),
            "{strange:?}"
        );
        assert_ne!(seen.body["request_id"], strange);
    }
}

#[tokio::test]
async fn what_no_route_takes_is_answered_in_our_form() {
    assert_eq!(
        send(request(Method::GET, "/")).await.error(),
        (404, "ROUTE_NOT_FOUND")
    );
    let seen = send(request(Method::DELETE, "/things")).await;
    assert_eq!(seen.error(), (405, "METHOD_NOT_ALLOWED"));
    assert!(seen.headers[ALLOW].to_str().unwrap().contains("POST"));
}

#[tokio::test]
async fn bodies_that_cannot_be_taken_are_told_why() {
    let plain = Request::builder()
        .method(Method::POST)
        .uri("/things")
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(send(plain).await.error(), (415, "UNSUPPORTED_MEDIA_TYPE"));
    assert_eq!(
        send(post_things("{nonsense")).await.error(),
        (400, "MALFORMED_REQUEST")
    );
    assert_eq!(
        send(post_things("")).await.error(),
        (400, "MALFORMED_REQUEST")
    );
    let large = format!(r#"{{"name": "{}"}}"#, "x".repeat(BODY_BYTES_MAX));
    assert_eq!(
        send(post_things(large)).await.error(),
        (413, "PAYLOAD_TOO_LARGE")
    );
    let seen = send(post_things(r#"{"nom": "x"}"#)).await;
    assert_eq!(seen.error(), (422, "VALIDATION_FAILED"));
    assert_eq!(seen.body["details"]["fields"][0]["field"], "nom");
    let seen = send(post_things(r#"{"name": "x", "amount": 0.5}"#)).await;
    assert_eq!(seen.error(), (422, "INVALID_AMOUNT"));
}

#[tokio::test]
async fn a_large_body_of_unknown_length_is_refused_too() {
    let chunks = (0..100).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 100])));
    let body = Body::from_stream(futures_util::stream::iter(chunks));
    assert_eq!(
        send(post_things(body)).await.error(),
        (413, "PAYLOAD_TOO_LARGE")
    );
}

#[tokio::test]
async fn a_panic_is_answered_without_its_text() {
    let seen = send(request(Method::GET, "/panic")).await;
    assert_eq!(seen.error(), (500, "INTERNAL"));
    assert!(!seen.body.to_string().contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_ended() {
    let seen = send(request(Method::GET, "/stuck")).await;
    assert_eq!(seen.error(), (503, "UNAVAILABLE"));
    assert!(seen.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_database_that_is_away_is_worth_another_try() {
    let seen = send(request(Method::GET, "/busy")).await;
    assert_eq!(seen.error(), (503, "UNAVAILABLE"));
    assert_eq!(seen.headers["retry-after"], "2");
}

#[tokio::test]
async fn a_wrong_state_is_named() {
    let seen = send(request(Method::GET, "/state")).await;
    assert_eq!(seen.error(), (409, "INVALID_STATE"));
    assert_eq!(seen.body["details"], json!({ "current": "paid" }));
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    for path in ["/things", "/nowhere", "/panic"] {
        let seen = send(request(Method::GET, path)).await;
        assert_eq!(seen.headers["x-content-type-options"], "nosniff");
        assert_eq!(seen.headers["cache-control"], "no-store");
        assert!(seen.headers.contains_key("content-security-policy"));
    }
}

#[tokio::test]
async fn a_filter_that_cannot_be_read_is_named() {
    let seen = send(request(Method::GET, "/filtered?device_id=7")).await;
    assert_eq!(seen.error(), (422, "VALIDATION_FAILED"));
    assert_eq!(seen.body["details"]["fields"][0]["field"], "device_id");
    let seen = send(request(Method::GET, "/filtered?unknown=7")).await;
    assert_eq!(
        (seen.status, &seen.body["data"]),
        (StatusCode::OK, &Value::Null)
    );
}
