//! What customers, acquirer and staff do.

mod requests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use device_sim::session::Control;
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use reqwest::Method;
use serde_json::{Value, json};
use tests::acquirer::{but_status, reference, static_success, success};
use tests::api::Api;
use tokio::time::{sleep, timeout};
use wire::{Rupiah, TransactionId};

use crate::builder::AllBoxes;
use crate::clock;
use crate::shared::{ListeningBox, Place, Shared};
use crate::traffic::Step;
use requests::accepted;

/// How long a code may take that was requested by MQTT; then it is requested again.
const CODE_WITHIN: Duration = Duration::from_secs(3);
/// How often a code is requested by MQTT, or an activation code.
const CODE_ATTEMPTS_MAX: usize = 40;
/// How long a suspended box goes on trying, before it is activated again.
const SUSPENDED_FOR: Duration = Duration::from_millis(1_500);

/// Who takes part.
pub(crate) struct Participants {
    /// The boxes.
    pub(crate) all_boxes: AllBoxes,
    /// Who requests codes by HTTPS: the API by each node.
    pub(crate) shops: Vec<Api>,
    /// What everything shares.
    pub(crate) shared: Arc<Shared>,
}

impl Participants {
    /// Does it.
    pub(crate) async fn play(&self, step: Step, random: &mut StdRng) -> anyhow::Result<()> {
        let needs_code = matches!(
            step,
            Step::Dynamic { .. } | Step::Unpaid { .. } | Step::FailedThenPaid | Step::OtherAmount
        );
        let fits = |one: &&ListeningBox| !needs_code || one.token.is_some();
        let fitting: Vec<&ListeningBox> = self.all_boxes.listening.iter().filter(fits).collect();
        let chosen = (*fitting.choose(random).context("no boxes")?).clone();
        match step {
            Step::Dynamic { by_mqtt } => {
                let (amount, id) = self.code(by_mqtt, &chosen, random).await?;
                self.pay(&chosen.place, amount, id, random).await
            }
            Step::Static => self.pay_printed(&chosen.place, 1, random).await,
            Step::Pair => self.pay_printed(&chosen.place, 2, random).await,
            Step::Unpaid { failed } => {
                let (amount, id) = self.code(false, &chosen, random).await?;
                if failed {
                    self.fail(amount, id, random).await?;
                }
                Ok(())
            }
            Step::FailedThenPaid => {
                let (amount, id) = self.code(false, &chosen, random).await?;
                self.fail(amount, id, random).await?;
                self.pay(&chosen.place, amount, id, random).await
            }
            Step::Forged => self.forge(&chosen, random).await,
            Step::OtherAmount => {
                let (amount, id) = self.code(false, &chosen, random).await?;
                let other = self.shared.new_amount();
                let body = success(id, other, &reference(), clock::now());
                self.must(&body, 409, random).await?;
                self.pay(&chosen.place, amount, id, random).await
            }
            Step::Reversal => self.take_back(random).await,
            Step::Command => self.command(&chosen, random).await,
            Step::Configure => self.configure(&chosen, random).await,
            Step::Rebind => self.rebind(random).await,
            Step::Suspend => self.suspend(random).await,
            Step::Settle => {
                let (path, body) = ("/admin/settlements/run", json!({}));
                self.staff(Method::POST, path, &body, 200, random).await?;
                count(&self.shared.counters.settlements);
                Ok(())
            }
        }
    }

    /// Requests a code for a new amount.
    async fn code(
        &self,
        by_mqtt: bool,
        chosen: &ListeningBox,
        random: &mut StdRng,
    ) -> anyhow::Result<(i64, TransactionId)> {
        let amount = self.shared.new_amount();
        let Some(token) = chosen.token.as_ref() else {
            bail!("a box without codes");
        };
        if by_mqtt && chosen.is_mqtt {
            return Ok((amount, self.code_by_mqtt(chosen, amount).await?));
        }
        let shop = self.shops.choose(random).context("no nodes")?;
        let (api, key) = (shop.with_token(token), reference());
        let body = json!({
            "device_id": chosen.device_id, "amount": amount, "currency": "IDR", "request_id": key,
        });
        let body = body.to_string().into_bytes();
        let request = || {
            let (api, key, body) = (api.clone(), key.clone(), body.clone());
            async move {
                let headers = [("idempotency-key", key.as_str())];
                let path = "/device/transactions/dynamic-qr";
                api.try_call(Method::POST, path, &headers, Some(body)).await
            }
        };
        let answer = self.settle(request).await;
        let code = answer.json();
        let (Some(id), Some(payload)) =
            (code["transaction_id"].as_str(), code["qr_payload"].as_str())
        else {
            bail!("no code: {answer}");
        };
        self.shared.check_code(payload, amount);
        Ok((amount, id.parse()?))
    }

    async fn code_by_mqtt(
        &self,
        chosen: &ListeningBox,
        amount: i64,
    ) -> anyhow::Result<TransactionId> {
        for _ in 0..CODE_ATTEMPTS_MAX {
            let wanted = Control::RequestQr {
                amount: Rupiah::from_i64(amount),
            };
            chosen.controls.send(wanted).await?;
            let came = timeout(CODE_WITHIN, async {
                loop {
                    let next = self.shared.code_came.notified();
                    if let Some(id) = self.shared.code(amount) {
                        return id;
                    }
                    next.await;
                }
            });
            if let Ok(id) = came.await {
                return Ok(id);
            }
            count(&self.shared.counters.repeated);
        }
        bail!("no code by MQTT for {}", chosen.device_id)
    }

    /// A code is paid; its callback is delivered once or several times, at any node.
    async fn pay(
        &self,
        place: &Place,
        amount: i64,
        id: TransactionId,
        random: &mut StdRng,
    ) -> anyhow::Result<()> {
        let reference = reference();
        let body = success(id, amount, &reference, clock::now());
        self.shared
            .evidence()
            .sale(amount, place.id, Some(id), vec![reference]);
        self.deliver(amount, &body, random).await
    }

    /// A printed code is paid, so many times.
    pub(crate) async fn pay_printed(
        &self,
        place: &Place,
        copies: usize,
        random: &mut StdRng,
    ) -> anyhow::Result<()> {
        let amount = self.shared.new_amount();
        let references: Vec<String> = (0..copies).map(|_| reference()).collect();
        self.shared
            .evidence()
            .sale(amount, place.id, None, references.clone());
        for reference in references {
            let now = clock::now();
            let body = static_success(&place.nmid, &place.label, amount, &reference, now);
            self.deliver(amount, &body, random).await?;
        }
        Ok(())
    }

    async fn deliver(&self, amount: i64, body: &Value, random: &mut StdRng) -> anyhow::Result<()> {
        let request = self.sign(body)?;
        let copies = *[1, 1, 1, 2, 3].choose(random).unwrap_or(&1);
        let posts = (0..copies).map(|_| self.post(&request, random.random()));
        let posts: Vec<_> = posts.collect();
        let answers = futures_util::future::join_all(posts).await;
        for answer in &answers {
            accepted(answer)?;
        }
        self.shared.evidence().answered(amount);
        if random.random_ratio(1, 5) {
            accepted(&self.post(&request, random.random()).await)?;
        }
        Ok(())
    }

    async fn fail(
        &self,
        amount: i64,
        id: TransactionId,
        random: &mut StdRng,
    ) -> anyhow::Result<()> {
        let status = *["failed", "expired"].choose(random).unwrap_or(&"failed");
        let body = but_status(success(id, amount, &reference(), clock::now()), status);
        self.must(&body, 200, random).await
    }

    /// A callback that nobody may believe. Its amount is heard nowhere.
    async fn forge(&self, chosen: &ListeningBox, random: &mut StdRng) -> anyhow::Result<()> {
        let place = &chosen.place;
        let amount = self.shared.new_amount();
        let now = clock::now();
        let body = static_success(&place.nmid, &place.label, amount, &reference(), now);
        let mut request = self.sign(&body)?;
        match random.random_range(0..3) {
            0 => {
                let text = String::from_utf8(request.body)?;
                let doubled = text.replace(
                    &format!("\"amount\":{amount}"),
                    &format!("\"amount\":{amount}0"),
                );
                request.body = doubled.into_bytes();
            }
            1 => {
                let last = request.signature.pop();
                request
                    .signature
                    .push(if last == Some('0') { '1' } else { '0' });
            }
            _ => {
                let acquirer = self.acquirer(0)?;
                let old = now - chrono::TimeDelta::seconds(3_600);
                request = acquirer.sign(body.to_string().as_bytes(), old);
            }
        }
        let answer = self.post(&request, random.random()).await;
        ensure!(answer.status == 401, "a forged callback: {answer}");
        count(&self.shared.counters.refused);
        Ok(())
    }

    async fn take_back(&self, random: &mut StdRng) -> anyhow::Result<()> {
        let Some(sale) = self
            .shared
            .evidence()
            .take_reversible(random.random_range(0..1_000))
        else {
            return Ok(());
        };
        let (Some(reference), Some(place)) =
            (sale.references.first(), self.place_of(&sale.terminal))
        else {
            return Ok(());
        };
        let now = clock::now();
        let body = match sale.transaction {
            Some(id) => success(id, sale.amount, reference, now),
            None => static_success(&place.nmid, &place.label, sale.amount, reference, now),
        };
        self.must(&but_status(body, "reversed"), 200, random).await
    }

    fn place_of(&self, terminal: &wire::TerminalId) -> Option<&Place> {
        let places = self.all_boxes.listening.iter().map(|one| &one.place);
        places
            .chain(&self.all_boxes.moving.1)
            .find(|one| one.id == *terminal)
    }

    async fn command(&self, chosen: &ListeningBox, random: &mut StdRng) -> anyhow::Result<()> {
        let path = format!("/admin/devices/{}/commands", chosen.device_id);
        let body = if random.random_bool(0.5) {
            json!({ "type": "play_test", "payload": {} })
        } else {
            json!({ "type": "set_volume", "payload": { "volume": random.random_range(1..=10) } })
        };
        self.staff(Method::POST, &path, &body, 201, random).await?;
        count(&self.shared.counters.commands);
        Ok(())
    }

    async fn configure(&self, chosen: &ListeningBox, random: &mut StdRng) -> anyhow::Result<()> {
        if chosen.token.is_none() {
            return Ok(());
        }
        let path = format!("/admin/devices/{}/config", chosen.device_id);
        let body = json!({ "volume": random.random_range(1..=10) });
        self.staff(Method::PATCH, &path, &body, 200, random).await?;
        count(&self.shared.counters.commands);
        Ok(())
    }

    async fn rebind(&self, random: &mut StdRng) -> anyhow::Result<()> {
        let (chosen, places) = &self.all_boxes.moving;
        let id = chosen.device_id;
        let to = places.choose(random).context("no places")?;
        if self.shared.evidence().terminal_of(id) == Some(to.id) {
            return Ok(());
        }
        self.shared.evidence().binding_asked(id, to.id);
        let path = format!("/admin/devices/{id}/bind");
        let body = json!({ "terminal_id": to.id });
        self.staff(Method::POST, &path, &body, 200, random).await?;
        self.shared.evidence().bound(id);
        count(&self.shared.counters.rebinds);
        Ok(())
    }

    /// The box is suspended while it runs; then it is activated again.
    async fn suspend(&self, random: &mut StdRng) -> anyhow::Result<()> {
        let suspended_box = &self.all_boxes.suspended_box;
        let Some(mut running) = suspended_box.running() else {
            return Ok(());
        };
        let id = suspended_box.device_id;
        let path = format!("/admin/devices/{id}");
        self.shared.evidence().suspension_asked(id);
        let suspended = json!({ "status": "suspended" });
        self.staff(Method::PATCH, &path, &suspended, 200, random)
            .await?;
        self.shared.evidence().suspended(id);
        sleep(SUSPENDED_FOR).await;
        let active = json!({ "status": "active" });
        self.staff(Method::PATCH, &path, &active, 200, random)
            .await?;
        let code = self.activation_code(&path, random).await?;
        suspended_box.again(&mut running, code).await?;
        count(&self.shared.counters.suspensions);
        Ok(())
    }

    async fn activation_code(&self, path: &str, random: &mut StdRng) -> anyhow::Result<String> {
        let path = format!("{path}/activation-code");
        for _ in 0..CODE_ATTEMPTS_MAX {
            let made = self
                .staff(Method::POST, &path, &json!({}), 201, random)
                .await?;
            // A repeated answer does not show it: another one is asked for.
            if let Some(code) = made["activation_code"].as_str() {
                return Ok(code.to_owned());
            }
        }
        bail!("no activation code")
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
