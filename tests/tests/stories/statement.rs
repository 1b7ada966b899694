//! A settlement's statement as CSV and as HTML.

use tests::prelude::*;

#[tokio::test]
async fn a_statement_has_every_item_and_only_for_those_it_is_for() {
    let world = World::new().await;
    let shop = Shop::open(&world, "=Warung <Sari>", 1).await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    let sold = [
        device.sell(&world, 100_000).await,
        device.sell(&world, 1_250_000).await,
    ];
    world.later(1);
    let finance = world.staff(Role::Finance).await;
    let id = settle(&finance).await;
    let statement = async |form: &str| {
        let path = format!("/admin/settlements/{id}/statement.{form}");
        finance.get(&path).await.expect(200)
    };
    let csv = statement("csv").await;
    let text = String::from_utf8(csv.body.to_vec()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[1].contains(&sold[0].to_string()), "{text}");
    assert!(lines[1].ends_with(",100000,700,99300"), "{text}");
    let page = statement("html").await;
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    for expected in [
        "Rp1.250.000",
        "Rp1.340.550",
        "=Warung &lt;Sari&gt;",
        "</html>",
        &sold[1].to_string(),
    ] {
        assert!(html.contains(expected), "{expected} is not in {html}");
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    for (shop, status) in [(&shop, 200), (&other, 404)] {
        let owner = world.owner(shop.merchant_id).await;
        for form in ["csv", "html"] {
            let path = format!("/merchant/settlements/{id}/statement.{form}");
            assert_eq!(owner.get(&path).await.status, status, "{path}");
        }
    }
}
