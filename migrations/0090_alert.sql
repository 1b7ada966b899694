-- An alert is about a box, or about something else: a merchant, a terminal, a partner, the platform.
-- No foreign keys: an alert is written last in a transaction, and must not wait for the lock of another row.
ALTER TABLE alerts
    DROP CONSTRAINT alerts_device,
    DROP CONSTRAINT alerts_kind_known,
    ALTER COLUMN device_id DROP NOT NULL,
    -- As the API writes it: an id with its prefix, `partner:NAME` or `platform`.
    ADD COLUMN subject      text,
    -- The UUID of the subject, when it has one.
    ADD COLUMN subject_id   uuid,
    -- Whose it is, when it is a merchant's. A box's merchant is that of its binding.
    ADD COLUMN merchant_id  uuid;
UPDATE alerts SET subject = 'sbx_' || replace(device_id::text, '-', ''), subject_id = device_id;
ALTER TABLE alerts
    ALTER COLUMN subject SET NOT NULL,
    ADD CONSTRAINT alerts_kind_known CHECK (kind IN
        ('offline', 'unheard_payment', 'certificate_expiring', 'battery_low', 'flapping', 'unannounced_payment',
         'unmatched_payment', 'incident', 'undeliverable_message', 'failed_item', 'payout_held',
         'server_certificate_expiring', 'rejected_callback'));
DROP INDEX alerts_one_open;
CREATE UNIQUE INDEX alerts_one_open ON alerts (subject, kind) WHERE closed_at IS NULL;
-- What closes alerts looks at the open ones alone.
CREATE INDEX alerts_open_of_device ON alerts (device_id, kind) WHERE closed_at IS NULL;
