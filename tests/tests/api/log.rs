//! What the log contains of a request, and what it never contains.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use tests::acquirer;
use tests::prelude::*;
use tracing_subscriber::EnvFilter;

/// The platform's own targets at trace level, and libraries as in production.
const FILTER: &str = "info,access=trace,audit=trace,platform=trace,http_api=trace,bridge=trace,service=trace,store=trace,broker=trace,certs=trace,wire=trace,sqlx=debug";

/// Everything that this process has logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The log from now on.
    fn open() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            tracing_subscriber::fmt()
                .json()
                .with_env_filter(EnvFilter::new(FILTER))
                .with_writer(move || writer.clone())
                .init();
            log
        })
        .clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// The line about a request.
    async fn about(&self, request_id: &str) -> Value {
        eventually("a line in the access log", || async {
            self.text()
                .lines()
                .filter(|line| line.contains(request_id))
                .map(|line| serde_json::from_str::<Value>(line).unwrap())
                .find(|line| line["target"] == "access")
        })
        .await["fields"]
            .take()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_request_has_a_line() {
    let log = Log::open();
    let (world, shop, credentials) = fixture::device().await;
    let ops = world
        .admin()
        .create("/admin/tokens", &json!({ "role": "ops", "name": "x" }))
        .await;
    let anonymous = world.anonymous();
    let ops_api = anonymous.with_token(&text(&ops, "token"));
    let merchant = format!("/admin/merchants/{}", shop.merchant_id);
    let strange = "/nowhere/secret-in-a-path";
    let by_certificate = credentials.api_by_certificate(&world);
    let (ops, device) = (&*text(&ops, "id"), &*credentials.device_id.to_string());
    let (one, seed, beat) = (
        "/admin/merchants/{merchant_id}",
        "/admin/seed",
        "/device/heartbeat",
    );
    let asked = [
        (&ops_api, "GET", &*merchant, ops, one, 200),
        (&ops_api, "POST", seed, ops, seed, 403),
        (&anonymous, "GET", &merchant, "-", one, 401),
        (&anonymous, "GET", strange, "-", "-", 404),
        (&anonymous, "DELETE", seed, "-", seed, 405),
        (&by_certificate, "POST", beat, device, beat, 415),
    ];
    for (number, (api, method, path, principal, route, status)) in asked.into_iter().enumerate() {
        let request_id = format!("story-{}-{number}", shop.nmid);
        let headers = [("x-request-id", &*request_id)];
        let answer = api
            .call(method.parse().unwrap(), path, &headers, None)
            .await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-request-id"), Some(&*request_id));
        let line = log.about(&request_id).await;
        assert_fields!(line, {
            "request_id": request_id, "principal": principal,
            "method": method, "route": route, "status": status,
        });
        assert!(line["latency_us"].as_u64().is_some(), "{line}");
    }
    // Unknown paths are not logged.
    assert!(!log.text().contains("secret-in-a-path"));
}

#[tokio::test]
async fn lines_of_services_and_of_the_database_name_their_request() {
    let log = Log::open();
    let (world, shop) = fixture::shop().await;
    let request_id = format!("story-{}-span", shop.nmid);
    let path = format!("/admin/merchants/{}/suspend", shop.merchant_id);
    let reason = json!({ "reason": "a story about log lines" });
    let headers = [("x-request-id", &*request_id)];
    let suspended = world.admin().post_with(&path, &headers, &reason).await;
    assert_eq!(suspended.status, 200);
    log.about(&request_id).await;
    let lines: Vec<Value> = log
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["span"]["request_id"] == json!(request_id))
        .collect();
    for target in ["service::unit_of_work", "sqlx::query", "access"] {
        let line = lines
            .iter()
            .find(|line| line["target"] == target)
            .unwrap_or_else(|| panic!("no line of {target} in the request"));
        assert_eq!(
            line["span"]["route"],
            "/admin/merchants/{merchant_id}/suspend"
        );
    }
    // The merchant in the path is a field of the span.
    let merchant = json!(shop.merchant_id);
    assert!((lines.iter()).any(|line| line["span"]["merchant_id"] == merchant));
}

#[tokio::test]
async fn no_secret_is_in_the_log() {
    let log = Log::open();
    let world = World::new().await;
    let admin = world.admin();
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let mut secrets = vec![
        ("password", "kopi-tubruk-panas".to_owned()),
        ("wrong password", "teh-tarik-dingin".to_owned()),
        ("partner secret", acquirer::secret_of(acquirer::OURS)),
    ];
    let user = json!({ "email": "sari@example.id", "role": "ops", "password": secrets[0].1 });
    admin.create("/admin/users", &user).await;
    let login = |password: &str| json!({ "email": "sari@example.id", "password": password });
    let anonymous = world.anonymous();
    let given = anonymous.act("/admin/login", &login(&secrets[0].1)).await;
    secrets.push(("login token", text(&given, "token")));
    let refused = anonymous.post("/admin/login", &login(&secrets[1].1)).await;
    refused.refused(UNAUTHENTICATED);
    let made = admin
        .create("/admin/tokens", &json!({ "role": "ops", "name": "x" }))
        .await;
    secrets.push(("token", text(&made, "token")));

    let registered = tests::credentials::register(&world).await;
    secrets.push(("activation code", registered.activation_code.clone()));
    let wrong = "WRONG-CODES-ARE-NOT-KEPT";
    let key = tests::credentials::new_key();
    let refused = registered
        .ask(&world, wrong, key.csr_pem(), json!({}))
        .await;
    refused.refused(DEVICE_UNAUTHORIZED);
    secrets.push(("wrong activation code", wrong.to_owned()));
    let credentials = registered.activate(&world, wire::Encoding::Json).await;
    tests::credentials::bind(&world, credentials.device_id, shop.terminal().id).await;
    secrets.push(("device token", credentials.token.clone()));
    let sold = credentials.qr(&world, 10_000).await;
    let ours = world.acquirer();
    let now = world.clock.now();
    let body = success(sold.transaction_id, 10_000, &acquirer::reference(), now)
        .to_string()
        .into_bytes();
    let request = ours.sign(&body, now);
    let _ = ours.post(&request).await.expect(200);
    secrets.push(("callback signature", request.signature.clone()));

    let headers = [("x-request-id", "story-last")];
    let last = anonymous
        .call("GET".parse().unwrap(), "/nowhere", &headers, None)
        .await;
    assert_eq!(last.status, 404);
    log.about("story-last").await;
    let text = log.text();
    // Else the log is not as loud as this story needs.
    assert!(text.contains("INSERT INTO users"));
    for (what, secret) in &secrets {
        assert!(secret.len() >= 12, "{what}");
        assert!(!text.contains(secret.as_str()), "the {what} is in the log");
    }
}
