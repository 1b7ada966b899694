-- Every message of a payout partner that was answered, by the partner's name for it. A repeat gets the same answer and
-- has no effect, whatever happened since.
CREATE TABLE payout_messages (
    partner_id   text NOT NULL,
    event_id     text NOT NULL,
    -- The payout that it was understood to be about; null when there is none.
    payout_id    uuid CONSTRAINT payout_messages_payout REFERENCES payouts (id),
    -- What decides of it, so that the same name cannot carry something else.
    content      jsonb NOT NULL,
    verdict      text NOT NULL CONSTRAINT payout_messages_verdict_known CHECK (verdict IN
                 ('accepted', 'duplicate', 'ignored', 'held', 'incident')),
    reason       text,
    answered_at  timestamptz NOT NULL,
    CONSTRAINT payout_messages_once PRIMARY KEY (partner_id, event_id)
);
INSERT INTO payout_messages (partner_id, event_id, payout_id, content, verdict, answered_at)
SELECT partner_id, partner_event_id, payout_id, said, 'accepted', at FROM payout_events
WHERE partner_id IS NOT NULL AND partner_event_id IS NOT NULL AND said IS NOT NULL;

-- A bank's name for a transfer, and the payout that it was first used for: it belongs to that one alone.
CREATE TABLE payout_references (
    partner_id      text NOT NULL,
    bank_reference  text NOT NULL,
    payout_id       uuid NOT NULL CONSTRAINT payout_references_payout REFERENCES payouts (id),
    created_at      timestamptz NOT NULL,
    CONSTRAINT payout_references_once PRIMARY KEY (partner_id, bank_reference)
);
INSERT INTO payout_references (partner_id, bank_reference, payout_id, created_at)
SELECT DISTINCT ON (partner_id, bank_reference) partner_id, bank_reference, id, updated_at
FROM payouts WHERE partner_id IS NOT NULL AND bank_reference IS NOT NULL
ORDER BY partner_id, bank_reference, created_at;

-- When it happened at the bank: never after the moment at which we were told.
ALTER TABLE payout_events ADD COLUMN occurred_at timestamptz;

-- A partner that says that it has paid has paid, also when it names no transfer. People name one.
ALTER TABLE payouts DROP CONSTRAINT payouts_paid_has_a_reference;
ALTER TABLE payouts ADD CONSTRAINT payouts_paid_by_hand_has_a_reference
    CHECK (status <> 'paid' OR bank_reference IS NOT NULL OR partner_id IS NOT NULL);
