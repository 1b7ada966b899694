//! Signed envelopes: whom they are for, and who may open them.

use serde_json::{Value, json};
use uuid::Uuid;
use wire::{Channel, DeviceId, Encoding, OpenError, Signer, VerifyingKeys};

use crate::{device, signer, time_message, with};

#[test]
fn an_envelope_is_for_one_box_one_topic_and_one_key() {
    for encoding in [Encoding::Json, Encoding::Msgpack] {
        let sealed = signer().seal(&time_message(), device(), encoding).unwrap();
        let keys = signer().verifying_keys();
        assert_eq!(
            keys.open(device(), Channel::Time, &sealed).unwrap(),
            time_message()
        );

        let other = DeviceId::from_uuid(Uuid::from_u128(1));
        assert!(matches!(
            keys.open(other, Channel::Time, &sealed),
            Err(OpenError::OtherDevice)
        ));
        assert!(matches!(
            keys.open(device(), Channel::Command, &sealed),
            Err(OpenError::WrongMessageType {
                expected: "command"
            })
        ));
        assert!(matches!(
            keys.open(device(), Channel::Status, &sealed),
            Err(OpenError::NotADownlink)
        ));

        let other_key = Signer::from_seed("k2", &[7; 32]).unwrap().verifying_keys();
        assert!(matches!(
            other_key.open(device(), Channel::Time, &sealed),
            Err(OpenError::UnknownKey)
        ));
        let same_id = Signer::from_seed("k1", &[8; 32]).unwrap().verifying_keys();
        assert!(matches!(
            same_id.open(device(), Channel::Time, &sealed),
            Err(OpenError::WrongSignature)
        ));
        assert!(matches!(
            VerifyingKeys::default().open(device(), Channel::Time, &sealed),
            Err(OpenError::UnknownKey)
        ));
    }
}

#[test]
fn an_envelope_moved_to_another_box_or_topic_does_not_verify() {
    let sealed = signer()
        .seal(&time_message(), device(), Encoding::Json)
        .unwrap();
    let keys = signer().verifying_keys();
    let other = DeviceId::from_uuid(Uuid::from_u128(1));
    let envelope: Value = serde_json::from_slice(&sealed).unwrap();
    let moved = with(envelope.clone(), "device_id", json!(other.to_string())).to_string();
    assert!(matches!(
        keys.open(other, Channel::Time, moved.as_bytes()),
        Err(OpenError::WrongSignature)
    ));
    let moved = with(envelope, "message_type", json!("command")).to_string();
    assert!(matches!(
        keys.open(device(), Channel::Command, moved.as_bytes()),
        Err(OpenError::WrongSignature)
    ));
}

#[test]
fn an_unsigned_message_is_not_an_envelope() {
    for encoding in [Encoding::Json, Encoding::Msgpack] {
        let body = time_message().encode_body(encoding).unwrap();
        let opened = signer()
            .verifying_keys()
            .open(device(), Channel::Time, &body);
        assert!(matches!(opened, Err(OpenError::Malformed(_))), "{opened:?}");
    }
}

#[test]
fn keys_are_read_and_written_by_name() {
    let keys = signer().verifying_keys();
    let text = serde_json::to_string(&keys).unwrap();
    assert_eq!(serde_json::from_str::<VerifyingKeys>(&text).unwrap(), keys);
    for text in [
        r#"{"k":"AAAA"}"#,
        r#"{"k":"!"}"#,
        r#"{"":"A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="}"#,
        "[]",
    ] {
        assert!(
            serde_json::from_str::<VerifyingKeys>(text).is_err(),
            "{text}"
        );
    }
}
