-- The answer that there is nothing to repeat has a row of its own: it is given once for a press and not many times at once, and
-- keeps back no request for a payment that is made a moment later.
ALTER TABLE device_requests
    DROP CONSTRAINT device_requests_kind_known,
    ADD CONSTRAINT device_requests_kind_known CHECK (kind IN ('replay', 'nothing_to_repeat', 'total'));
