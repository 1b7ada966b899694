-- Instructions to pay a settlement out: rows are the outbox, and the id is the partner's idempotency key.
CREATE TABLE payouts (
    id              uuid PRIMARY KEY,
    settlement_id   uuid NOT NULL CONSTRAINT payouts_settlement REFERENCES settlements (id),
    merchant_id     uuid NOT NULL CONSTRAINT payouts_merchant REFERENCES merchants (id),
    -- The first is 1; another follows only what failed or came back.
    attempt         int NOT NULL CONSTRAINT payouts_attempt_positive CHECK (attempt > 0),
    -- Null when people pay by hand.
    partner_id      text,
    destination     text,
    amount          bigint NOT NULL CONSTRAINT payouts_amount_positive CHECK (amount > 0),
    status          text NOT NULL CONSTRAINT payouts_status_known CHECK (status IN
                    ('pending', 'processing', 'paid', 'failed', 'returned', 'cancelled')),
    bank_reference  text,
    reason          text,
    -- How often the partner was told or asked, and when it is next. Null: nothing more is to be done by us.
    tries           int NOT NULL DEFAULT 0,
    due_at          timestamptz,
    created_by      text NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CONSTRAINT payouts_attempt_unique UNIQUE (settlement_id, attempt),
    CONSTRAINT payouts_paid_has_a_reference CHECK (status <> 'paid' OR bank_reference IS NOT NULL)
);
-- Never two payouts for one settlement, whatever races.
CREATE UNIQUE INDEX payouts_one_in_force ON payouts (settlement_id) WHERE status IN ('pending', 'processing', 'paid');
CREATE INDEX payouts_due ON payouts (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX payouts_newest ON payouts (created_at DESC, id DESC);

CREATE TABLE payout_events (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payout_id         uuid NOT NULL CONSTRAINT payout_events_payout REFERENCES payouts (id),
    at                timestamptz NOT NULL,
    from_status       text,
    to_status         text NOT NULL,
    -- run, told, answer, asked, callback, manual, retry
    cause             text NOT NULL,
    callback_id       uuid,
    partner_id        text,
    -- The partner's name for its message. What it said then is kept, so that the same name cannot say something else.
    partner_event_id  text,
    said              jsonb,
    CONSTRAINT payout_events_partner_event_unique UNIQUE (partner_id, partner_event_id)
);
CREATE INDEX payout_events_by_payout ON payout_events (payout_id, id);

-- Why a settlement stands where it stands: what the partner said, or that there is none to tell.
ALTER TABLE settlements ADD COLUMN status_reason text;
ALTER TABLE settlements ADD COLUMN updated_at timestamptz;
UPDATE settlements SET updated_at = created_at;
ALTER TABLE settlements ALTER COLUMN updated_at SET NOT NULL;
CREATE INDEX settlements_pending ON settlements (created_at) WHERE status = 'pending';
