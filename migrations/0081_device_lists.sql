-- A box is looked for by a part of its serial number, and a list is most often asked for those that are away.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX devices_by_part_of_serial ON devices USING gin (lower(serial_number) gin_trgm_ops);
CREATE INDEX device_presence_away ON device_presence (device_id) WHERE NOT online;
-- Whose a box is, and which boxes are somebody's, without reading the bindings themselves.
DROP INDEX bindings_active_by_merchant;
CREATE INDEX bindings_active_by_merchant ON bindings (merchant_id) INCLUDE (device_id) WHERE unbound_at IS NULL;
