-- Words by which operators group boxes.
ALTER TABLE devices ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
CREATE INDEX devices_by_tag ON devices USING gin (tags);
