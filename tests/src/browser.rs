//! A real browser: Debian's chromium, driven by its chromedriver.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use url::Url;

use crate::installed;
use crate::world::{PASSWORD, World};

/// How long something may take to appear.
const APPEARS_WITHIN: Duration = Duration::from_secs(15);
const DRIVER: &str = "chromedriver";
const BROWSER: &str = "/usr/bin/chromium";
/// Records what a page lets the browser say.
const STUBBED_SPEECH: &str = "window.spoken = [];
    Object.defineProperty(window, 'speechSynthesis', { value: { speak: (said) => { if (said.text) window.spoken.push(said.text); } } });";

/// Calls back with what axe-core finds.
const RUN_AXE: &str = "const done = arguments[arguments.length - 1];
    axe.run({ resultTypes: ['violations'] }).then(
        ({ violations }) => done(violations
            .filter(({ impact }) => impact === 'serious' || impact === 'critical')
            .flatMap(({ id, nodes }) => nodes.map(({ target, html }) => `${id}: ${target} ${html}`))),
        (error) => done([String(error)]),
    );";

/// An open browser. Closed with [`Browser::close`]; its processes end when it is dropped.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    base: String,
    _profile: TempDir,
    _chromedriver: Child,
}

/// A command of Chromium's developer tools.
#[derive(Debug)]
struct DevtoolsCommand(Value);

impl WebDriverCompatibleCommand for DevtoolsCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/goog/cdp/execute"))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.0.to_string()))
    }
}

/// Where pictures of pages are kept, if anybody wants them: `PAGE_PICTURES`.
fn pictures() -> Option<PathBuf> {
    std::env::var_os("PAGE_PICTURES").map(PathBuf::from)
}

impl Browser {
    /// Opens one at this platform. None, and a line that says so, where chromium is not installed; in CI it must be.
    pub async fn open(world: &World) -> Option<Self> {
        let advice = "apt-get install chromium chromium-driver";
        let driver = Command::new(DRIVER)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let (Ok(mut chromedriver), true) = (driver, Path::new(BROWSER).exists()) else {
            installed::missing(advice);
            return None;
        };
        let mut lines = BufReader::new(chromedriver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if let Some((_, port)) = line.split_once("successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        // A full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = tempfile::tempdir().unwrap();
        let data = format!("--user-data-dir={}", profile.path().display());
        let capabilities = json!({
            "acceptInsecureCerts": true,
            "goog:chromeOptions": {
                "binary": BROWSER,
                "args": [
                    "--headless=new",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    "--no-proxy-server",
                    "--no-first-run",
                    "--lang=en",
                    data,
                ],
            },
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().unwrap().clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        let browser = Self {
            client,
            base: world.url(),
            _profile: profile,
            _chromedriver: chromedriver,
        };
        let stub = json!({ "source": STUBBED_SPEECH });
        browser
            .devtools("Page.addScriptToEvaluateOnNewDocument", stub)
            .await;
        browser.size(1280, 900, false).await;
        Some(browser)
    }

    async fn devtools(&self, method: &str, parameters: Value) {
        let command = DevtoolsCommand(json!({ "cmd": method, "params": parameters }));
        self.client.issue_cmd(command).await.unwrap();
    }

    /// Gives the page this size; a phone's has its scale too.
    pub async fn size(&self, width: u32, height: u32, is_phone: bool) {
        let parameters = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", parameters)
            .await;
    }

    /// Whether the person prefers dark pages.
    pub async fn dark(&self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        let parameters =
            json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", parameters)
            .await;
    }

    /// Opens a page.
    pub async fn goto(&self, path: &str) {
        let url = format!("{}{path}", self.base);
        self.client.goto(&url).await.unwrap();
    }

    /// The path that is shown, with its query.
    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap().to_string();
        url.strip_prefix(&self.base).unwrap_or(&url).to_owned()
    }

    /// Runs a script in the page; what it returns.
    pub async fn script(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// The first element of a selector, once there is one.
    pub async fn find(&self, selector: &str) -> Element {
        let began = Instant::now();
        loop {
            match self.client.find(Locator::Css(selector)).await {
                Ok(found) => return found,
                Err(_) if began.elapsed() < APPEARS_WITHIN => {
                    sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!("no {selector}: {error}"),
            }
        }
    }

    /// Writes into a field.
    pub async fn write(&self, selector: &str, text: &str) {
        let field = self.find(selector).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Types into a field as it is: the path of a file into a field for files.
    pub async fn type_into(&self, selector: &str, text: &str) {
        self.find(selector).await.send_keys(text).await.unwrap();
    }

    /// Presses a button or a link.
    pub async fn press(&self, selector: &str) {
        self.find(selector).await.click().await.unwrap();
    }

    /// Waits until an element shows this text; how long that took.
    pub async fn shows(&self, selector: &str, text: &str) -> Duration {
        let began = Instant::now();
        loop {
            let found = self.client.find(Locator::Css(selector)).await;
            let shown = match found {
                Ok(element) => element.text().await.unwrap_or_default(),
                Err(_) => String::new(),
            };
            if shown.contains(text) {
                return began.elapsed();
            }
            assert!(
                began.elapsed() < APPEARS_WITHIN,
                "{selector} shows {shown:?}, not {text:?}"
            );
            sleep(Duration::from_millis(30)).await;
        }
    }

    /// Logs a person in with [`PASSWORD`], and waits for the first page.
    pub async fn log_in(&self, email: &str) {
        self.goto("/login").await;
        self.write("input[name=email]", email).await;
        self.write("input[name=password]", PASSWORD).await;
        self.press("button.primary").await;
        self.find("nav.menu").await;
    }

    /// Keeps a picture of the whole page, if pictures are wanted.
    pub async fn picture(&self, name: &str) {
        let Some(folder) = pictures() else { return };
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.png"));
        std::fs::write(path, self.client.screenshot().await.unwrap()).unwrap();
    }

    /// Keeps pictures of what is shown at two widths, without opening it again, if pictures are wanted.
    pub async fn pictures_here(&self, name: &str) {
        if pictures().is_none() {
            return;
        }
        for (width, height, is_phone) in [(360, 780, true), (1280, 900, false)] {
            self.size(width, height, is_phone).await;
            self.picture(&format!("{name}-{width}-light")).await;
        }
    }

    /// Keeps pictures of a page at two widths, light and dark, if pictures are wanted.
    pub async fn pictures(&self, path: &str, name: &str) {
        if pictures().is_none() {
            return;
        }
        for (width, height, is_phone) in [(360, 780, true), (1280, 900, false)] {
            for is_dark in [false, true] {
                self.size(width, height, is_phone).await;
                self.dark(is_dark).await;
                self.goto(path).await;
                sleep(Duration::from_millis(400)).await;
                let shade = if is_dark { "dark" } else { "light" };
                self.picture(&format!("{name}-{width}-{shade}")).await;
            }
        }
        self.dark(false).await;
    }

    /// Whether the page is wider than the screen, which on a phone is a fault.
    pub async fn is_too_wide(&self) -> bool {
        let script =
            "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        self.script(script).await == Value::Bool(true)
    }

    /// What axe-core finds wrong with the page, of what is serious or critical for people who cannot see or use a mouse: a
    /// line for each element. Nothing, and a line that says so, where axe-core is not installed; in CI it must be.
    pub async fn violations(&self) -> Vec<String> {
        let axe = installed::libraries().join("node_modules/axe-core/axe.min.js");
        let Ok(axe) = std::fs::read_to_string(axe) else {
            installed::missing("npm install --prefix target/clients axe-core");
            return Vec::new();
        };
        self.client.execute(&axe, Vec::new()).await.unwrap();
        let found = self
            .client
            .execute_async(RUN_AXE, Vec::new())
            .await
            .unwrap();
        serde_json::from_value(found).unwrap()
    }

    /// Closes it.
    pub async fn close(self) {
        self.client.close().await.unwrap();
    }
}
