-- Where readiness tries whether the database accepts writes. A row fills a page, uncompressed, so that each probe needs
-- another page of the disk.
CREATE TABLE write_probes (
    probed_at  timestamptz NOT NULL,
    filler     text NOT NULL
);
ALTER TABLE write_probes ALTER COLUMN filler SET STORAGE PLAIN;
