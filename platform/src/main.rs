//! The QRIS soundbox platform service: HTTP API, MQTT bridge, payments, background jobs.

fn main() {}
