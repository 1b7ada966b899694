//! The pages of acquirers, by plain HTTP: how it goes with each, their messages, and incidents.

use tests::acquirer::{ANOTHER, OURS};
use tests::pages::Pages;
use tests::prelude::*;

#[tokio::test]
async fn an_incident_shows_its_message_and_is_closed_with_what_was_found_out() {
    let (world, _, device) = fixture::device().await;
    let id = device.sell(&world, 50_000).await;
    let wrong = success(id, 50_001, &reference(), world.clock.now());
    let _ = world.acquirer().send(&wrong).await.expect(409);
    let incidents = world.admin().list("/admin/incidents").await;
    let incident = text(&incidents[0], "id");
    let api = format!("/admin/incidents/{incident}");
    assert_eq!(world.admin().read(&api).await, incidents[0]);
    let pages = Pages::of(&world, Role::Finance, None).await;
    let listed = pages.get("/console/incidents?state=open").await.html;
    let page = format!("/console/incidents/{incident}");
    assert!(listed.contains(&page) && listed.contains(OURS), "{listed}");
    let html = pages.get(&page).await.html;
    for text in [
        "50001",
        "partner_reference",
        "verified before anything was read",
        &format!("/console/payments/{id}"),
        &format!("/console/partners/{OURS}"),
        "/body.bin\"",
    ] {
        assert!(html.contains(text), "{text}: {html}");
    }
    // Too long: what was typed is kept.
    let close = format!("{page}/resolve");
    let long = "x".repeat(501);
    let refused = pages.press(&page, &close, &[("resolution", &long)]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.html.contains(&long) && refused.html.contains("resolution:"));
    let empty = pages.press(&page, &close, &[("resolution", "  ")]).await;
    assert_eq!(empty.status, 422);
    let found = [("resolution", "they sent it <twice>")];
    let closed = pages.press(&page, &close, &found).await;
    assert_eq!(closed.location.as_deref(), Some(page.as_str()));
    let html = pages.get(&page).await.html;
    assert!(
        html.contains("they sent it &lt;twice&gt;") && !html.contains("textarea"),
        "{html}"
    );
    let open = pages.get("/console/incidents?state=open").await.html;
    assert!(!open.contains(&page));
    let file = pages.get("/console/incidents.csv?state=closed").await.html;
    assert!(file.contains("they sent it <twice>"), "{file}");
    // Support reads, and closes nothing.
    let support = Pages::of(&world, Role::Support, None).await;
    let csrf = support.get("/console/incidents").await.csrf();
    let fields = [("csrf", csrf.as_str()), found[0]];
    assert_eq!(support.post(&close, &fields).await.status, 403);
    assert_eq!(pages.get("/console/incidents/inc_1").await.status, 404);
}

#[tokio::test]
async fn a_partner_shows_what_it_sent_and_what_was_refused_with_its_bytes() {
    let (world, _, device) = fixture::device().await;
    device.sell(&world, 50_000).await;
    let forged = world.acquirer().sign(b"{ not json <b>", world.clock.now());
    let forged = tests::acquirer::SignedRequest {
        signature: "00".repeat(32),
        ..forged
    };
    world
        .acquirer()
        .post(&forged)
        .await
        .refused(INVALID_SIGNATURE);
    let pages = Pages::of(&world, Role::Support, None).await;
    let listed = pages.get("/console/partners").await.html;
    for text in [OURS, ANOTHER, "accepted", "none in 24 hours"] {
        assert!(listed.contains(text), "{text}: {listed}");
    }
    for (asked, is_there) in [("", true), ("?q=ACME", true), ("?q=nobody", false)] {
        let list = pages.get(&format!("/console/partners{asked}")).await.html;
        let row = format!("href=\"/console/partners/{OURS}\"");
        assert_eq!(list.contains(&row), is_there, "{asked}");
        let file = pages
            .get(&format!("/console/partners.csv{asked}"))
            .await
            .html;
        assert_eq!(
            file.lines().any(|line| line.starts_with(OURS)),
            is_there,
            "{file}"
        );
    }
    let page = pages.get(&format!("/console/partners/{OURS}")).await.html;
    for text in [
        "only claimed",
        "proven",
        "signature",
        "/integrations/qris/callback/acme",
        "/console/callbacks?partner_id=acme",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let rejected = pages.get("/console/callbacks?verdict=rejected").await.html;
    let (_, rest) = rejected.split_once("/console/callbacks/cb_").unwrap();
    let message = format!("/console/callbacks/cb_{}", &rest[..32]);
    let html = pages.get(&message).await.html;
    assert!(html.contains("{ not json &lt;b&gt;"), "{html}");
    assert!(!html.contains(&"00".repeat(32)), "credentials are not kept");
    let raw = pages.get(&format!("{message}/body.bin")).await;
    assert_eq!(raw.html, "{ not json <b>");
    assert_eq!(raw.header("content-type"), "application/octet-stream");
    assert!(raw.header("content-disposition").starts_with("attachment"));
    let file = pages.get("/console/callbacks.csv").await.html;
    assert!(
        file.contains(",accepted,") && file.contains(",rejected,"),
        "{file}"
    );
    assert_eq!(pages.get("/console/partners/nobody").await.status, 404);
    let wrong = pages.get("/console/callbacks?verdict=lost").await;
    assert!(
        wrong.html.contains("verdict: expected one of"),
        "{}",
        wrong.html
    );
}
