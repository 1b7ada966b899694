//! A client of the HTTPS API: JSON requests, answers of `{"data": …}` or `{"code", "message", …}`. It trusts the given CA
//! only.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;

/// The longest accepted answer, in bytes.
const ANSWER_LEN_MAX: usize = 4 * 1024 * 1024;

/// The time limit of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one server.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
}

/// The error of a request.
#[derive(Debug)]
pub enum ApiError {
    /// The server was not reached, or its answer did not arrive.
    Transport(String),
    /// The server refused, in the contract's form.
    Refused {
        /// The URL of the request.
        url: Box<str>,
        /// The HTTP status.
        status: u16,
        /// The contract's code.
        code: String,
        /// The message.
        message: String,
        /// The details per field, if any.
        details: Value,
        /// The request's id in the server's log.
        request_id: String,
    },
    /// An answer that is not in the contract's form.
    Unexpected {
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        problem: String,
    },
}

impl ApiError {
    /// Whether the same request may succeed later: the server was not reached, is busy or broken, or found the
    /// request too old.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Transport(_) => true,
            Self::Refused { code, .. } if code == "STALE_TIMESTAMP" => true,
            Self::Refused { status, .. } | Self::Unexpected { status, .. } => {
                *status >= 500 || matches!(status, 408 | 425 | 429)
            }
        }
    }
}

impl ApiError {
    /// The contract's code, or a code for the other errors.
    pub fn code(&self) -> String {
        match self {
            Self::Transport(_) => "NO_ANSWER".to_owned(),
            Self::Refused { code, .. } => code.clone(),
            Self::Unexpected { .. } => "UNEXPECTED_ANSWER".to_owned(),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(problem) => write!(f, "no answer from the server: {problem}"),
            Self::Refused {
                url,
                status,
                code,
                message,
                details,
                request_id,
            } => {
                write!(f, "{url} refused: {code} ({status}): {message}")?;
                let none =
                    details.is_null() || details.as_object().is_some_and(serde_json::Map::is_empty);
                if !none {
                    write!(f, " {details}")?;
                }
                write!(f, " [{request_id}]")
            }
            Self::Unexpected { status, problem } => {
                write!(f, "an unexpected answer ({status}): {problem}")
            }
        }
    }
}

impl std::error::Error for ApiError {}

/// One header of a request.
pub type Header<'a> = (&'static str, &'a str);

impl Api {
    /// A client of the server at `base` (`https://host:port`), trusting the CA certificates in `ca_pem` alone.
    ///
    /// # Errors
    /// A URL that is not HTTPS, or a CA that cannot be read.
    pub fn new(base: &str, ca_pem: &str) -> anyhow::Result<Self> {
        let roots =
            certs::tls::roots_from_pem(ca_pem).context("cannot read the CA certificates")?;
        Self::with_tls(base, &*certs::tls::client_config(roots, None, Vec::new())?)
    }

    /// A client with this TLS configuration.
    ///
    /// # Errors
    /// A URL that is not HTTPS.
    pub fn with_tls(base: &str, tls: &rustls::ClientConfig) -> anyhow::Result<Self> {
        anyhow::ensure!(
            base.starts_with("https://"),
            "the server's URL must begin with https://"
        );
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("device-sim/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
        })
    }

    /// The server's URL.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Posts JSON, optionally with a bearer token, and returns the answer's JSON.
    ///
    /// # Errors
    /// Anything but a 2xx with JSON.
    pub async fn post(
        &self,
        path: &str,
        token: Option<&str>,
        headers: &[Header<'_>],
        body: &Value,
    ) -> Result<Value, ApiError> {
        self.post_bytes(path, token, headers, body.to_string().into_bytes())
            .await
    }

    /// [`post`](Self::post) with exactly these bytes, for bodies that are signed.
    ///
    /// # Errors
    /// Anything but a 2xx with JSON.
    pub async fn post_bytes(
        &self,
        path: &str,
        token: Option<&str>,
        headers: &[Header<'_>],
        body: Vec<u8>,
    ) -> Result<Value, ApiError> {
        let answer = self
            .post_bytes_within(path, token, headers, body, REQUEST_TIMEOUT)
            .await?;
        json(&answer)
    }

    /// Posts these bytes with a time limit, and returns the answer unparsed.
    ///
    /// # Errors
    /// Anything but a 2xx.
    pub async fn post_bytes_within(
        &self,
        path: &str,
        token: Option<&str>,
        headers: &[Header<'_>],
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Vec<u8>, ApiError> {
        let mut request = self
            .http
            .post(format!("{}{path}", self.base))
            .timeout(within)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        for (name, value) in headers {
            request = request.header(HeaderName::from_static(name), sensitive(value)?);
        }
        send(request, token).await
    }

    /// Gets JSON.
    ///
    /// # Errors
    /// Anything but a 2xx with JSON.
    pub async fn get(&self, path: &str, token: Option<&str>) -> Result<Value, ApiError> {
        json(&self.get_bytes(path, token).await?)
    }

    /// Gets an answer unparsed.
    ///
    /// # Errors
    /// Anything but a 2xx.
    pub async fn get_bytes(&self, path: &str, token: Option<&str>) -> Result<Vec<u8>, ApiError> {
        let request = self.http.get(format!("{}{path}", self.base));
        send(request.timeout(REQUEST_TIMEOUT), token).await
    }
}

async fn send(
    mut request: reqwest::RequestBuilder,
    token: Option<&str>,
) -> Result<Vec<u8>, ApiError> {
    let transport = |error: reqwest::Error| ApiError::Transport(chain(&error));
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, sensitive(&format!("Bearer {token}"))?);
    }
    let mut response = request.send().await.map_err(transport)?;
    let status = response.status().as_u16();
    let url = response.url().to_string();
    let unexpected = |problem: &str| ApiError::Unexpected {
        status,
        problem: format!("{problem}, from {url}"),
    };
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if bytes.len() + chunk.len() > ANSWER_LEN_MAX {
            return Err(unexpected("too long"));
        }
        bytes.extend_from_slice(&chunk);
    }
    if (200..300).contains(&status) {
        return Ok(bytes);
    }
    let answer: Value = serde_json::from_slice(&bytes).map_err(|_| unexpected("not JSON"))?;
    let text = |field: &str| answer[field].as_str().map(str::to_owned);
    // SNAP routes refuse in SNAP's own form.
    let Some(code) = text("code").or_else(|| text("responseCode")) else {
        return Err(unexpected("an error without a code"));
    };
    Err(ApiError::Refused {
        url: url.into(),
        status,
        code,
        message: text("message")
            .or_else(|| text("responseMessage"))
            .unwrap_or_default(),
        request_id: text("request_id").unwrap_or_default(),
        details: answer["details"].clone(),
    })
}

fn json(answer: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(answer).map_err(|_| ApiError::Unexpected {
        status: 200,
        problem: "not JSON".to_owned(),
    })
}

/// A header value that is marked sensitive, so that logs do not show it.
fn sensitive(value: &str) -> Result<HeaderValue, ApiError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| ApiError::Transport("a header value has invalid characters".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
