-- What a partner says of a reference before its success counts for that reference alone, also without a transaction.
ALTER TABLE incidents ADD COLUMN partner_reference text;
UPDATE incidents SET partner_reference = details ->> 'partner_reference';
CREATE INDEX incidents_by_reference ON incidents (partner_id, partner_reference) WHERE partner_reference IS NOT NULL;
