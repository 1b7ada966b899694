-- A till and an outlet are looked at by themselves, and an acquirer asks by its own reference, whichever partner it is.
CREATE INDEX transactions_by_outlet ON transactions (outlet_id, created_at DESC, id DESC);
CREATE INDEX transactions_by_terminal ON transactions (terminal_id, created_at DESC, id DESC);
CREATE INDEX transactions_by_reference ON transactions (partner_reference) WHERE partner_reference IS NOT NULL;
