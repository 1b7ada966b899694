-- Comparisons of an acquirer's file with our transactions.
CREATE TABLE reconciliations (
    id               uuid PRIMARY KEY,
    partner_id       text NOT NULL,
    -- Our transactions of this time are expected in the file.
    period_from      timestamptz NOT NULL,
    period_to        timestamptz NOT NULL,
    -- loading while the file is uploaded; one that stays so was interrupted, and is deleted.
    status           text NOT NULL CONSTRAINT reconciliations_status_known CHECK (status IN ('loading', 'done')),
    file_sha256      text,
    matched          bigint NOT NULL DEFAULT 0,
    ours_only        bigint NOT NULL DEFAULT 0,
    theirs_only      bigint NOT NULL DEFAULT 0,
    amount_differs   bigint NOT NULL DEFAULT 0,
    created_by       text NOT NULL,
    created_at       timestamptz NOT NULL,
    CONSTRAINT reconciliations_period CHECK (period_from < period_to)
);
CREATE INDEX reconciliations_newest ON reconciliations (created_at DESC, id DESC);

CREATE TABLE reconciliation_lines (
    reconciliation_id  uuid NOT NULL CONSTRAINT reconciliation_lines_reconciliation
                       REFERENCES reconciliations (id) ON DELETE CASCADE,
    -- Lines of the file by their numbers; ours come after the last of them.
    line               bigint NOT NULL,
    class              text CONSTRAINT reconciliation_lines_class_known CHECK (class IN
                       ('matched', 'ours_only', 'theirs_only', 'amount_differs')),
    partner_reference  text NOT NULL,
    their_amount       bigint,
    our_amount         bigint,
    transaction_id     uuid,
    note               text,
    CONSTRAINT reconciliation_lines_pkey PRIMARY KEY (reconciliation_id, line)
);
CREATE INDEX reconciliation_lines_by_class ON reconciliation_lines (reconciliation_id, class, line);
