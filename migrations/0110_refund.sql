-- Refunds: what was taken back of a payment, whole or in parts.

-- How much of a payment, and of its fee, was taken back. It is taken back as a whole when nothing is left.
ALTER TABLE payments
    ADD COLUMN refunded bigint NOT NULL DEFAULT 0,
    ADD COLUMN fee_refunded bigint NOT NULL DEFAULT 0;
UPDATE payments SET refunded = amount, fee_refunded = fee WHERE reversed_at IS NOT NULL;
ALTER TABLE payments
    -- Never more back than was paid.
    ADD CONSTRAINT payments_refunded_within CHECK (refunded BETWEEN 0 AND amount),
    ADD CONSTRAINT payments_fee_refunded_within CHECK (fee_refunded BETWEEN 0 AND fee),
    ADD CONSTRAINT payments_reversed_is_all CHECK ((reversed_at IS NOT NULL) = (refunded = amount)),
    ADD CONSTRAINT payments_fee_refunded_is_all CHECK (refunded < amount OR fee_refunded = fee);

-- A refund is stored before its partner is asked, under a name that the partner recognises when it is asked again.
CREATE TABLE refunds (
    transaction_id  uuid NOT NULL CONSTRAINT refunds_payment REFERENCES payments (transaction_id),
    -- Within its payment, from 1.
    number          smallint NOT NULL CONSTRAINT refunds_number_positive CHECK (number > 0),
    -- As of the payment, for settlements without a join.
    merchant_id     uuid NOT NULL,
    -- How we named it to the partner; null: the partner took the money back without being asked.
    refund_name     text,
    -- The partner's number for it.
    refund_no       text,
    amount          bigint NOT NULL CONSTRAINT refunds_amount_positive CHECK (amount > 0),
    -- What is returned of the fee, and what the merchant is no longer owed: known when it is done.
    fee             bigint,
    net             bigint,
    status          text NOT NULL CONSTRAINT refunds_status_known CHECK (status IN ('requested', 'done', 'refused')),
    reason          text,
    requested_by    text NOT NULL,
    requested_at    timestamptz NOT NULL,
    -- The partner's message that said so.
    callback_id     uuid,
    -- What the partner answered last, when it did not do it.
    answer          text,
    -- How often it was asked, until when somebody waits for its answer, and when it is asked again.
    attempts        int NOT NULL DEFAULT 0,
    asked_until     timestamptz,
    due_at          timestamptz,
    done_at         timestamptz,
    settlement_id   uuid,
    CONSTRAINT refunds_pkey PRIMARY KEY (transaction_id, number),
    CONSTRAINT refunds_money_adds_up CHECK (amount = fee + net AND fee >= 0 AND net >= 0),
    CONSTRAINT refunds_done_is_complete CHECK
        ((status = 'done') = (done_at IS NOT NULL AND fee IS NOT NULL AND net IS NOT NULL)),
    CONSTRAINT refunds_settled_is_done CHECK (settlement_id IS NULL OR status = 'done'),
    CONSTRAINT refunds_due_is_requested CHECK (status = 'requested' OR (due_at IS NULL AND asked_until IS NULL))
);
-- Of those that we ask for, one at a time: what a second one may take back is known when the first is over.
CREATE UNIQUE INDEX refunds_one_requested ON refunds (transaction_id) WHERE status = 'requested' AND refund_name IS NOT NULL;
-- A partner's number is one refund of its payment.
CREATE UNIQUE INDEX refunds_refund_no_unique ON refunds (transaction_id, refund_no) WHERE refund_no IS NOT NULL;
-- What the next settlement deducts.
CREATE INDEX refunds_unsettled ON refunds (merchant_id) WHERE status = 'done' AND settlement_id IS NULL;
-- What the partner is asked again.
CREATE INDEX refunds_due ON refunds (due_at) WHERE due_at IS NOT NULL;

-- Until now a payment was taken back as a whole.
INSERT INTO refunds (transaction_id, number, merchant_id, amount, fee, net, status, requested_by, requested_at, done_at, settlement_id)
SELECT p.transaction_id, 1, p.merchant_id, p.amount, p.fee, p.net, 'done', p.partner_id, p.reversed_at, p.reversed_at, i.settlement_id
FROM payments p LEFT JOIN settlement_items i ON i.transaction_id = p.transaction_id AND i.kind = 'refund'
WHERE p.reversed_at IS NOT NULL;

-- The sums of a merchant's dashboard, without what was taken back, from the index alone.
DROP INDEX payments_by_merchant;
CREATE INDEX payments_by_merchant ON payments (merchant_id, paid_at) INCLUDE (outlet_id, amount, fee, refunded, fee_refunded)
    WHERE reversed_at IS NULL;
-- Settlements find refunds by `refunds_unsettled`.
DROP INDEX payments_reversed;

-- A sale is settled once, and so is each of its refunds. The number of a sale is 0.
ALTER TABLE settlement_items ADD COLUMN refund_number smallint NOT NULL DEFAULT 0;
UPDATE settlement_items SET refund_number = 1 WHERE kind = 'refund';
ALTER TABLE settlement_items
    DROP CONSTRAINT settlement_items_once,
    ADD CONSTRAINT settlement_items_once PRIMARY KEY (transaction_id, kind, refund_number),
    ADD CONSTRAINT settlement_items_refund_has_a_number CHECK ((kind = 'refund') = (refund_number > 0));

-- A payment is booked once as a sale, and each of its refunds once.
ALTER TABLE postings ADD COLUMN refund_number smallint NOT NULL DEFAULT 0;
ALTER TABLE postings DISABLE TRIGGER postings_append_only;
UPDATE postings SET refund_number = 1 WHERE kind = 'refund';
ALTER TABLE postings ENABLE TRIGGER postings_append_only;
ALTER TABLE postings ADD CONSTRAINT postings_refund_has_a_number CHECK ((kind = 'refund') = (refund_number > 0));
DROP INDEX postings_once;
-- Also the list of the lines of a transaction.
CREATE UNIQUE INDEX postings_once ON postings (transaction_id, kind, refund_number) WHERE transaction_id IS NOT NULL;

-- A refund is told of with the part that it is; a payment that is taken back has at least one.
CREATE OR REPLACE FUNCTION tell_of_transactions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF is_webhook_event_wanted('{payment.paid}') THEN
        INSERT INTO webhook_events (event, subject_id, merchant_id, at)
        SELECT 'payment.paid', e.transaction_id, t.merchant_id, e.at
        FROM inserted e JOIN transactions t ON t.id = e.transaction_id
        WHERE e.to_status = 'paid'
        ORDER BY e.id;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION tell_of_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF is_webhook_event_wanted('{payment.reversed}') THEN
        INSERT INTO webhook_events (event, subject_id, merchant_id, at, details)
        SELECT 'payment.reversed', NEW.transaction_id, NEW.merchant_id, NEW.done_at, jsonb_build_object(
            'refunded_amount', p.refunded, 'refund', jsonb_build_object(
                'number', NEW.number, 'amount', NEW.amount, 'fee', NEW.fee, 'net', NEW.net, 'reason', NEW.reason,
                'refund_name', NEW.refund_name, 'refund_no', NEW.refund_no, 'left', p.amount - p.refunded))
        FROM payments p WHERE p.transaction_id = NEW.transaction_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER refunds_tell AFTER UPDATE ON refunds FOR EACH ROW
    WHEN (OLD.status <> 'done' AND NEW.status = 'done') EXECUTE FUNCTION tell_of_refund();
