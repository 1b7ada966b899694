-- The audit log can only grow. This keeps accidents and ordinary roles away; whoever can switch the trigger off is
-- found out by the chain of hashes below.
CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();

DROP INDEX audit_logs_by_entity;
CREATE INDEX audit_logs_by_entity ON audit_logs (entity, at DESC, id DESC);
CREATE INDEX audit_logs_newest ON audit_logs (at DESC, id DESC);

-- One link for each audit row, in the order in which the sealer saw them committed.
-- row_hash = SHA-256 of the row in canonical form, head = SHA-256 of (previous_head, seq, audit_id, row_hash, sealed_at).
CREATE TABLE audit_seals (
    seq            bigint PRIMARY KEY CONSTRAINT audit_seals_seq_positive CHECK (seq > 0),
    audit_id       bigint NOT NULL CONSTRAINT audit_seals_audit_unique UNIQUE,
    row_hash       bytea NOT NULL CONSTRAINT audit_seals_row_hash_length CHECK (length(row_hash) = 32),
    previous_head  bytea NOT NULL CONSTRAINT audit_seals_previous_head_length CHECK (length(previous_head) = 32),
    head           bytea NOT NULL CONSTRAINT audit_seals_head_length CHECK (length(head) = 32),
    sealed_at      timestamptz NOT NULL
);
CREATE TRIGGER audit_seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();

-- Rows that wait for their seal, written with the row: identities are handed out before commits, so the highest
-- sealed one says nothing about what is still to come.
CREATE TABLE audit_waiting (
    audit_id  bigint PRIMARY KEY
);
INSERT INTO audit_waiting SELECT id FROM audit_logs;
