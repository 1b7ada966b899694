//! The HTTP client of outbound webhooks: it calls the internet, and nothing that only this machine or its network reaches.
//!
//! The name of an endpoint is resolved at every attempt, and only its public addresses are connected to: a name that led to a
//! public address yesterday may lead to a private one today.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use domain::webhook::{
    ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, TargetPolicy, check_url, is_public,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use service::webhook::sender::{Message, NotSent, WebhookSender};

/// For a whole call.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What receivers see of us.
const USER_AGENT: &str = concat!("soundbox-webhooks/", env!("CARGO_PKG_VERSION"));

/// The client.
pub struct WebhookClient {
    http: reqwest::Client,
    policy: TargetPolicy,
}

impl WebhookClient {
    /// A client that may call what `policy` allows.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(policy: TargetPolicy) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .user_agent(USER_AGENT)
            .dns_resolver(Arc::new(PublicOnly(policy)))
            // A kept connection would go to an address that was checked long ago.
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { http, policy })
    }
}

impl WebhookSender for WebhookClient {
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<u16, NotSent>> {
        async move {
            // The configuration may have become stricter since it was entered; an address in the URL is not resolved.
            let url = check_url(&message.url, self.policy)
                .map_err(|error| NotSent(format!("its URL {error}")))?;
            let response = self
                .http
                .post(url)
                .header("content-type", "application/json")
                .header(ID_HEADER, &message.id)
                .header(TIMESTAMP_HEADER, &message.timestamp)
                .header(SIGNATURE_HEADER, &message.signature)
                .body(message.body.clone())
                .send()
                .await
                .map_err(|error| NotSent(reason(&error)))?;
            // The body of the answer says nothing, and is not read.
            Ok(response.status().as_u16())
        }
        .boxed()
    }
}

/// Why a call failed, with its innermost cause: "connection refused" and not only "error sending request".
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("it did not answer in {} s", TIMEOUT.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    format!("it could not be reached: {cause}")
}

/// Resolves names to public addresses, and to others where the policy allows them.
struct PublicOnly(TargetPolicy);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let allowed: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0))
                .await?
                .filter(|address| may_call(address.ip(), policy))
                .collect();
            if allowed.is_empty() {
                return Err(format!("{host} has no public address").into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn may_call(address: IpAddr, policy: TargetPolicy) -> bool {
    policy.private || is_public(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(url: &str) -> Message {
        Message {
            url: url.into(),
            id: "msg_1".into(),
            timestamp: "1700000000".into(),
            signature: "v1,".into(),
            body: "{}".into(),
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_not_called() {
        let resolver = PublicOnly(TargetPolicy::default());
        // `localhost` is refused before; a public name may resolve to the same address.
        let resolved = resolver.resolve("localhost".parse().unwrap()).await;
        let error = resolved.err().unwrap().to_string();
        assert_eq!(error, "localhost has no public address");
        let open = PublicOnly(TargetPolicy {
            http: true,
            private: true,
        });
        assert!(open.resolve("localhost".parse().unwrap()).await.is_ok());
    }

    #[tokio::test]
    async fn what_the_policy_forbids_is_not_called() {
        let client = WebhookClient::new(TargetPolicy::default()).unwrap();
        for (url, why) in [
            ("http://example.com/", "its URL must begin with https://"),
            (
                "https://127.0.0.1:1/",
                "its URL must lead to a public address",
            ),
            ("https://[::1]:1/", "its URL must lead to a public address"),
            (
                "https://localhost:1/",
                "its URL must lead to a public address",
            ),
        ] {
            let refused = client.send(&message(url)).await;
            assert_eq!(refused, Err(NotSent(why.into())), "{url}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = socket.read(&mut request).await.unwrap();
            let answer = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
            socket.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let policy = TargetPolicy {
            http: true,
            private: true,
        };
        let client = WebhookClient::new(policy).unwrap();
        let answer = client
            .send(&message(&format!("http://{address}/hook")))
            .await;
        assert_eq!(answer, Ok(307));
        let request = server.await.unwrap();
        assert!(request.starts_with("POST /hook HTTP/1.1"), "{request}");
        for header in [
            "webhook-id: msg_1",
            "webhook-timestamp: 1700000000",
            "webhook-signature: v1,",
        ] {
            assert!(request.contains(header), "{request}");
        }
    }

    #[tokio::test]
    async fn who_is_not_there_is_named() {
        let policy = TargetPolicy {
            http: true,
            private: true,
        };
        let client = WebhookClient::new(policy).unwrap();
        let NotSent(reason) = client
            .send(&message("http://127.0.0.1:1/"))
            .await
            .unwrap_err();
        assert!(reason.contains("refused"), "{reason}");
    }
}
