CREATE TABLE outlets (
    id           uuid PRIMARY KEY,
    merchant_id  uuid NOT NULL CONSTRAINT outlets_merchant REFERENCES merchants (id),
    name         text NOT NULL,
    address      text,
    city         text,
    postal_code  text,
    timezone     text NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
CREATE INDEX outlets_newest ON outlets (created_at DESC, id DESC);
CREATE INDEX outlets_by_merchant ON outlets (merchant_id, created_at DESC, id DESC);
