-- Lines of settlements and payouts. settlement_id names the settlement whose part of the account a line belongs to;
-- what a merchant is owed without one is what a next run may claim.
ALTER TABLE ledger_entries ADD COLUMN settlement_id uuid CONSTRAINT ledger_entries_settlement REFERENCES settlements (id);
ALTER TABLE ledger_entries ADD COLUMN payout_id uuid CONSTRAINT ledger_entries_payout REFERENCES payouts (id);
-- A payout is sent, paid, failed, returned once each, and a settlement claims once.
CREATE UNIQUE INDEX ledger_entries_payout_once ON ledger_entries (payout_id, kind, account) WHERE payout_id IS NOT NULL;
CREATE UNIQUE INDEX ledger_entries_settlement_once ON ledger_entries (settlement_id) WHERE kind = 'settlement' AND settlement_id IS NOT NULL;
CREATE INDEX ledger_entries_by_settlement ON ledger_entries (settlement_id) WHERE settlement_id IS NOT NULL;
CREATE INDEX ledger_entries_newest ON ledger_entries (created_at DESC, id DESC);

-- Settlements that were made before their claims were booked.
WITH made AS MATERIALIZED (SELECT s.*, gen_random_uuid() AS posting_id FROM settlements s)
INSERT INTO ledger_entries (posting_id, kind, account, merchant_id, settlement_id, debit, credit, created_at)
SELECT m.posting_id, 'settlement', 'merchant_payable', m.merchant_id, CASE side.name WHEN 'credit' THEN m.id END,
       CASE side.name WHEN 'debit' THEN m.net ELSE 0 END, CASE side.name WHEN 'credit' THEN m.net ELSE 0 END, m.created_at
FROM made m CROSS JOIN (VALUES ('debit'), ('credit')) AS side (name);
