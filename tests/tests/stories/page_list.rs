//! Lists of the pages: searched, filtered by the URL, read page by page, taken away as files.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use tests::pages::{Pages, Shown};
use tests::prelude::*;

/// Where a link of this kind leads, if the page has one.
fn link(page: &Shown, rel: &str) -> Option<String> {
    let (before, _) = page.html.split_once(&format!("rel=\"{rel}\""))?;
    let (_, href) = before.rsplit_once("href=\"")?;
    Some(href.split('"').next()?.replace("&amp;", "&"))
}

/// The boxes that a page shows.
fn serials(page: &Shown) -> BTreeSet<String> {
    let links = page.html.split("href=\"/console/devices/sbx_").skip(1);
    let names = links.map(|link| link.split(['>', '<']).nth(1).unwrap().to_owned());
    names.collect()
}

#[tokio::test]
async fn a_list_is_searched_and_read_to_its_end_and_taken_away_as_a_file() {
    let world = World::new().await;
    let mut file = "serial_number,model,capabilities,tags\n".to_owned();
    for number in 0..120 {
        writeln!(file, "L-{number:03},SB-1,speaker,pilot").unwrap();
    }
    file += "OTHER-1,SB-2,speaker,\n";
    let import = world
        .admin()
        .post_csv("/admin/devices/import", &[], &file)
        .await;
    let _ = import.expect(201);
    let ops = Pages::of(&world, Role::Ops, None).await;
    let mut page = ops.get("/console/devices?tag=pilot&q=l-").await;
    let mut seen = serials(&page);
    assert_eq!(seen.len(), 50);
    assert_eq!(link(&page, "first"), None);
    while let Some(next) = link(&page, "next") {
        assert!(
            next.contains("tag=pilot") && next.contains("q=l-"),
            "{next}"
        );
        page = ops.get(&next).await;
        assert!(page.html.len() < 100 * 1024, "{}", page.html.len());
        seen.extend(serials(&page));
    }
    assert_eq!(seen.len(), 120);
    let first = link(&page, "first").unwrap();
    assert_eq!(serials(&ops.get(&first).await).len(), 50);
    // The link to the file has the same filters.
    let (_, rest) = page
        .html
        .split_once("href=\"/console/devices.csv?")
        .unwrap();
    let query = rest.split('"').next().unwrap().replace("&amp;", "&");
    let file = ops.get(&format!("/console/devices.csv?{query}")).await;
    assert_eq!(file.header("content-type"), "text/csv");
    assert_eq!(file.html.lines().count(), 121);
    assert!(!file.html.contains("OTHER-1"));
    // Days are those of Jakarta; what was registered today is not of yesterday.
    let today = world.clock.now() + chrono::TimeDelta::hours(7);
    let (today, yesterday) = (today.date_naive(), today.date_naive().pred_opt().unwrap());
    let found = serials(
        &ops.get(&format!("/console/devices?from={today}&to={today}"))
            .await,
    );
    assert_eq!(found.len(), 50);
    let none = ops.get(&format!("/console/devices?to={yesterday}")).await;
    assert!(serials(&none).is_empty());
    assert!(none.html.contains("Nothing matches these filters."));
}

#[tokio::test]
async fn wrong_filters_are_told_beside_what_was_typed() {
    let (world, _) = fixture::shop().await;
    let admin = Pages::of(&world, Role::Admin, None).await;
    for (path, kept, complaint) in [
        (
            "/console/devices?merchant_id=shop&q=keep-me",
            "keep-me",
            "merchant_id",
        ),
        (
            "/console/payments?from=2026-11-27&to=2026-11-26",
            "2026-11-27",
            "from",
        ),
        (
            "/console/merchants?status=happy&q=keep-me",
            "keep-me",
            "status",
        ),
        ("/console/alerts?kind=happy&q=keep-me", "keep-me", "kind"),
        (
            "/console/settlements?status=happy&q=keep-me",
            "keep-me",
            "status",
        ),
        ("/console/approvals?kind=happy&q=keep-me", "keep-me", "kind"),
        (
            "/console/unmatched?status=happy&q=keep-me",
            "keep-me",
            "status",
        ),
        (
            "/console/devices?after=nowhere&q=keep-me",
            "keep-me",
            "after",
        ),
    ] {
        let page = admin.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(
            page.html.contains(&format!("value=\"{kept}\"")),
            "{path}: {}",
            page.html
        );
        let (_, alert) = page.html.split_once("role=\"alert\"").unwrap();
        let said = alert.split("</p>").next().unwrap();
        assert!(said.contains(&format!("{complaint}: ")), "{path}: {said}");
        let file = path.replacen('?', ".csv?", 1);
        if !path.contains("after=") {
            assert_eq!(admin.get(&file).await.status, 422, "{file}");
        }
    }
}

#[tokio::test]
async fn merchants_are_found_by_a_part_of_their_names_and_no_formula_is_in_their_file() {
    let (world, shop) = fixture::shop().await;
    let hostile = "=HYPERLINK(\"http://evil.example\")<b>";
    let _ = Shop::open(&world, hostile, 1).await;
    let ops = Pages::of(&world, Role::Ops, None).await;
    for (q, finds) in [
        ("rung%20sa", vec!["Warung Sari"]),
        ("PT%20WARUNG", vec!["Warung Sari"]),
        (shop.nmid.as_str(), vec!["Warung Sari"]),
        (&shop.merchant_id.to_string(), vec!["Warung Sari"]),
        ("evil", vec!["HYPERLINK"]),
        ("%25", vec![]),
    ] {
        let page = ops.get(&format!("/console/merchants?q={q}")).await.html;
        for name in ["Warung Sari", "HYPERLINK"] {
            let rows = page.split("<tbody>").nth(1).unwrap_or_default();
            assert_eq!(rows.contains(name), finds.contains(&name), "{q}: {page}");
        }
        assert!(!page.contains("<b>"), "{page}");
    }
    for file in [
        ops.get("/console/merchants.csv?q=evil").await.html,
        String::from_utf8(
            world
                .admin()
                .get("/admin/merchants.csv?q=evil")
                .await
                .expect(200)
                .body
                .to_vec(),
        )
        .unwrap(),
    ] {
        assert!(file.contains("\"'=HYPERLINK(\"\"http://evil"), "{file}");
        assert_eq!(file.lines().count(), 2, "{file}");
    }
}

#[tokio::test]
async fn what_is_looked_for_by_its_id_is_shown_at_once() {
    let (world, _, device) = fixture::device().await;
    let sold = device.sell(&world, 10_000).await;
    let id = settle(&world.admin()).await;
    let finance = Pages::of(&world, Role::Finance, None).await;
    let found = finance
        .get(&format!("/console/payments?reference={sold}"))
        .await;
    assert_eq!(found.location, Some(format!("/console/payments/{sold}")));
    let found = finance.get(&format!("/console/settlements?q={id}")).await;
    assert_eq!(found.location, Some(format!("/console/settlements/{id}")));
    let file = finance.get("/console/settlements.csv").await.html;
    assert!(file.contains(&id) && file.contains(",10000,"), "{file}");
}
