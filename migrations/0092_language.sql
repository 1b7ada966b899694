-- The language of a box's announcements. Until now any tag of two or three letters was stored, and all boxes spoke
-- Indonesian. A language that no box speaks becomes Indonesian, wherever it is stored; the boxes for which that changes their
-- configuration get a new version of it.
UPDATE config_layers SET config = jsonb_set(config, '{language}', '"id"'), version = version + 1
WHERE config ? 'language' AND config ->> 'language' !~ '^(id|en|jv|su)(-[A-Z]{2})?$';

UPDATE device_configs SET layer = jsonb_set(layer, '{language}', '"id"')
WHERE layer ? 'language' AND layer ->> 'language' !~ '^(id|en|jv|su)(-[A-Z]{2})?$';

UPDATE device_configs SET previous = config, config = jsonb_set(config, '{language}', '"id"'), version = version + 1,
    updated_at = now(), attempts = 0, next_attempt_at = now()
WHERE config ? 'language' AND config ->> 'language' !~ '^(id|en|jv|su)(-[A-Z]{2})?$';

-- What is set is checked by the platform; this guards against another way in.
ALTER TABLE config_layers ADD CONSTRAINT config_layers_language_known
    CHECK (config ->> 'language' IS NULL OR config ->> 'language' ~ '^(id|en|jv|su)(-[A-Z]{2})?$');
ALTER TABLE device_configs ADD CONSTRAINT device_configs_layer_language_known
    CHECK (layer ->> 'language' IS NULL OR layer ->> 'language' ~ '^(id|en|jv|su)(-[A-Z]{2})?$');

-- What a payment needs of a box's configuration, as columns: the query that finds the boxes of a payment reads them, and
-- must not fail or be slow because of the rest of a configuration. Without a language that boxes speak it is Indonesian.
ALTER TABLE device_configs
    ADD COLUMN language text NOT NULL GENERATED ALWAYS AS
        (CASE WHEN config ->> 'language' ~ '^(id|en|jv|su)(-[A-Z]{2})?$' THEN split_part(config ->> 'language', '-', 1)
              ELSE 'id' END) STORED,
    ADD COLUMN announce_merchant_name boolean NOT NULL GENERATED ALWAYS AS
        (coalesce(config -> 'announce_merchant_name' = 'true', false)) STORED;
