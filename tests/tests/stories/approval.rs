//! Changes of money need two people where that is configured.

use tests::payout_partner::Behaviour;
use tests::prelude::*;

use tests::ledger::must_verify;

use crate::view::confirm;

#[tokio::test]
async fn changes_of_money_need_two_people_where_that_is_the_rule() {
    let Payouts {
        world,
        partner: _partner,
        shop,
        device,
        ..
    } = Payouts::with(Behaviour::Accepts, PayoutPartner::configure_two_people).await;
    let maker = world.person(Role::Admin).await;
    let checker = world.person(Role::Finance).await;
    let merchant = format!("/admin/merchants/{}", shop.merchant_id);
    let account = json!({ "payout_account_reference": "bank:555" });
    let read = async |path: &str| maker.read(path).await;

    // A program may not propose; an invalid change is refused at once; a change without money is done at once.
    assert_refused!(world.admin().patch(&merchant, &account), FORBIDDEN);
    maker
        .patch(&merchant, &json!({ "payout_mode": "cash" }))
        .await
        .refused(VALIDATION_FAILED);
    maker.change(&merchant, &json!({ "city": "BANDUNG" })).await;

    let proposal = maker.patch(&merchant, &account).await.expect(202).data();
    assert_fields!(proposal, { "status": "pending", "kind": "merchant.patch" });
    let account_now = async || read(&merchant).await["payout_account_reference"].clone();
    assert_eq!(account_now().await, Value::Null);
    for alone in [&maker, &world.staff(Role::Finance).await] {
        confirm(alone, &proposal).await.refused(FORBIDDEN);
    }
    let waiting = read("/admin/approvals?status=pending").await;
    assert_eq!(waiting.as_array().unwrap().len(), 1);
    let approved = confirm(&checker, &proposal).await.expect(200).data();
    assert_ne!(approved["decided_by"], approved["requested_by"]);
    assert_eq!(account_now().await, "bank:555");
    confirm(&checker, &proposal).await.refused(INVALID_STATE);

    // Rejected: nothing changes.
    let rates = json!({ "rules": [{ "basis_points": 0 }] });
    let versions = "/admin/fee-profiles/fee_basic/versions";
    let proposal = checker.post(versions, &rates).await.expect(202).data();
    let reject = format!("/admin/approvals/{}/reject", text(&proposal, "id"));
    maker.act(&reject, &json!({ "reason": "no" })).await;
    let basic = read("/admin/fee-profiles/fee_basic").await;
    assert_eq!(basic["versions"].as_array().unwrap().len(), 1);

    // A payout by hand is paid when the second person confirms.
    let manual = json!({ "payout_mode": "manual" });
    let manual = maker.patch(&merchant, &manual).await.expect(202).data();
    let _ = confirm(&checker, &manual).await.expect(200);
    device.sell(&world, 10_000).await;
    world.later(1);
    let settlement = format!("/admin/settlements/{}", settle(&checker).await);
    let mark = json!({ "bank_reference": "TRX-1" });
    let path = format!("{settlement}/mark-paid");
    let proposal = checker.post(&path, &mark).await.expect(202).data();
    assert_eq!(read(&settlement).await["status"], "pending");
    let _ = confirm(&maker, &proposal).await.expect(200);
    assert_eq!(read(&settlement).await["status"], "paid");
    must_verify(&world).await;
}
