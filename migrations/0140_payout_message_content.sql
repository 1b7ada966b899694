-- The time that a payout message names does not decide: the same message with another time is the same message.
UPDATE payout_messages SET content = content - 'occurred_at' WHERE content ? 'occurred_at';
