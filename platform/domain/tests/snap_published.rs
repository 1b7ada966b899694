//! Published SNAP BI examples, byte for byte. Each test is named after where it is published.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::snap::minify::minify;
use domain::snap::signature::{ClientSecret, Form, PublicKey, Signed, verify_token_request};

/// The public half of the example key in github.com/Midtrans/SNAP-BI-Signature-Demo (and in
/// docs.midtrans.com/reference/signature-generation-payouts).
const MIDTRANS_KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlWbtlh3eM+bW3n5AFj42wddC4L7tQqbLiCFbTv8K67yng9iwK5mEn+UMXiRhvB2JVWFafCPPxFamsiVG3MjneGjC0BYgmpmw4qXnAnyO3nCdCuPtmZ3ljhKvSTPdWZxrcLi1Xa9V/+Pzb8hrjb5iwMn6SZFNeMmZYgFKiSeueo6TPln2PoTqXCzs1HtsM8eUVe8GAsjJe/3dYl992nyXOpG21GgNu8o5T3WOptPg6GdDTWkTWUu483yRbVVy04Pz4L8DDZTDv+WcsAViDn1rA/jB1Auj/UGKx2ovGcBH/a/hor5TbABbODU6cPTHT54K3sSZtvZNV4eFDB1f/4wdfwIDAQAB";

fn midtrans_key() -> PublicKey {
    PublicKey::from_der(&STANDARD.decode(MIDTRANS_KEY).expect("it is base64"))
}

/// `sample-code/symmetricSignature/xSignatureGenerationNode.js`, whose body is laid out over many lines.
#[test]
fn midtrans_snap_bi_signature_demo_symmetric_qr_mpm_generate() {
    let body = br#"{
  "partnerReferenceNo": "2020102900000000000001",
  "amount": {
    "value": "12345678.00",
    "currency": "IDR"
  },
  "feeAmount": {
    "value": "12345678.00",
    "currency": "IDR"
  },
  "merchantId": "00007100010926",
  "terminalId": "213141251124",
  "validityPeriod": "2009-07-03T12:08:56-07:00"
}"#;
    let request = Signed {
        method: "POST",
        path: "/v1.0/qr/qr-mpm-generate",
        body,
        timestamp: "2024-03-05T10:37:16.196Z",
    };
    let published =
        "wmzT7yjg1SxxCsxNsFgCR9SYXiZGGbceF6fV8xe97sAMHxZ+7OEBMIBmvb6Sj6GcksGp3iv77DiomgSbcST3XQ==";
    let secret = ClientSecret::new(b"myclientsecret");
    assert_eq!(
        request.sign_symmetric(&secret, Some("myaccesstoken"), Form::default()),
        published
    );
    assert_eq!(
        request.verify_symmetric(
            &[secret],
            Some("myaccesstoken"),
            Some(published),
            domain::snap::signature::Form::default()
        ),
        Ok(())
    );
}

/// `asymmetricSignatureNotificationVerification/index.html`: a notification of a real shape.
#[test]
fn midtrans_snap_bi_signature_demo_asymmetric_notification() {
    let body = br#"{"originalPartnerReferenceNo":"GP24043015193402809","originalReferenceNo":"A120240430081940S9vu8gSjaRID","merchantId":"G099333790","amount":{"value":"102800.00","currency":"IDR"},"latestTransactionStatus":"00","transactionStatusDesc":"SUCCESS","additionalInfo":{"refundHistory":[]}}"#;
    let published = "RoJnP2tH/YiOhHM/lMVBMSAuzRmS8VrWdIy04Qqyb56daV7oWFMFoMMzqnjQ+q0MIUalYgU094GWQnCx2c29xb1kkqHhv2+iJ9xl6NjGmFGYqyvcKvUDAV83Y1Mw9JnsEcjcupdGw9/MRv/mm2GMrQ+BCZGfc4a46JDyPZbcY294vDGqs5rFBN6iYer5ro4cAQGo9hET2G82Y+j50vCyO/79GFE4vB1rvtu6PK2Bxi+vTYV8k7P7PS8tOPWM2O+kjiVWjwvLR99Botou+a8sxlQqZaihfWMKcByzV+Lgkr9cptpjys+1NIRWT1ad/sJBSLHyldzC3q2oRn5z5oZmyg==";
    let verify = |body: &[u8], keys: &[PublicKey]| {
        let signed = Signed {
            method: "POST",
            path: "/v1.0/debit/notify",
            body,
            timestamp: "2024-05-02T14:43:08+07:00",
        };
        signed
            .verify_asymmetric(
                keys,
                Some(published),
                domain::snap::signature::Form::default(),
            )
            .is_ok()
    };
    assert!(verify(body, &[midtrans_key()]));
    assert!(!verify(body, &[]));
    for position in 0..body.len() {
        let mut changed = body.to_vec();
        changed[position] ^= 1;
        assert!(!verify(&changed, &[midtrans_key()]), "byte {position}");
    }
}

/// `sample-code/b2b-access-token/xSignatureGenerationNode.js`.
#[test]
fn midtrans_snap_bi_signature_demo_b2b_access_token() {
    let published = "WzW49tYIgKIBmBi/gVBHGLAkhEaZlXM11zcZxAiyHji6TLPjPbwLu3Z45it25AIeG0XDItcdTSkds47zFEMh6IP0PXPIP1+Ey4RmX/o2fuYRF/xBHvfvKnMmANMTS1axsXBSW3EHqYpbVrkCcqNnB3u+wu63us9WIhRZaWgxgQ2PJLaiVHIwgu9u7jxkWX7Bg4rerZH3RKdQfIJAAJsSN13efR7VdSAyzU7QaKjgislxrLqmesYNJkbD03XLjHdo6YWuzAVV7xdZRpLiGkIAkW7luXTBZYBO+4oENZAPQYzrLeN1qRY1Sr7BgLONCA2QA26BB6SYW4R7qofS9+RyOQ==";
    let verify = |client: &str, timestamp: &str| {
        verify_token_request(&[midtrans_key()], client, timestamp, Some(published)).is_ok()
    };
    assert!(verify("G1234325-SNAP", "2024-03-01T08:27:49.024Z"));
    assert!(!verify("G1234326-SNAP", "2024-03-01T08:27:49.024Z"));
    assert!(!verify("G1234325-SNAP", "2024-03-01T08:27:49.025Z"));
}

/// apidocs-vsnap.netzme.id, "SNAP Asymmetric Signature": the body before and after, and its hash.
#[test]
fn netzme_vsnap_minified_body_and_its_hash() {
    let before = br#"{ "partnerReferenceNo":"2020102900000000000001", "balanceTypes":["BALANCE"], "additionalInfo":{ "accessToken" : "fa8sjjEj813Y9JGoqwOeOPWbnt4CUpvIJbU1mMU4a11MNDZ7Sg5u9a" } }"#;
    let after = br#"{"partnerReferenceNo":"2020102900000000000001","balanceTypes":["BALANCE"],"additionalInfo":{"accessToken":"fa8sjjEj813Y9JGoqwOeOPWbnt4CUpvIJbU1mMU4a11MNDZ7Sg5u9a"}}"#;
    assert_eq!(minify(before), after);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &minify(before));
    assert_eq!(
        hex::encode(hash),
        "e9295c3253c05560273ff305d9eea6abf77fff65229bf90b1781383c09c29d98"
    );
}
