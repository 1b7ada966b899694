//! Rate limits: they apply to one caller and not to others.

use futures_util::future::join_all;
use tests::prelude::*;

/// So many at once that a limit of a few a second is exceeded on any machine.
async fn storm(api: &Api, path: &str) -> Vec<Answer> {
    join_all((0..200).map(|_| api.get(path))).await
}

/// The refused ones, each in the contract's form.
fn sent_away(answers: &[Answer]) -> usize {
    for answer in answers.iter().filter(|answer| answer.status == 429) {
        answer.refused(RATE_LIMITED);
        let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(wait >= 1);
    }
    with_status(answers, 429)
}

#[tokio::test]
async fn an_address_with_too_many_requests_is_limited_and_no_other() {
    let world = World::with(|config| config.http.rate_per_address_per_s = 10).await;
    let loud = world.anonymous_from([127, 0, 0, 2]);
    let quiet = world.anonymous_from([127, 0, 0, 3]);
    let answers = storm(&loud, "/nowhere").await;
    let away = sent_away(&answers);
    assert!(away > 0);
    let served = with_status(&answers, 404);
    assert!(served >= 10 && served + away == answers.len(), "{served}");
    for _ in 0..5 {
        quiet.get("/nowhere").await.refused(ROUTE_NOT_FOUND);
    }
    let numbers = world.metrics().await;
    let limited = "http_rate_limited_total{by=\"address\"}";
    assert!(numbers.contains(limited), "{numbers}");
}

#[tokio::test]
async fn a_principal_with_too_many_requests_is_limited_and_no_other() {
    let world = World::with(|config| {
        config.http.rate_per_address_per_s = 0;
        config.http.rate_per_principal_per_s = 5;
    })
    .await;
    let (loud, quiet) = (world.staff(Role::Ops).await, world.staff(Role::Ops).await);
    let answers = storm(&loud, "/admin/devices?limit=1").await;
    let away = sent_away(&answers);
    let served = with_status(&answers, 200);
    assert!(
        away > 0 && served >= 5 && served + away == answers.len(),
        "{served} and {away}"
    );
    // From the same address.
    quiet.read("/admin/devices").await;
    assert_refused!(world.anonymous().get("/admin/devices"), UNAUTHENTICATED);
}
