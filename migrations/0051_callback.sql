-- Every verified callback, and what became of it.
CREATE TABLE callbacks (
    id                 uuid PRIMARY KEY,
    route              text NOT NULL,
    partner_id         text,
    received_at        timestamptz NOT NULL,
    body_bytes         int NOT NULL,
    -- The outcome: accepted, duplicate, unmatched, held, ignored, incident, rejected, failed.
    verdict            text NOT NULL,
    reason             text,
    http_status        smallint NOT NULL,
    partner_reference  text,
    transaction_id     uuid
);
CREATE INDEX callbacks_newest ON callbacks (received_at DESC, id DESC);
CREATE INDEX callbacks_by_reference ON callbacks (partner_id, partner_reference);
-- The unusual ones are searched for by their outcome; nearly all are accepted and cost this index nothing.
CREATE INDEX callbacks_by_verdict ON callbacks (verdict, received_at DESC, id DESC) WHERE verdict <> 'accepted';

-- The bytes of verified callbacks, as they arrived. The row in callbacks stays with the money that it moved; its bytes are
-- dropped after some time, by day. A block range index is enough to find one by its time, and costs a payment next to
-- nothing.
CREATE TABLE callback_bodies (
    callback_id  uuid NOT NULL,
    received_at  timestamptz NOT NULL,
    headers      jsonb NOT NULL,
    body         bytea NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX callback_bodies_by_time ON callback_bodies USING brin (received_at);

-- Callbacks whose sender did not prove its identity. Any client can send them, so little of each is kept, and only for
-- days.
CREATE TABLE rejected_callbacks (
    id                  uuid NOT NULL,
    route               text NOT NULL,
    -- The partner that the sender claims to be.
    claimed_partner_id  text,
    -- The network that it came from; none behind a proxy.
    address             text,
    received_at         timestamptz NOT NULL,
    headers             jsonb NOT NULL,
    -- Its beginning; body_bytes is the length of the whole.
    body                bytea NOT NULL CONSTRAINT rejected_callbacks_body_small CHECK (length(body) <= 2048),
    body_bytes          int NOT NULL,
    reason              text NOT NULL,
    http_status         smallint NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX rejected_callbacks_newest ON rejected_callbacks (received_at DESC, id DESC);
CREATE INDEX rejected_callbacks_by_id ON rejected_callbacks (id);
