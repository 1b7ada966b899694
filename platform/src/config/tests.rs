use super::Config;

fn refusal(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, text).unwrap();
    match Config::load(Some(&file)) {
        Ok(_) => panic!("{text} was taken"),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn the_defaults_are_in_order() {
    let _ = Config::load(None).unwrap();
    let _ = Config::demo().unwrap();
}

#[test]
fn what_is_wrong_is_refused_by_its_name() {
    for (text, key) in [
        ("[mqtt]\nspeed = 1", "speed"),
        ("[otel]\nendpoint = \"collector:4318\"", "otel.endpoint"),
        ("[otel]\nendpoint = \"nowhere\"", "otel.endpoint"),
        ("[otel]\nendpoint = \"http://a:b@host\"", "otel.endpoint"),
        ("[otel]\nsample = 1.5", "otel.sample"),
        ("[mqtt]\nlisten = \"here\"", "mqtt.listen"),
        ("[mqtt.vendor]\nlisten = \"here\"", "mqtt.vendor.listen"),
        (
            "[mqtt.vendor]\nplain_listen = \"1883\"",
            "mqtt.vendor.plain_listen",
        ),
        ("[mqtt]\nconnections_max = \"many\"", "mqtt.connections_max"),
        ("[mqtt]\npackets_per_s_max = 199", "mqtt.packets_per_s_max"),
        (
            "[mqtt]\nunauthenticated_max = 1",
            "mqtt.unauthenticated_max",
        ),
        ("[http]\ntls = \"off\"", "http.tls"),
        ("[http]\nlong_polls_max = 1000000", "http.long_polls_max"),
        (
            "[http]\nconnections_per_address_max = 0",
            "http.connections_per_address_max",
        ),
        (
            "[http]\nbody_bytes_in_flight_max = 1000000",
            "http.body_bytes_in_flight_max",
        ),
        ("[pki]\nserver_names = []", "pki.server_names"),
        (
            "[pki]\nserver_key_file = \"key.pem\"",
            "pki.server_key_file",
        ),
        ("[pki]\ncrl_refresh_s = 0", "pki.crl_refresh_s"),
        ("[payments]\namount_max = 0", "payments.amount_max"),
        (
            "[payments]\nclock_skew_max_s = 0",
            "payments.clock_skew_max_s",
        ),
        (
            "[payments]\npaid_at_age_max_h = 0",
            "payments.paid_at_age_max_h",
        ),
        ("[health]\nlook_every_s = 5", "health.check_interval_s"),
        ("[health]\ncheck_interval_s = 0", "health.check_interval_s"),
        (
            "[callbacks]\nrejected_bytes_max = 2049",
            "callbacks.rejected_bytes_max",
        ),
        (
            "[callbacks]\nrejected_per_address_per_minute_max = 0",
            "callbacks.rejected_per_address_per_minute_max",
        ),
        ("[callbacks]\nrejected_days = 0", "callbacks.rejected_days"),
        ("[callbacks]\narchive_days = 0", "callbacks.archive_days"),
        (
            "[devices]\nrejected_uplink_days = 0",
            "devices.rejected_uplink_days",
        ),
        (
            "[devices]\nactivation_failures_per_hour_max = 0",
            "devices.activation_failures_per_hour_max",
        ),
        (
            "[announcements]\ndelayed_after_s = 1000000",
            "announcements.delayed_after_s",
        ),
        (
            "[announcements]\nreserved_words = [\"OVO\"]",
            "announcements.reserved_words",
        ),
        ("[money]\nconfirm_wait_h = 8761", "money.confirm_wait_h"),
        ("[money]\npayout_timeout_ms = 0", "money.payout_wait_min_s"),
        (
            "[database]\nconnections_max = 3",
            "database.connections_max",
        ),
        (
            "[database]\nlist_connections_max = 0",
            "database.list_connections_max",
        ),
        (
            "[database]\nlists_max_lag_s = 0",
            "database.lists_max_lag_s",
        ),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(key), "{text}: {refusal}");
    }
}

#[test]
fn the_node_may_be_named_as_in_earlier_versions() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    for (text, lease_s) in [
        ("node = \"b\"", 6),
        ("[node]\nname = \"b\"\nlease_s = 9", 9),
    ] {
        std::fs::write(&file, text).unwrap();
        let config = Config::load(Some(&file)).unwrap();
        assert_eq!(
            (config.node.name.as_str(), config.node.lease_s),
            ("b", lease_s)
        );
    }
    for (text, key) in [
        ("[node]\nlease_s = 1", "node.lease_s"),
        ("[node]\nname = \"\"", "node.name"),
        (
            "[node]\ndrain_sessions_per_s = 0",
            "node.drain_sessions_per_s",
        ),
    ] {
        assert!(refusal(text).contains(key), "{text}");
    }
}
