-- The daily run of each business day: one, whichever node begins it and however often it is begun again.
CREATE TABLE settlement_runs (
    business_day  date PRIMARY KEY,
    cutoff        timestamptz NOT NULL,
    node          text NOT NULL,
    started_at    timestamptz NOT NULL,
    finished_at   timestamptz,
    settlements   bigint NOT NULL DEFAULT 0,
    skipped       bigint NOT NULL DEFAULT 0
);
