//! An HTTPS client of the platform.

use std::net::IpAddr;

use bytes::Bytes;
use certs::tls::{client_config, roots_from_pem};
use reqwest::Method;
use reqwest::header::HeaderMap;
use rustls::ClientConfig;
use serde_json::Value;

use crate::conformance;
use crate::refusal::{Refusal, VALIDATION_FAILED};

/// A client with a token, or none.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    checked: bool,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The raw body.
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

    /// A client with this TLS configuration.
    pub fn with_tls(base: &str, tls: ClientConfig) -> Self {
        Self::build(base, tls, None)
    }

    /// A client that calls from this address, any of 127.0.0.0/8, as another machine would.
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

    /// The same, whose answers are not checked against the OpenAPI document.
    #[must_use]
    pub fn unchecked(&self) -> Self {
        Self {
            checked: false,
            ..self.clone()
        }
    }

    /// The same at another address.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self {
            base: base.to_owned(),
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

    /// One request; the content type of a body is JSON unless a header sets another. The answer must be one of those in the
    /// OpenAPI document.
    ///
    /// # Errors
    /// The server was not reached, or closed the connection before its answer was complete.
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

    /// [`Self::try_call`] of a running server.
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

    /// POST with a new idempotency key.
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

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, &[], None).await
    }

    /// PATCH.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        let body = body.to_string().into_bytes();
        self.call(Method::PATCH, path, &[], Some(body)).await
    }

    /// GET that must be answered 200; its data.
    pub async fn read(&self, path: &str) -> Value {
        self.get(path).await.expect(200).data()
    }

    /// GET of a list that must be answered 200; its rows.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        self.get(path).await.expect(200).rows()
    }

    /// All rows of a list, page by page; `path` has a limit.
    pub async fn pages(&self, path: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut next = path.to_owned();
        loop {
            let page = self.get(&next).await.expect(200);
            rows.extend(page.rows());
            match page.json()["next_cursor"].as_str() {
                Some(cursor) => next = format!("{path}&cursor={cursor}"),
                None => return rows,
            }
        }
    }

    /// POST that must be answered 201; its data.
    pub async fn create(&self, path: &str, body: &Value) -> Value {
        self.post(path, body).await.expect(201).data()
    }

    /// POST that must be answered 200; its data.
    pub async fn act(&self, path: &str, body: &Value) -> Value {
        self.post(path, body).await.expect(200).data()
    }

    /// PATCH that must be answered 200; its data.
    pub async fn change(&self, path: &str, body: &Value) -> Value {
        self.patch(path, body).await.expect(200).data()
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The data of a successful answer.
    pub fn data(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self}");
        self.json()["data"].take()
    }

    /// The rows of a successful answer that is a list.
    #[track_caller]
    pub fn rows(&self) -> Vec<Value> {
        let data = self.data();
        data.as_array().unwrap_or_else(|| panic!("{self}")).clone()
    }

    /// Expects this status.
    #[must_use]
    #[track_caller]
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
    #[track_caller]
    pub fn refused(&self, (status, code): Refusal<'_>) {
        assert_eq!(self.refusal(), (status, code.to_owned()), "{self}");
    }

    /// Expects that this field was refused before all others.
    #[track_caller]
    pub fn refused_field(&self, field: &str) {
        self.refused(VALIDATION_FAILED);
        let first = &self.json()["details"]["fields"][0]["field"];
        assert_eq!(first, field, "{self}");
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// How many answers have this status.
pub fn with_status(answers: &[Answer], status: u16) -> usize {
    let these = answers.iter().filter(|answer| answer.status == status);
    these.count()
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}
