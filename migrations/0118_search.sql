-- Searches of lists: a part of a merchant's names, and the bank's name for a transfer.
CREATE INDEX merchants_by_part_of_name ON merchants USING gin (lower(brand_name || ' ' || legal_name) gin_trgm_ops);
CREATE INDEX settlements_by_bank_reference ON settlements (bank_reference) WHERE bank_reference IS NOT NULL;
