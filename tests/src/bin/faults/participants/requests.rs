//! Requests that are repeated until they have a final answer.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use reqwest::Method;
use serde_json::Value;
use tests::acquirer::{Acquirer, SignedRequest, reference};
use tests::api::Answer;
use tests::repeat::until_final;
use tokio::time::sleep;

use super::{Participants, count};
use crate::clock;

/// How long one attempt of a request may take.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(3);

impl Participants {
    /// A request of the staff, under one key, until it has a final answer: this one.
    pub(super) async fn staff(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        expected: u16,
        random: &mut StdRng,
    ) -> anyhow::Result<Value> {
        let key = reference();
        let body = body.to_string().into_bytes();
        let admin = self.shared.admins.choose(random).context("no nodes")?;
        let request = || {
            let (admin, key, body) = (admin.clone(), key.clone(), body.clone());
            let (method, path) = (method.clone(), path.to_owned());
            async move {
                let headers = [("idempotency-key", key.as_str())];
                admin.try_call(method, &path, &headers, Some(body)).await
            }
        };
        let mut answer = self.settle(request).await;
        // The first attempt's answer was lost, and it still runs.
        while answer.status == 409 && answer.header("retry-after").is_some() {
            sleep(ATTEMPT_WITHIN / 10).await;
            answer = self.settle(request).await;
        }
        ensure!(answer.status == expected, "{path}: {answer}");
        Ok(answer.data())
    }

    /// Signs and posts; the answer must be this.
    pub(super) async fn must(
        &self,
        body: &Value,
        status: u16,
        random: &mut StdRng,
    ) -> anyhow::Result<()> {
        let answer = self.post(&self.sign(body)?, random.random()).await;
        ensure!(answer.status == status, "not {status}: {answer}");
        if status != 200 {
            count(&self.shared.counters.refused);
        }
        Ok(())
    }

    pub(super) fn acquirer(&self, number: usize) -> anyhow::Result<&Acquirer> {
        let all = &self.shared.acquirers;
        all.get(number % all.len().max(1)).context("no acquirer")
    }

    pub(super) fn sign(&self, body: &Value) -> anyhow::Result<SignedRequest> {
        Ok(self
            .acquirer(0)?
            .sign(body.to_string().as_bytes(), clock::now()))
    }

    /// Posts a callback to the nodes in turn, until there is a final answer.
    pub(super) async fn post(&self, request: &SignedRequest, first: u32) -> Answer {
        let turn = AtomicU32::new(first);
        let attempt = || {
            let number = usize::try_from(turn.fetch_add(1, Ordering::Relaxed)).unwrap_or(0);
            let acquirer = self
                .shared
                .acquirers
                .get(number % self.shared.acquirers.len());
            let (acquirer, request) = (acquirer.cloned(), request.clone());
            async move {
                match acquirer {
                    Some(acquirer) => acquirer.try_post(&request).await,
                    None => std::future::pending().await,
                }
            }
        };
        self.settle(attempt).await
    }

    pub(super) async fn settle<F>(&self, request: impl Fn() -> F) -> Answer
    where
        F: Future<Output = reqwest::Result<Answer>>,
    {
        let counters = &self.shared.counters;
        until_final(ATTEMPT_WITHIN, request, || count(&counters.repeated)).await
    }
}

/// Whether a success was taken as the payment that it is.
pub(super) fn accepted(answer: &Answer) -> anyhow::Result<()> {
    ensure!(answer.status == 200, "a payment: {answer}");
    let verdict = answer.data()["verdict"].take();
    ensure!(
        verdict == "accepted" || verdict == "duplicate",
        "a payment is {verdict}"
    );
    Ok(())
}
