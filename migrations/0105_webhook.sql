-- Webhooks: endpoints that are told by HTTP of what happens.
CREATE TABLE webhook_endpoints (
    id               uuid PRIMARY KEY,
    url              text NOT NULL,
    -- What it is told of.
    events           text[] NOT NULL CONSTRAINT webhook_endpoints_events_some CHECK (cardinality(events) > 0),
    -- Whose events; null: everybody's.
    merchant_id      uuid CONSTRAINT webhook_endpoints_merchant REFERENCES merchants (id),
    enabled          boolean NOT NULL,
    -- Why the platform switched it off; null when it is on, or when people did.
    disabled_reason  text,
    -- Since when it is on: a message that waits longer was not tried for so long.
    enabled_at       timestamptz NOT NULL,
    -- Signatures are made with the secret, so it cannot be kept as a hash. Until the time, also with the one before it.
    secret           bytea NOT NULL,
    previous_secret  bytea,
    previous_until   timestamptz,
    -- Failures in a row, and until when nothing is sent because of them.
    failures         int NOT NULL DEFAULT 0,
    paused_until     timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CONSTRAINT webhook_endpoints_previous_ends CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
);
-- The list, newest first.
CREATE INDEX webhook_endpoints_newest ON webhook_endpoints (created_at DESC, id DESC);

-- What happened and endpoints are still to be told of. A trigger writes the row in the transaction of what it tells of, and
-- only while an endpoint wants it; the job that makes deliveries of it deletes it.
CREATE TABLE webhook_events (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event        text NOT NULL,
    -- The transaction, settlement, device or alert.
    subject_id   uuid NOT NULL,
    merchant_id  uuid,
    at           timestamptz NOT NULL,
    details      jsonb NOT NULL DEFAULT '{}'
);

-- Messages: one event for one endpoint, as it was and will be sent.
CREATE TABLE webhook_deliveries (
    id             uuid PRIMARY KEY,
    endpoint_id    uuid NOT NULL CONSTRAINT webhook_deliveries_endpoint
                   REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    -- The order of what happened.
    place          bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    event          text NOT NULL,
    subject_id     uuid NOT NULL,
    body           text NOT NULL,
    status         text NOT NULL CONSTRAINT webhook_deliveries_status_known CHECK (status IN ('pending', 'delivered')),
    -- When it is sent next; null: it was taken, or an earlier one of the same subject comes first.
    due_at         timestamptz,
    attempts       int NOT NULL DEFAULT 0,
    attempted_at   timestamptz,
    -- What the endpoint answered last, or why it did not.
    answer_status  int,
    error          text,
    created_at     timestamptz NOT NULL,
    delivered_at   timestamptz,
    CONSTRAINT webhook_deliveries_over_is_not_due CHECK (status = 'pending' OR due_at IS NULL)
);
-- What is to be sent to an endpoint now, the longest due first: what waits for a paused one is not read.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at, place) WHERE due_at IS NOT NULL;
-- Which message of a subject comes first, and which next.
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (endpoint_id, subject_id, place) WHERE status = 'pending';
-- The list of an endpoint, newest first.
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (endpoint_id, created_at DESC, id DESC);
-- What is forgotten.
CREATE INDEX webhook_deliveries_delivered ON webhook_deliveries (delivered_at) WHERE status = 'delivered';

ALTER TABLE alerts DROP CONSTRAINT alerts_kind_known;
ALTER TABLE alerts ADD CONSTRAINT alerts_kind_known CHECK (kind IN
    ('offline', 'unheard_payment', 'certificate_expiring', 'battery_low', 'flapping', 'unannounced_payment',
     'unmatched_payment', 'incident', 'undeliverable_message', 'failed_item', 'payout_held',
     'server_certificate_expiring', 'rejected_callback', 'plain_mqtt', 'webhook_disabled'));

-- Whether an endpoint wants one of these events: what costs a payment when none does.
CREATE FUNCTION is_webhook_event_wanted(events text[]) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM webhook_endpoints e WHERE e.enabled AND e.events && $1)
$$;

-- Once for each statement, whatever the number of its rows. So a batch of payments pays once.
CREATE FUNCTION tell_of_transactions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF is_webhook_event_wanted('{payment.paid,payment.reversed}') THEN
        INSERT INTO webhook_events (event, subject_id, merchant_id, at)
        SELECT 'payment.' || e.to_status, e.transaction_id, t.merchant_id, e.at
        FROM inserted e JOIN transactions t ON t.id = e.transaction_id
        WHERE e.to_status IN ('paid', 'reversed')
        ORDER BY e.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER transaction_events_tell AFTER INSERT ON transaction_events
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION tell_of_transactions();

-- The first box of a payment that announces it, and the last one that does not.
CREATE FUNCTION tell_of_notifications() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF is_webhook_event_wanted('{payment.heard,payment.unheard}') THEN
        INSERT INTO webhook_events (event, subject_id, merchant_id, at, details)
        SELECT DISTINCT ON (n.transaction_id)
            CASE n.status WHEN 'played' THEN 'payment.heard' ELSE 'payment.unheard' END, n.transaction_id, t.merchant_id,
            coalesce(n.acked_at, now()), jsonb_strip_nulls(jsonb_build_object(
                'device_id', 'sbx_' || replace(n.device_id::text, '-', ''), 'played_at', n.played_at,
                'reason', n.reason))
        FROM updated n JOIN before b USING (event_id) JOIN transactions t ON t.id = n.transaction_id
        WHERE NOT n.replay AND n.status IN ('played', 'failed', 'stale') AND b.status <> n.status
          AND NOT EXISTS (SELECT FROM notifications other
                          WHERE other.transaction_id = n.transaction_id AND other.event_id <> n.event_id AND NOT other.replay
                            AND (other.status = 'played' OR (n.status <> 'played' AND other.is_open))
                            -- Of boxes that announce it in one statement, one is told of.
                            AND NOT (n.status = 'played' AND other.event_id IN (SELECT u.event_id FROM updated u)))
        ORDER BY n.transaction_id, n.status = 'played' DESC, n.acked_at;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER notifications_tell AFTER UPDATE ON notifications
    REFERENCING OLD TABLE AS before NEW TABLE AS updated FOR EACH STATEMENT EXECUTE FUNCTION tell_of_notifications();

CREATE FUNCTION tell_of_settlement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF is_webhook_event_wanted('{settlement.paid,settlement.returned}') THEN
        INSERT INTO webhook_events (event, subject_id, merchant_id, at)
        VALUES ('settlement.' || NEW.status, NEW.id, NEW.merchant_id, NEW.updated_at);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER settlements_tell AFTER UPDATE ON settlements FOR EACH ROW
    WHEN (OLD.status <> NEW.status AND NEW.status IN ('paid', 'returned')) EXECUTE FUNCTION tell_of_settlement();

CREATE FUNCTION tell_of_devices() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF is_webhook_event_wanted('{device.online,device.offline}') THEN
        INSERT INTO webhook_events (event, subject_id, merchant_id, at, details)
        SELECT 'device.' || e.kind, e.device_id, b.merchant_id, e.at, jsonb_strip_nulls(jsonb_build_object(
            'reason', e.details ->> 'reason'))
        FROM inserted e LEFT JOIN bindings b ON b.device_id = e.device_id AND b.unbound_at IS NULL
        WHERE e.kind IN ('online', 'offline')
        ORDER BY e.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER device_events_tell AFTER INSERT ON device_events
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION tell_of_devices();

CREATE FUNCTION tell_of_alert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    owner uuid := NEW.merchant_id;
BEGIN
    IF is_webhook_event_wanted('{alert.opened,alert.closed}') THEN
        IF owner IS NULL AND NEW.device_id IS NOT NULL THEN
            SELECT b.merchant_id INTO owner FROM bindings b WHERE b.device_id = NEW.device_id AND b.unbound_at IS NULL;
        END IF;
        INSERT INTO webhook_events (event, subject_id, merchant_id, at)
        VALUES (CASE WHEN NEW.closed_at IS NULL THEN 'alert.opened' ELSE 'alert.closed' END, NEW.id, owner,
                coalesce(NEW.closed_at, NEW.opened_at));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER alerts_tell_of_opening AFTER INSERT ON alerts FOR EACH ROW EXECUTE FUNCTION tell_of_alert();
CREATE TRIGGER alerts_tell_of_closing AFTER UPDATE ON alerts FOR EACH ROW
    WHEN (OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL) EXECUTE FUNCTION tell_of_alert();
