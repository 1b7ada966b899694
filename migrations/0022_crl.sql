-- The certificate revocation list that was signed last: one row, for all processes.
CREATE TABLE crl (
    singleton       boolean PRIMARY KEY DEFAULT true CONSTRAINT crl_singleton CHECK (singleton),
    -- Rises with every list (RFC 5280 §5.2.3).
    number          bigint NOT NULL,
    -- SHA-256 of the issuer and the entries: a list with the same content is not signed anew before it is due.
    content_sha256  bytea NOT NULL,
    entries         bigint NOT NULL,
    this_update     timestamptz NOT NULL,
    next_update     timestamptz NOT NULL,
    der             bytea NOT NULL
);
