//! The pages of money, by plain HTTP: ledger, payouts, reconciliation, and what a second person confirms.

use tests::acquirer::OURS;
use tests::pages::{Pages, person};
use tests::payout_partner::Behaviour;
use tests::prelude::*;

#[tokio::test]
async fn the_ledger_shows_balances_and_lines_and_the_way_to_what_they_are_about() {
    let (world, shop, device) = fixture::device().await;
    let other = Shop::open(&world, "Kopi Fajar", 1).await;
    let foreign = Credentials::at(&world, other.terminal().id).await;
    let id = device.sell(&world, 100_000).await;
    foreign.sell(&world, 7_000).await;
    let pages = Pages::of(&world, Role::Finance, None).await;
    let html = pages.get("/console/ledger").await.html;
    // 0.7 % of each, in whole rupiah.
    for text in [
        "debits = credits",
        "Rp107.000",
        "Rp99.300",
        "Warung Sari",
        "Kopi Fajar",
        "platform ledger verify",
    ] {
        assert!(html.contains(text), "{text}: {html}");
    }
    assert!(html.contains(&format!("href=\"/console/payments/{id}\"")));
    let own = format!("/console/ledger?merchant_id={}", shop.merchant_id);
    let html = pages.get(&own).await.html;
    assert!(
        html.contains("Rp100.000") && !html.contains("Kopi Fajar"),
        "{html}"
    );
    let one = pages.get(&format!("{own}&account=mdr")).await.html;
    assert!(
        one.contains("Rp700") && !one.contains("Rp99.300</td><td><a"),
        "{one}"
    );
    let file = pages.get("/console/ledger.csv?account=mdr").await;
    assert!(file.header("content-disposition").contains("ledger.csv"));
    assert_eq!(file.html.lines().count(), 3, "{}", file.html);
    assert!(
        file.html.lines().nth(1).unwrap().contains(",mdr,0,"),
        "{}",
        file.html
    );
    // What is wrong is told beside the filters, which stay.
    let wrong = pages.get("/console/ledger?merchant_id=m_1&kind=sale").await;
    assert_eq!(wrong.status, 200);
    assert!(
        wrong.html.contains("merchant_id: expected an id"),
        "{}",
        wrong.html
    );
    assert!(wrong.html.contains("value=\"m_1\"") && wrong.html.contains("role=\"alert\""));
    let empty = pages
        .get("/console/ledger?from=2020-01-01&to=2020-01-02")
        .await;
    assert!(empty.html.contains("Nothing matches these filters"));
}

#[tokio::test]
async fn what_now_counts_of_payouts_is_what_its_link_shows() {
    let payouts = Payouts::open(Behaviour::Refuses).await;
    payouts.sell(&[50_000]).await;
    let failed = payouts.run().await;
    payouts.becomes(&failed, "failed").await;
    payouts.partner.set_behaviour(Behaviour::Pays);
    payouts.sell(&[20_000]).await;
    let paid = payouts.run().await;
    payouts.becomes(&paid, "paid").await;
    let pages = Pages::of(&payouts.world, Role::Finance, None).await;
    let now = pages.get("/console/").await.html;
    let link = "/console/payouts?which=unresolved";
    assert!(
        now.contains(&format!("<a href=\"{link}\"><strong>1</strong>")),
        "{now}"
    );
    let waiting = pages.get(link).await.html;
    assert!(
        waiting.contains(&failed) && !waiting.contains(&paid),
        "{waiting}"
    );
    assert!(
        waiting.contains("Rp49.650") && waiting.contains("Warung Sari"),
        "{waiting}"
    );
    let all = pages.get("/console/payouts").await.html;
    assert!(all.contains(&failed) && all.contains(&paid));
    // Paid out again, its first payout is still one that failed, and nobody has to look.
    let page = format!("/console/settlements/{failed}");
    let retried = pages.press(&page, &format!("{page}/retry"), &[]).await;
    assert_eq!(retried.status, 303, "{}", retried.html);
    payouts.becomes(&failed, "paid").await;
    let waiting = pages.get(link).await.html;
    assert!(
        waiting.contains("Nothing matches these filters"),
        "{waiting}"
    );
    let by_status = pages.get("/console/payouts?status=failed").await.html;
    assert!(by_status.contains(&failed));
    let listed = payouts.finance.list("/admin/payouts?unresolved=true").await;
    assert!(listed.is_empty(), "{listed:?}");
    let listed = payouts.finance.list("/admin/payouts").await;
    assert_eq!(listed.len(), 3);
    assert_fields!(listed[0], { "settlement_id": failed, "attempt": 2, "status": "paid" });
    let file = pages.get("/console/payouts.csv?status=failed").await.html;
    assert_eq!(file.lines().count(), 2, "{file}");
}

#[tokio::test]
async fn a_file_is_compared_by_its_page_and_each_class_can_be_taken_along() {
    let world = World::with(|config| config.reconciliation.bytes_max = 4_000).await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let device = Credentials::at(&world, shop.terminal().id).await;
    let mut references = Vec::new();
    for amount in [10_000, 20_000] {
        let id = device.qr(&world, amount).await.transaction_id;
        let own = reference();
        let paid = success(id, amount, &own, world.clock.now());
        let _ = world.acquirer().send(&paid).await.expect(200);
        references.push(own);
    }
    let pages = Pages::of(&world, Role::Finance, None).await;
    let path = "/console/reconciliations";
    let empty = pages.get(path).await.html;
    assert!(empty.contains("No file was compared yet"), "{empty}");
    let day = domain::wib::format(world.clock.now())[..10].to_owned();
    let day = day.as_str();
    let days = [("partner_id", OURS), ("from", day), ("to", day)];
    let send = async |fields: &[(&str, &str)], file: Option<&[u8]>| {
        pages.upload(path, path, fields, file).await
    };
    // What is wrong is told with its line; what was typed stays, and nothing of the file.
    let wrong = send(&days, Some(b"partner_reference,amount\nr,5\nr2,lima\n")).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.html.contains("line 3: the amount"), "{}", wrong.html);
    assert!(
        wrong
            .html
            .contains(&format!("name=\"from\" value=\"{day}\""))
    );
    for (fields, file, told) in [
        (days, None, "file: choose a file"),
        (
            [days[0], ("from", ""), days[2]],
            Some(b"x".as_slice()),
            "from: choose",
        ),
        (
            [("partner_id", "nobody"), days[1], days[2]],
            Some(b"x".as_slice()),
            "there is no such partner",
        ),
    ] {
        let wrong = send(&fields, file).await;
        assert_eq!(wrong.status, 422);
        assert!(wrong.html.contains(told), "{told}: {}", wrong.html);
    }
    let long = format!("partner_reference,amount\n{}", "r,5\n".repeat(2_000));
    let long = send(&days, Some(long.as_bytes())).await;
    assert_eq!(long.status, 413);
    assert!(long.html.contains("larger than it may be"), "{}", long.html);
    assert_eq!(world.rows("reconciliations").await, 0);
    // A form of another session, or without its secret.
    let form = pages.request(reqwest::Method::POST, path);
    let form = form
        .header("content-type", "multipart/form-data; boundary=b")
        .body("--b--\r\n");
    assert_eq!(form.send().await.unwrap().status().as_u16(), 403);

    let file = format!(
        "partner_reference,amount\n{},10000\n{},20001\nlain,5000\n",
        references[0], references[1]
    );
    let done = send(&days, Some(file.as_bytes())).await;
    assert_eq!(done.status, 303, "{}", done.html);
    let page = done.location.unwrap();
    let html = pages.get(&page).await.html;
    for text in [
        "matched",
        "amount differs",
        "only theirs",
        "only ours",
        "lain",
        "Rp20.001",
    ] {
        assert!(html.contains(text), "{text}: {html}");
    }
    let differs = pages
        .get(&format!("{page}?class=amount_differs"))
        .await
        .html;
    assert!(
        differs.contains("Rp20.001") && !differs.contains("lain"),
        "{differs}"
    );
    let csv = pages
        .get(&format!("{page}/lines.csv?class=theirs_only"))
        .await;
    assert_eq!(csv.header("content-type"), "text/csv");
    assert_eq!(csv.html.lines().count(), 2, "{}", csv.html);
    assert!(csv.html.contains("theirs_only,lain,5000"), "{}", csv.html);
    let none = pages.get(&format!("{page}?class=ours_only")).await.html;
    assert!(none.contains("No line has this class"), "{none}");
    let listed = pages.get(path).await.html;
    assert!(
        listed.contains(&format!("{page}?class=amount_differs")),
        "{listed}"
    );
    // Who may only look has no form.
    let support = Pages::of(&world, Role::Support, None).await;
    let seen = support.get(path).await.html;
    assert!(
        !seen.contains("type=\"file\"") && seen.contains(&page),
        "{seen}"
    );
}

#[tokio::test]
async fn a_proposal_is_seen_beside_what_is_there_now() {
    let Payouts {
        world,
        partner: _partner,
        shop,
        ..
    } = Payouts::with(Behaviour::Accepts, PayoutPartner::configure_two_people).await;
    let maker = world.person(Role::Admin).await;
    let merchant = format!("/admin/merchants/{}", shop.merchant_id);
    let change = json!({ "payout_account_reference": "bank:555", "payout_mode": "manual" });
    let proposal = maker.patch(&merchant, &change).await.expect(202).data();
    let page = format!("/console/approvals/{}", text(&proposal, "id"));
    let finance = Pages::of(&world, Role::Finance, None).await;
    let html = finance.get(&page).await.html;
    // Changed: what is there now is beside what is asked for. The brand says whose it is, and stays.
    for (field, now, asked) in [
        (
            "payout account reference",
            "<span class=\"quiet\">–</span>",
            "bank:555",
        ),
        ("payout mode", "merchant_direct", "manual"),
    ] {
        let row = format!(
            "<tr class=\"changed\"><th scope=\"row\">{field}</th><td>{now}</td><td>{asked}</td></tr>"
        );
        assert!(html.contains(&row), "{row}: {html}");
    }
    assert!(
        html.contains("Warung Sari") && html.contains("stays"),
        "{html}"
    );
    // The same by the API; who may neither confirm nor see merchants is shown what is asked for alone.
    let api = format!("/admin/approvals/{}", text(&proposal, "id"));
    let compared = maker.read(&api).await;
    assert_eq!(compared["now"]["payout_mode"], "merchant_direct");
    assert_eq!(compared["asked"], change);
    let token = json!({ "name": "settling", "role": "finance" });
    let token = maker.post("/admin/tokens", &token).await.expect(202).data();
    let token = format!("/admin/approvals/{}", text(&token, "id"));
    assert_eq!(maker.read(&token).await["asked"]["role"], "finance");
    let rates = json!({ "rules": [{ "basis_points": 10 }] });
    let versions = "/admin/fee-profiles/fee_basic/versions";
    let rates = maker.post(versions, &rates).await.expect(202).data();
    let rates = format!("/console/approvals/{}", text(&rates, "id"));
    let ops = Pages::of(&world, Role::Ops, None).await;
    let seen = ops.get(&rates).await.html;
    assert!(
        seen.contains("rules · 1 · basis points") && !seen.contains("rules · 2"),
        "{seen}"
    );
    let seen = finance.get(&rates).await.html;
    assert!(seen.contains("rules · 2"), "{seen}");
    // Every other kind has its page too.
    let user = json!({ "email": "ani@example.id", "role": "support" });
    let user = maker.post("/admin/users", &user).await.expect(202).data();
    let email = person(&world, Role::Ops, None).await;
    let users = maker.list(&format!("/admin/users?email={email}")).await;
    let path = format!("/admin/users/{}", text(&users[0], "id"));
    let role = json!({ "role": "finance" });
    let role = maker.patch(&path, &role).await.expect(202).data();
    let reset = format!("{path}/reset");
    let reset = maker.post(&reset, &json!({})).await.expect(202).data();
    for (proposal, texts) in [
        (user, ["ani@example.id", "support", "new user"]),
        (
            role,
            ["<td>ops</td><td>finance</td>", "stays", "change of a user"],
        ),
        (
            reset,
            [
                "<td>true</td><td>false</td>",
                "has password",
                "password reset",
            ],
        ),
    ] {
        let page = format!("/console/approvals/{}", text(&proposal, "id"));
        let html = finance.get(&page).await.html;
        for text in texts {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(!html.contains("first half"), "{html}");
    }
}
