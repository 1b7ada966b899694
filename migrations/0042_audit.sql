-- Who changed what. Written in the transaction of the change; a sealer chains committed rows.
CREATE TABLE audit_logs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    actor       text NOT NULL,
    action      text NOT NULL,
    entity      text NOT NULL,
    request_id  text,
    before      jsonb,
    after       jsonb
);
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

-- Rows that wait for their seal, inserted with the audit row. The highest sealed id would not do: ids are assigned before
-- commits, so lower ones may become visible later.
CREATE TABLE audit_waiting (
    audit_id  bigint PRIMARY KEY
);

-- The audit log only grows. The triggers prevent accidents and changes by ordinary roles; a role that can disable them is
-- detected by the chain of hashes.
CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER audit_seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
