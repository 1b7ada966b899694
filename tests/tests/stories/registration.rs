//! A merchant's ids at the acquirer: given by the acquirer, and generated in a demonstration only.

use tests::prelude::*;

#[tokio::test]
async fn a_merchant_is_approved_with_the_acquirers_numbers_and_only_a_demonstration_invents_them() {
    for named in ["ours", "local"] {
        let world = World::with(|config| {
            config.demo.enabled = false;
            if named == "local" {
                config.qris_partners.clear();
                config.payments.qr_partner.clear();
            }
        })
        .await;
        let admin = world.admin();
        let merchant = json!({ "legal_name": "PT Sari", "brand_name": "Warung Sari" });
        let created = admin.create("/admin/merchants", &merchant).await;
        let path = format!("/admin/merchants/{}", text(&created, "id"));
        let approve = format!("{path}/approve");
        let refused = |answer: Answer| {
            answer.refused(VALIDATION_FAILED);
            let fields = answer.json()["details"]["fields"].take();
            texts(fields.as_array().unwrap(), "field")
        };
        let missing = refused(admin.post(&approve, &json!({})).await);
        assert_eq!(missing, ["nmid", "merchant_pan"], "{named}");
        let kept = admin.read(&path).await;
        assert_eq!(kept["status"], created["status"], "{named}");
        assert!(kept["nmid"].is_null() && kept["merchant_pan"].is_null());

        let nmid = json!({ "nmid": "ID1020304050607" });
        admin.change(&path, &nmid).await;
        let missing = refused(admin.post(&approve, &json!({})).await);
        assert_eq!(missing, ["merchant_pan"], "{named}");
        let pan = json!({ "merchant_pan": "936000000000000001" });
        admin.change(&path, &pan).await;
        let approved = admin.act(&approve, &json!({})).await;
        assert_fields!(approved, { "nmid": "ID1020304050607", "merchant_pan": "936000000000000001" });
    }
}
