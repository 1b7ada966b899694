-- Partitions by day of arrival, for every table that has them; the names of a day's partitions are PARENT_YYYYMMDD.
-- Making or dropping one locks its parent. Nothing waits for that lock for long, because whoever writes waits behind it:
-- it fails and is done at the next time, days before it is needed.
CREATE FUNCTION ensure_daily_partitions(parent text, first_day date, days int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    day date;
    partition text;
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('daily partitions of ' || parent, 2));
    FOR i IN 0 .. days - 1 LOOP
        day := first_day + i;
        partition := parent || '_' || to_char(day, 'YYYYMMDD');
        IF to_regclass(quote_ident(partition)) IS NULL THEN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                partition,
                parent,
                to_char(day, 'YYYY-MM-DD') || 'T00:00:00Z',
                to_char(day + 1, 'YYYY-MM-DD') || 'T00:00:00Z');
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION drop_daily_partitions(parent_table text, before_day date) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    partition text;
    dropped int := 0;
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('daily partitions of ' || parent_table, 2));
    FOR partition IN
        SELECT child.relname FROM pg_inherits
        JOIN pg_class child ON child.oid = pg_inherits.inhrelid
        JOIN pg_class parent ON parent.oid = pg_inherits.inhparent
        WHERE parent.oid = to_regclass(quote_ident(parent_table)) AND child.relname ~ ('^' || parent_table || '_[0-9]{8}$')
          AND to_date(right(child.relname, 8), 'YYYYMMDD') < before_day
    LOOP
        EXECUTE format('DROP TABLE %I', partition);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

DROP FUNCTION ensure_heartbeat_partitions(date, int);
DROP FUNCTION drop_heartbeat_partitions(date);
