-- Verified messages that contradict our records or cannot be acted on. A person looks at each.
CREATE TABLE incidents (
    id                 uuid PRIMARY KEY,
    kind               text NOT NULL,
    partner_id         text NOT NULL,
    -- A message about a reference that arrives before its success counts for that reference alone, also without a
    -- transaction.
    partner_reference  text,
    transaction_id     uuid CONSTRAINT incidents_transaction REFERENCES transactions (id),
    callback_id        uuid NOT NULL CONSTRAINT incidents_callback REFERENCES callbacks (id),
    details            jsonb NOT NULL,
    created_at         timestamptz NOT NULL,
    resolved_at        timestamptz,
    resolved_by        text,
    resolution         text,
    CONSTRAINT incidents_resolved_says_by_whom CHECK ((resolved_at IS NULL) = (resolved_by IS NULL))
);
CREATE INDEX incidents_by_transaction ON incidents (transaction_id);
CREATE INDEX incidents_by_reference ON incidents (partner_id, partner_reference) WHERE partner_reference IS NOT NULL;
CREATE INDEX incidents_newest ON incidents (created_at DESC, id DESC);
CREATE INDEX incidents_open ON incidents (created_at DESC, id DESC) WHERE resolved_at IS NULL;
