-- Access tokens with which SNAP partners call us. Only the hash of a token is kept.
CREATE TABLE partner_tokens (
    token_hash  bytea PRIMARY KEY,
    partner_id  text NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX partner_tokens_expiring ON partner_tokens (expires_at);
