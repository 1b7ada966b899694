-- The firmware that boxes can be updated to. A row never changes, because boxes may be running it.
CREATE TABLE firmwares (
    id          uuid PRIMARY KEY,
    version     text NOT NULL,
    model       text NOT NULL,
    url         text NOT NULL,
    sha256      text NOT NULL,
    notes       text,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT firmwares_version_unique UNIQUE (model, version)
);
CREATE INDEX firmwares_newest ON firmwares (created_at DESC, id DESC);
