//! People who watch *Now* while payments come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::ensure;
use serde_json::json;
use tests::pages::Pages;
use tests::server::Server;
use tests::text;
use tokio::task::JoinSet;

/// Streams that one person may have open.
const STREAMS_OF_ONE: usize = 10;

/// So many open streams; they are closed when this is dropped.
pub(crate) struct Viewers {
    streams: JoinSet<()>,
    payments: Arc<AtomicU64>,
}

impl Viewers {
    /// Lets so many people log in, open *Now*, and read what comes.
    pub(crate) async fn open(server: &Server, count: usize) -> anyhow::Result<Self> {
        let admin = server.api("admin")?;
        let payments = Arc::new(AtomicU64::new(0));
        let mut streams = JoinSet::new();
        for person in 0..count.div_ceil(STREAMS_OF_ONE) {
            let email = format!("viewer{person}-{:08x}@example.id", rand::random::<u32>());
            let password = format!("{:032x}", rand::random::<u128>());
            let new = json!({ "email": email, "password": password, "role": "support" });
            let made = admin.post("/admin/users", &new).await;
            ensure!(made.status == 201, "no viewer: {made}");
            let browser = Pages::at(&server.demo.api_url, &server.root_pem);
            let shown = browser.log_in(&email, &password).await;
            ensure!(
                shown.status == 303,
                "{} cannot log in: {}",
                text(&made.json()["data"], "email"),
                shown.status
            );
            let live = browser.get("/console/").await.live();
            for _ in 0..STREAMS_OF_ONE.min(count - streams.len()) {
                let mut stream = browser.stream(&live, None).await;
                let payments = Arc::clone(&payments);
                streams.spawn(async move {
                    while let Some((event, _)) = stream.next().await {
                        if event == "payment" {
                            payments.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        }
        Ok(Self { streams, payments })
    }

    /// How many rows all of them were sent.
    pub(crate) fn payments(&self) -> u64 {
        self.payments.load(Ordering::Relaxed)
    }

    /// How many streams are open.
    pub(crate) fn len(&mut self) -> usize {
        while self.streams.try_join_next().is_some() {}
        self.streams.len()
    }
}
