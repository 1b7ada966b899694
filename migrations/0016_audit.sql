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
CREATE INDEX audit_logs_by_entity ON audit_logs (entity, id DESC);
