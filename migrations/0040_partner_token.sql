-- Access tokens that SNAP partners call us with. A token is never kept, only its hash.
CREATE TABLE partner_tokens (
    token_hash  bytea PRIMARY KEY,
    partner_id  text NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX partner_tokens_expiring ON partner_tokens (expires_at);
