//! A platform on a database of its own, with a clock that can be moved.
//!
//! The platform runs in a runtime of its own, so that it can be killed at any time: [`World::crash`] drops all its tasks,
//! as the end of a process would. The effects of a real `kill -9` are tested with the process.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::OnceLock;

use chrono::TimeDelta;
use domain::role::Role;
use metrics_exporter_prometheus::PrometheusHandle;
use platform::app::{App, Options};
use platform::config::{Config, QrisPartner, QrisProfile, Switch};
use serde_json::{Value, json};
use service::clock::Clock;
use service::people::token;
use service::people::user::{self, NewUser};
use service::shop::merchant;
use service::{Actor, Context};
use sqlx::PgPool;
use tokio::runtime::{Builder, Runtime};
use wire::MerchantId;

use crate::acquirer::{self, Acquirer};
use crate::api::Api;
use crate::database::{TestDatabase, pool_of};
use crate::node_process::{self, NodeParts};

/// The password of people who log in.
pub const PASSWORD: &str = "kopi tubruk panas";

/// A platform and everything around it.
pub struct World {
    /// The platform's clock.
    pub clock: Clock,
    /// Connections to the database.
    pub pool: PgPool,
    config: Config,
    life: Option<Life>,
    admin_token: String,
    _dir: tempfile::TempDir,
    _database: TestDatabase,
}

/// One run of the platform.
struct Life {
    app: App,
    runtime: Runtime,
    /// A client without a token. The others are made of it, so that they share its connections.
    api: Api,
}

impl World {
    /// A platform that has just been started for the first time.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with another configuration, which may name another database.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let database = TestDatabase::create().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::demo().unwrap();
        config.database.url = database.url().to_owned();
        config.database.connections_max = 8;
        config.data_dir = dir.path().to_owned();
        let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        config.http.listen = anywhere;
        config.mqtt.listen = anywhere;
        config.metrics.listen = anywhere;
        for partner in [acquirer::OURS, acquirer::ANOTHER] {
            let file = dir.path().join(format!("{partner}.secret"));
            std::fs::write(&file, acquirer::secret_of(partner)).unwrap();
            let partner_config = QrisPartner {
                profile: QrisProfile::Hmac,
                secret_files: vec![file],
                ..QrisPartner::default()
            };
            config
                .qris_partners
                .insert(partner.to_owned(), partner_config);
        }
        config.payments.qr_partner = acquirer::OURS.to_owned();
        // So that a test that got no processor for a while keeps its sessions.
        config.node.lease_s = 60;
        // Tests send hundreds of forged callbacks from one address and read what was kept of each.
        config.callbacks.rejected_per_minute_max = 100_000;
        config.callbacks.rejected_per_address_per_minute_max = 100_000;
        change(&mut config);
        let mut world = Self {
            clock: Clock::default(),
            pool: pool_of(&config.database.url).await.unwrap(),
            config,
            life: None,
            admin_token: String::new(),
            _dir: dir,
            _database: database,
        };
        world.start().await;
        // Valid for tests that span months.
        world.admin_token = world
            .token_for(Role::Admin, None, TimeDelta::days(400))
            .await;
        world
    }

    /// Where its database is.
    pub fn database_url(&self) -> &str {
        &self.config.database.url
    }

    /// Starts the platform on the data of an earlier run.
    pub async fn start(&mut self) {
        assert!(self.life.is_none(), "it runs already");
        self.try_start().await.unwrap();
    }

    /// The same, when it may be refused.
    pub async fn try_start(&mut self) -> anyhow::Result<()> {
        self.life = Some(Life::start(self.config.clone(), self.clock.clone()).await?);
        Ok(())
    }

    /// Another process beside this one, of the same CA and on the same database.
    pub async fn neighbour(&self, node: &str) -> Neighbour {
        let mut config = self.config.clone();
        node.clone_into(&mut config.node.name);
        Neighbour(Some(Life::start(config, self.clock.clone()).await.unwrap()))
    }

    /// What starts a real process beside this one, of the same CA and on the same database.
    pub fn node_parts(&self, name: &str, lease_s: u32) -> NodeParts {
        let data_dir = &self.config.data_dir;
        NodeParts {
            dir: data_dir.join("nodes").join(name),
            name: name.to_owned(),
            lease_s,
            database_url: self.config.database.url.clone(),
            pki_dir: self.config.pki_dir(),
            listen: node_process::anywhere(),
            key_file: data_dir.join("keys").join("announcement.pem"),
            acquirer: (
                acquirer::OURS.to_owned(),
                data_dir.join(format!("{}.secret", acquirer::OURS)),
            ),
            more: String::new(),
            log_file: None,
        }
    }

    /// Stops the platform as an operator would.
    pub async fn stop(&mut self) {
        let Life { app, runtime, .. } = self.life.take().unwrap();
        runtime.spawn(app.stop()).await.unwrap().unwrap();
        runtime.shutdown_background();
    }

    /// Changes what the next start is configured with.
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut Config)) {
        assert!(self.life.is_none(), "it runs");
        change(&mut self.config);
    }

    /// Ends the platform without a shutdown.
    pub fn crash(&mut self) {
        let Life { app, runtime, .. } = self.life.take().unwrap();
        runtime.shutdown_background();
        drop(app);
    }

    /// The running platform.
    pub fn app(&self) -> &App {
        &self.life.as_ref().unwrap().app
    }

    /// The metrics as Prometheus reads them.
    pub async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.app().metrics_addr());
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    /// The address for MQTT.
    pub fn mqtt(&self) -> SocketAddr {
        self.app().mqtt_addr()
    }

    /// `https://…`, without a path.
    pub fn url(&self) -> String {
        url_of(self.app())
    }

    /// A client without a token.
    pub fn anonymous(&self) -> Api {
        self.life.as_ref().unwrap().api.clone()
    }

    /// A client without a token, on another machine.
    pub fn anonymous_from(&self, address: [u8; 4]) -> Api {
        Api::from_address(&self.url(), self.app().root_pem(), address.into())
    }

    /// A client that may do everything.
    pub fn admin(&self) -> Api {
        self.anonymous().with_token(&self.admin_token)
    }

    /// A client with this role.
    pub async fn staff(&self, role: Role) -> Api {
        self.anonymous().with_token(&self.token(role).await)
    }

    /// A client of a merchant's user with this role.
    pub async fn merchant_user(&self, role: Role, merchant_id: MerchantId) -> Api {
        let month = TimeDelta::days(30);
        let token = self.token_for(role, Some(merchant_id), month).await;
        self.anonymous().with_token(&token)
    }

    /// A client of a merchant's owner.
    pub async fn owner(&self, merchant_id: MerchantId) -> Api {
        self.merchant_user(Role::MerchantOwner, merchant_id).await
    }

    /// A client of a logged-in user with this role, whose access is 30 days old.
    pub async fn person(&self, role: Role) -> Api {
        let email = self.create_user(role).await;
        sqlx::query(
            "UPDATE users SET access_changed_at = access_changed_at - interval '30 days' WHERE email = $1",
        )
        .bind(&email)
        .execute(&self.pool)
        .await
        .unwrap();
        self.log_in(&email).await
    }

    /// The same for a user who was created today.
    pub async fn newcomer(&self, role: Role) -> Api {
        let email = self.create_user(role).await;
        self.log_in(&email).await
    }

    /// Approves a merchant: through the API where one person may, else as the system.
    pub async fn approve(&self, merchant_id: &str) -> Value {
        let path = format!("/admin/merchants/{merchant_id}");
        if self.config.money.maker_checker == Switch::Off {
            let approve = format!("{path}/approve");
            let approved = self.admin().post(&approve, &json!({})).await;
            return approved.expect(200).data();
        }
        let id = merchant_id.parse().unwrap();
        self.within(move |context| async move {
            let mut unit = context.begin(Actor::system()).await?;
            merchant::approve(&mut unit, id).await?;
            unit.commit().await
        })
        .await
        .unwrap();
        self.admin().read(&path).await
    }

    /// Creates a user with this role and [`PASSWORD`] as the system; the email.
    pub async fn create_user(&self, role: Role) -> String {
        let email = format!("{role}-{:08x}@example.id", rand::random::<u32>());
        let new = NewUser {
            email: email.clone(),
            role: role.to_string(),
            merchant_id: None,
            password: Some(PASSWORD.to_owned()),
        };
        self.within(|context| async move {
            let mut unit = context.begin(Actor::system()).await?;
            user::create(&mut unit, new).await?;
            unit.commit().await
        })
        .await
        .unwrap();
        email
    }

    /// A client of a user who logs in with [`PASSWORD`].
    pub async fn log_in(&self, email: &str) -> Api {
        let login = json!({ "email": email, "password": PASSWORD });
        let given = self.anonymous().post("/admin/login", &login).await;
        self.anonymous()
            .with_token(given.expect(200).data()["token"].as_str().unwrap())
    }

    /// A fresh token for a role of the platform's own people.
    pub async fn token(&self, role: Role) -> String {
        self.token_for(role, None, TimeDelta::hours(12)).await
    }

    /// A fresh token for any role.
    pub async fn token_for(
        &self,
        role: Role,
        merchant_id: Option<MerchantId>,
        lifetime: TimeDelta,
    ) -> String {
        let context = self.app().context().clone();
        let make = async move {
            let mut unit = context.begin(Actor::system()).await?;
            let new = token::create(&mut unit, role, merchant_id, "story", lifetime).await?;
            unit.commit().await?;
            Ok::<_, service::Error>(new.token)
        };
        let runtime = &self.life.as_ref().unwrap().runtime;
        runtime.spawn(make).await.unwrap().unwrap()
    }

    /// Runs a use case inside the platform.
    pub async fn within<T, F>(&self, work: impl FnOnce(Context) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let work = work(self.app().context().clone());
        let runtime = &self.life.as_ref().unwrap().runtime;
        runtime.spawn(work).await.unwrap()
    }

    /// The acquirer that merchants are registered with.
    pub fn acquirer(&self) -> Acquirer {
        self.acquirer_named(acquirer::OURS)
    }

    /// Another configured acquirer, without merchants.
    pub fn another_acquirer(&self) -> Acquirer {
        self.acquirer_named(acquirer::ANOTHER)
    }

    fn acquirer_named(&self, id: &str) -> Acquirer {
        let secret = acquirer::secret_of(id);
        Acquirer::new(self.anonymous(), self.clock.clone(), id, secret)
    }

    /// Moves the platform's clock ahead.
    pub fn later(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }
}

impl Life {
    async fn start(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let options = Options {
            clock,
            make_ca: true,
            metrics: Some(recorder()),
            telemetry: None,
        };
        let app = runtime
            .spawn(async move { App::start(&config, options).await })
            .await
            .unwrap();
        match app {
            Ok(app) => Ok(Self {
                api: Api::new(&url_of(&app), app.root_pem()),
                app,
                runtime,
            }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }
}

/// A platform process that shares another's database.
pub struct Neighbour(Option<Life>);

impl Neighbour {
    /// The address for MQTT.
    pub fn mqtt(&self) -> SocketAddr {
        self.0.as_ref().unwrap().app.mqtt_addr()
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        if let Some(Life { app, runtime, .. }) = self.0.take() {
            runtime.shutdown_background();
            drop(app);
        }
    }
}

impl Drop for World {
    /// A failing test must not wait, and a runtime may not be dropped inside another.
    fn drop(&mut self) {
        if self.life.is_some() {
            self.crash();
        }
    }
}

fn url_of(app: &App) -> String {
    format!("https://localhost:{}", app.http_addr().port())
}

/// A process can have one recorder.
fn recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER
        .get_or_init(|| http_api::metrics::record().unwrap())
        .clone()
}
