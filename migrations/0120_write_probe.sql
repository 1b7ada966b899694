-- Where readiness is tried out: a row fills a page, so each probe asks the disk for another one.
CREATE TABLE write_probes (
    probed_at  timestamptz NOT NULL,
    filler     text NOT NULL
);
ALTER TABLE write_probes ALTER COLUMN filler SET STORAGE PLAIN;
