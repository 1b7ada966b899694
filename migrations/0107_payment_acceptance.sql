-- The pages that show payments as they are paid read those accepted in the last seconds (store/payment/live.rs,
-- `accepted`). Payments are appended in this order, so a few ranges of blocks are read, and writing one costs nothing
-- that can be measured.
CREATE INDEX payments_by_acceptance ON payments USING brin (accepted_at) WITH (pages_per_range = 16, autosummarize = on);
-- Counted on the first page of the console (store/payment/live.rs, `waiting`): few among all.
CREATE INDEX settlements_not_paid_out ON settlements (id) WHERE status IN ('failed', 'returned');
CREATE INDEX approvals_pending ON approvals (id) WHERE status = 'pending';
