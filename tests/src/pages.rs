//! A browser without JavaScript: it keeps cookies, follows nothing by itself, and sends forms as pages have them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use certs::tls::{client_config, roots_from_pem};
use domain::role::Role;
use reqwest::header::{LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response};
use rustls::ClientConfig;
use service::Actor;
use service::people::user::{self, NewUser};
use wire::MerchantId;

use crate::world::{PASSWORD, World};

/// The browser of one person.
#[derive(Debug)]
pub struct Pages {
    http: Client,
    base: String,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// What a browser was answered.
#[derive(Debug)]
pub struct Shown {
    /// The HTTP status.
    pub status: u16,
    /// Where it leads, if anywhere.
    pub location: Option<String>,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body.
    pub html: String,
}

/// Creates a person with [`PASSWORD`]; the email.
pub async fn person(world: &World, role: Role, merchant_id: Option<MerchantId>) -> String {
    let email = format!("{role}-{:08x}@example.id", rand::random::<u32>());
    let new = NewUser {
        email: email.clone(),
        role: role.to_string(),
        merchant_id,
        password: Some(PASSWORD.to_owned()),
    };
    world
        .within(|context| async move {
            let mut unit = context.begin(Actor::system()).await?;
            user::create(&mut unit, new).await?;
            unit.commit().await
        })
        .await
        .unwrap();
    email
}

impl Pages {
    /// A browser in which nobody is logged in.
    pub fn open(world: &World) -> Self {
        Self::at(&world.url(), world.app().root_pem())
    }

    /// The same at a platform that is a process of its own.
    pub fn at(base: &str, root_pem: &str) -> Self {
        let roots = roots_from_pem(root_pem).unwrap();
        let tls = client_config(roots, None, Vec::new()).unwrap();
        let http = Client::builder()
            .tls_backend_preconfigured(ClientConfig::clone(&tls))
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self {
            http,
            base: base.to_owned(),
            cookies: Mutex::default(),
        }
    }

    /// A browser in which a new person with this role is logged in.
    pub async fn of(world: &World, role: Role, merchant_id: Option<MerchantId>) -> Self {
        let email = person(world, role, merchant_id).await;
        let pages = Self::open(world);
        let shown = pages.log_in(&email, PASSWORD).await;
        assert_eq!(shown.status, 303, "{shown:?}");
        pages
    }

    /// Sends the login form.
    pub async fn log_in(&self, email: &str, password: &str) -> Shown {
        let form = self.get("/login").await;
        assert_eq!(form.status, 200);
        let csrf = form.csrf();
        let fields = [("email", email), ("password", password), ("csrf", &csrf)];
        self.post("/login", &fields).await
    }

    /// A cookie's value.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().unwrap().get(name).cloned()
    }

    /// Keeps a cookie, as another browser had it.
    pub fn keep(&self, name: &str, value: &str) {
        let mut cookies = self.cookies.lock().unwrap();
        cookies.insert(name.to_owned(), value.to_owned());
    }

    /// A request with this browser's cookies.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies = self.cookies.lock().unwrap();
        let pairs: Vec<String> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = self.http.request(method, format!("{}{path}", self.base));
        if pairs.is_empty() {
            request
        } else {
            request.header("cookie", pairs.join("; "))
        }
    }

    async fn shown(&self, response: Response) -> Shown {
        for cookie in response.headers().get_all(SET_COOKIE) {
            let text = cookie.to_str().unwrap();
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            let mut cookies = self.cookies.lock().unwrap();
            if text.contains("Max-Age=0;") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let headers = response.headers().clone();
        Shown {
            status: response.status().as_u16(),
            location: headers
                .get(LOCATION)
                .map(|value| value.to_str().unwrap().to_owned()),
            headers,
            html: response.text().await.unwrap(),
        }
    }

    /// Opens a page.
    pub async fn get(&self, path: &str) -> Shown {
        let response = self.request(Method::GET, path).send().await.unwrap();
        self.shown(response).await
    }

    /// Sends fields as they are.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let response = self.sent(path, fields).send().await.unwrap();
        self.shown(response).await
    }

    /// The request that sends these fields.
    pub fn sent(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let mut form = String::new();
        for (name, value) in fields {
            let encode = |text: &str| {
                let bytes = text.bytes();
                bytes.map(|byte| format!("%{byte:02X}")).collect::<String>()
            };
            form += &format!("{}={}&", encode(name), encode(value));
        }
        self.request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
    }

    /// Presses a button of the page at `path`: sends a form to `action` with the secret that the page has.
    pub async fn press(&self, path: &str, action: &str, fields: &[(&str, &str)]) -> Shown {
        let page = self.get(path).await;
        assert!(
            page.html.contains(&format!("action=\"{action}\"")),
            "{action}: {}",
            page.html
        );
        let csrf = page.csrf();
        let all: Vec<(&str, &str)> = fields
            .iter()
            .copied()
            .chain([("csrf", csrf.as_str())])
            .collect();
        self.post(action, &all).await
    }

    /// Sends the form with a file that the page at `path` has.
    pub async fn upload(
        &self,
        path: &str,
        action: &str,
        fields: &[(&str, &str)],
        file: Option<&[u8]>,
    ) -> Shown {
        const BOUNDARY: &str = "----boundary-of-a-browser";
        let page = self.get(path).await;
        let form = format!("action=\"{action}\" enctype=\"multipart/form-data\"");
        assert!(page.html.contains(&form), "{action}: {}", page.html);
        let csrf = page.csrf();
        let mut body = Vec::new();
        for (name, value) in fields.iter().copied().chain([("csrf", csrf.as_str())]) {
            let part = format!(
                "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
            body.extend(part.into_bytes());
        }
        let name = if file.is_some() { "file.csv" } else { "" };
        let head = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\ncontent-type: text/csv\r\n\r\n"
        );
        body.extend(head.into_bytes());
        body.extend(file.unwrap_or_default());
        body.extend(format!("\r\n--{BOUNDARY}--\r\n").into_bytes());
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = self.request(Method::POST, action);
        let sent = request.header("content-type", kind).body(body).send().await;
        self.shown(sent.unwrap()).await
    }

    /// Opens a stream.
    pub async fn stream(&self, path: &str, last_event_id: Option<&str>) -> Stream {
        let mut request = self.request(Method::GET, path);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{path}");
        Stream {
            response,
            text: String::new(),
            last_id: None,
        }
    }
}

impl Shown {
    /// The secret of the page's forms.
    pub fn csrf(&self) -> String {
        let (_, rest) = self.html.split_once("name=\"csrf\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    /// The text of the first element with this id, as far as it has no element inside.
    pub fn element(&self, id: &str) -> &str {
        let (_, rest) = self.html.split_once(&format!("id=\"{id}\">")).unwrap();
        rest.split('<').next().unwrap()
    }

    /// The stream that the page opens.
    pub fn live(&self) -> String {
        let (_, rest) = self.html.split_once("data-live=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// An open stream of events.
pub struct Stream {
    response: Response,
    text: String,
    /// The place that was last told.
    pub last_id: Option<String>,
}

impl Stream {
    /// The next event, its name and its data; none when the stream has ended.
    pub async fn next(&mut self) -> Option<(String, String)> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|value| value.trim().to_owned())
                };
                if let Some(id) = field("id:") {
                    self.last_id = Some(id);
                }
                if let Some(name) = field("event:") {
                    return Some((name, field("data:").unwrap_or_default()));
                }
            }
            let chunk = self.response.chunk().await.ok()??;
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// The data of the next event with this name that contains `text`.
    pub async fn until(&mut self, name: &str, text: &str) -> String {
        let found = async {
            loop {
                let (its, data) = self.next().await.expect("the stream has ended");
                if its == name && data.contains(text) {
                    return data;
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), found)
            .await
            .unwrap_or_else(|_| panic!("no {name} with {text}"))
    }
}
