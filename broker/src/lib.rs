//! The MQTT edge: mTLS, sessions and access rules in front of an embedded rumqttd router.
