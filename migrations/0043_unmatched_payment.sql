-- What becomes of money that could not be attributed.
ALTER TABLE unmatched_payments
    ADD COLUMN status          text NOT NULL DEFAULT 'open' CONSTRAINT unmatched_payments_status_known
                               CHECK (status IN ('open', 'assigned', 'reversed')),
    ADD COLUMN rrn             text,
    ADD COLUMN issuer          text,
    -- The transaction that the money became.
    ADD COLUMN assigned_to     uuid CONSTRAINT unmatched_payments_assigned_to REFERENCES transactions (id),
    ADD COLUMN closed_at       timestamptz,
    ADD COLUMN closed_by       text,
    ADD CONSTRAINT unmatched_payments_assigned_has_a_transaction CHECK ((status = 'assigned') = (assigned_to IS NOT NULL)),
    ADD CONSTRAINT unmatched_payments_closed_says_by_whom CHECK ((status = 'open') = (closed_at IS NULL)),
    ADD CONSTRAINT unmatched_payments_closed_at_has_a_name CHECK ((closed_at IS NULL) = (closed_by IS NULL));
CREATE INDEX unmatched_payments_by_status ON unmatched_payments (status, created_at DESC, id DESC);

ALTER TABLE incidents
    ADD COLUMN resolved_by  text,
    ADD COLUMN resolution   text,
    ADD CONSTRAINT incidents_resolved_says_by_whom CHECK ((resolved_at IS NULL) = (resolved_by IS NULL));
CREATE INDEX incidents_open ON incidents (created_at DESC, id DESC) WHERE resolved_at IS NULL;
