//! The HTTPS side of the platform, as any client sees it.

use std::net::IpAddr;

use bytes::Bytes;
use certs::tls::{client_config, roots_from_pem};
use reqwest::Method;
use reqwest::header::HeaderMap;
use rustls::ClientConfig;
use serde_json::Value;

use crate::conformance;

/// A client with a token, or none.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    checked: bool,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as it came.
    pub body: Bytes,
}

/// Headers of a request.
pub type Headers<'a> = &'a [(&'a str, &'a str)];

impl Api {
    /// A client of the server at `base` that trusts `root_pem` alone.
    pub fn new(base: &str, root_pem: &str) -> Self {
        let tls = client_config(roots_from_pem(root_pem).unwrap(), None, Vec::new()).unwrap();
        Self::with_tls(base, ClientConfig::clone(&tls))
    }

    /// A client that shows what `tls` says.
    pub fn with_tls(base: &str, tls: ClientConfig) -> Self {
        Self::build(base, tls, None)
    }

    /// A client that calls from an address of its own, as another machine would: any of 127.0.0.0/8 will do.
    pub fn from_address(base: &str, root_pem: &str, address: IpAddr) -> Self {
        let tls = client_config(roots_from_pem(root_pem).unwrap(), None, Vec::new()).unwrap();
        Self::build(base, ClientConfig::clone(&tls), Some(address))
    }

    fn build(base: &str, tls: ClientConfig, address: Option<IpAddr>) -> Self {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .local_address(address)
            .no_proxy()
            .build()
            .unwrap();
        Self {
            http,
            base: base.to_owned(),
            token: None,
            checked: true,
        }
    }

    /// The same, whose answers are not held against the OpenAPI document.
    #[must_use]
    pub fn unchecked(&self) -> Self {
        Self {
            checked: false,
            ..self.clone()
        }
    }

    /// The same with this token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// One request; a body is said to be JSON unless a header says otherwise. The answer must be one that the OpenAPI document tells of.
    ///
    /// # Errors
    /// The server was not reached, or went away before its answer was complete.
    pub async fn try_call(
        &self,
        method: Method,
        path: &str,
        headers: Headers<'_>,
        body: Option<Vec<u8>>,
    ) -> reqwest::Result<Answer> {
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            let typed = headers.iter().any(|(name, _)| *name == "content-type");
            if !typed {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body);
        }
        let response = request.send().await?;
        let answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await?,
        };
        if self.checked {
            conformance::check(&method, path, &answer);
        }
        Ok(answer)
    }

    /// [`Self::try_call`], of a server that is there.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: Headers<'_>,
        body: Option<Vec<u8>>,
    ) -> Answer {
        self.try_call(method, path, headers, body).await.unwrap()
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], None).await
    }

    /// POST.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body).await
    }

    /// POST with headers.
    pub async fn post_with(&self, path: &str, headers: Headers<'_>, body: &Value) -> Answer {
        let body = body.to_string().into_bytes();
        self.call(Method::POST, path, headers, Some(body)).await
    }

    /// POST with an idempotency key of its own.
    pub async fn post_once(&self, path: &str, body: &Value) -> Answer {
        let key = format!("k-{:016x}", rand::random::<u64>());
        self.post_with(path, &[("idempotency-key", &key)], body)
            .await
    }

    /// POST of a CSV file.
    pub async fn post_csv(&self, path: &str, headers: Headers<'_>, file: &str) -> Answer {
        let mut all = vec![("content-type", "text/csv")];
        all.extend_from_slice(headers);
        self.call(Method::POST, path, &all, Some(file.as_bytes().to_vec()))
            .await
    }

    /// PATCH.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        let body = body.to_string().into_bytes();
        self.call(Method::PATCH, path, &[], Some(body)).await
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// What is in a successful answer.
    pub fn data(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self}");
        self.json()["data"].take()
    }

    /// Expects this status.
    #[must_use]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Status and code of an error in the contract's form.
    pub fn refusal(&self) -> (u16, String) {
        let body = self.json();
        for field in ["code", "message", "request_id", "timestamp"] {
            assert!(body[field].is_string(), "an error without {field}: {self}");
        }
        (self.status, body["code"].as_str().unwrap().to_owned())
    }

    /// Expects this error.
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!(self.refusal(), (status, code.to_owned()), "{self}");
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}
