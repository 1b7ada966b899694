-- The X-EXTERNAL-IDs of partners' messages, each unique for a day (Jakarta's), with the answer that it got: the same
-- message again gets the same answer, and another message under its id is refused.
CREATE TABLE external_ids (
    partner_id   text NOT NULL,
    day          date NOT NULL,
    external_id  text NOT NULL,
    -- SHA-256 of the minified body.
    body_hash    bytea NOT NULL,
    http_status  smallint NOT NULL,
    answer       jsonb NOT NULL,
    callback_id  uuid NOT NULL,
    CONSTRAINT external_ids_pkey PRIMARY KEY (partner_id, day, external_id)
);
CREATE INDEX external_ids_by_day ON external_ids (day);
