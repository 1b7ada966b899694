-- MQTT without TLS is an alert for as long as it is on.
ALTER TABLE alerts DROP CONSTRAINT alerts_kind_known;
ALTER TABLE alerts ADD CONSTRAINT alerts_kind_known CHECK (kind IN
    ('offline', 'unheard_payment', 'certificate_expiring', 'battery_low', 'flapping', 'unannounced_payment',
     'unmatched_payment', 'incident', 'undeliverable_message', 'failed_item', 'payout_held',
     'server_certificate_expiring', 'rejected_callback', 'plain_mqtt'));
