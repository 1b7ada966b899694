-- How people are told of alerts. Alerts that opened together are one group, and of a group a channel says two things: that
-- it began and that it is over.
CREATE TABLE alert_groups (
    id              uuid PRIMARY KEY,
    -- The name of the channel in the configuration.
    channel         text NOT NULL,
    kind            text NOT NULL,
    -- What all its boxes have in common, if anything: outlet, city, firmware or model, and which.
    cause           text,
    cause_value     text,
    began_at        timestamptz NOT NULL,
    -- When the last alert joined it.
    joined_at       timestamptz NOT NULL,
    ended_at        timestamptz
);
-- What a new alert may join, and what may be over.
CREATE INDEX alert_groups_open ON alert_groups (channel, kind) WHERE ended_at IS NULL;

-- Of which group of a channel an alert is a part. No foreign key to alerts, which are forgotten by themselves.
CREATE TABLE alert_group_members (
    channel    text NOT NULL,
    alert_id   uuid NOT NULL,
    group_id   uuid NOT NULL CONSTRAINT alert_group_members_group REFERENCES alert_groups (id) ON DELETE CASCADE,
    PRIMARY KEY (alert_id, channel)
);
CREATE INDEX alert_group_members_by_group ON alert_group_members (group_id);

-- What a channel is to say. `due_at` null: it was said, or nobody needs to hear it any more.
CREATE TABLE alert_messages (
    id          uuid PRIMARY KEY,
    group_id    uuid NOT NULL CONSTRAINT alert_messages_group REFERENCES alert_groups (id) ON DELETE CASCADE,
    channel     text NOT NULL,
    phase       text NOT NULL CONSTRAINT alert_messages_phase_known CHECK (phase IN ('began', 'ended')),
    title       text NOT NULL,
    body        text NOT NULL,
    due_at      timestamptz,
    attempts    int NOT NULL DEFAULT 0,
    error       text,
    created_at  timestamptz NOT NULL,
    sent_at     timestamptz,
    CONSTRAINT alert_messages_once UNIQUE (group_id, phase)
);
CREATE INDEX alert_messages_due ON alert_messages (due_at) WHERE due_at IS NOT NULL;
