-- Instructions to pay a settlement out: the rows are the outbox, and the id is the partner's idempotency key.
CREATE TABLE payouts (
    id              uuid PRIMARY KEY,
    settlement_id   uuid NOT NULL CONSTRAINT payouts_settlement REFERENCES settlements (id),
    merchant_id     uuid NOT NULL CONSTRAINT payouts_merchant REFERENCES merchants (id),
    -- The first is 1; another follows only one that failed or was returned.
    attempt         int NOT NULL CONSTRAINT payouts_attempt_positive CHECK (attempt > 0),
    -- Null when people pay by hand.
    partner_id      text,
    destination     text,
    amount          bigint NOT NULL CONSTRAINT payouts_amount_positive CHECK (amount > 0),
    status          text NOT NULL CONSTRAINT payouts_status_known CHECK (status IN
                    ('pending', 'processing', 'paid', 'failed', 'returned', 'cancelled')),
    bank_reference  text,
    reason          text,
    -- How often the partner was instructed or queried, and when it is next. Null: there is nothing more to do for us.
    tries           int NOT NULL DEFAULT 0,
    due_at          timestamptz,
    created_by      text NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CONSTRAINT payouts_attempt_unique UNIQUE (settlement_id, attempt),
    -- A partner's report that it has paid counts also when it names no transfer. People name one.
    CONSTRAINT payouts_paid_by_hand_has_a_reference
        CHECK (status <> 'paid' OR bank_reference IS NOT NULL OR partner_id IS NOT NULL)
);
-- Never two payouts in force for one settlement, also when requests race.
CREATE UNIQUE INDEX payouts_one_in_force ON payouts (settlement_id) WHERE status IN ('pending', 'processing', 'paid');
CREATE INDEX payouts_due ON payouts (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX payouts_newest ON payouts (created_at DESC, id DESC);
-- Whether an account was paid before, and which payouts wait for its confirmation.
CREATE INDEX payouts_by_merchant ON payouts (merchant_id, destination);

CREATE TABLE payout_events (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payout_id         uuid NOT NULL CONSTRAINT payout_events_payout REFERENCES payouts (id),
    at                timestamptz NOT NULL,
    -- When it happened at the bank: never after `at`.
    occurred_at       timestamptz,
    from_status       text,
    to_status         text NOT NULL,
    -- run, told, answer, asked, callback, manual, retry
    cause             text NOT NULL,
    callback_id       uuid,
    partner_id        text,
    -- The partner's name for its message, and what the message said: the same name cannot carry something else.
    partner_event_id  text,
    said              jsonb,
    CONSTRAINT payout_events_partner_event_unique UNIQUE (partner_id, partner_event_id)
);
CREATE INDEX payout_events_by_payout ON payout_events (payout_id, id);

-- Every message of a payout partner that was answered, by the partner's name for it. A repeat gets the same answer and has
-- no effect, whatever happened since.
CREATE TABLE payout_messages (
    partner_id   text NOT NULL,
    event_id     text NOT NULL,
    -- The payout to which it was attributed; null when there is none.
    payout_id    uuid CONSTRAINT payout_messages_payout REFERENCES payouts (id),
    -- The part of the message that decides, so that the same name cannot carry something else. The time that it names does
    -- not decide: the same message with another time is the same message.
    content      jsonb NOT NULL,
    verdict      text NOT NULL CONSTRAINT payout_messages_verdict_known CHECK (verdict IN
                 ('accepted', 'duplicate', 'ignored', 'held', 'incident')),
    reason       text,
    answered_at  timestamptz NOT NULL,
    CONSTRAINT payout_messages_once PRIMARY KEY (partner_id, event_id)
);

-- A bank's name for a transfer, and the payout for which it was first used: it belongs to that payout alone.
CREATE TABLE payout_references (
    partner_id      text NOT NULL,
    bank_reference  text NOT NULL,
    payout_id       uuid NOT NULL CONSTRAINT payout_references_payout REFERENCES payouts (id),
    created_at      timestamptz NOT NULL,
    CONSTRAINT payout_references_once PRIMARY KEY (partner_id, bank_reference)
);

-- Why a settlement or a payout waits; null when nothing holds it. Derived from the merchant's status and the payouts, and
-- not stored.
CREATE FUNCTION hold_reason(status text, merchant_id uuid, is_account_unconfirmed boolean) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN $1 = 'pending' AND (SELECT m.status FROM merchants m WHERE m.id = $2) = 'suspended'
                THEN 'merchant_suspended'
                WHEN $3 THEN 'account_not_confirmed' END
$$;

CREATE FUNCTION hold_reason(payout payouts) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT hold_reason(payout.status, payout.merchant_id, payout.status = 'pending' AND payout.due_at IS NULL)
$$;

CREATE FUNCTION hold_reason(settlement settlements) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT hold_reason(settlement.status, settlement.merchant_id, EXISTS (
        SELECT 1 FROM payouts p WHERE p.settlement_id = settlement.id AND p.status = 'pending' AND p.due_at IS NULL))
$$;
