-- Partitions by day of arrival (UTC), for every table that has them. A day's partition is named PARENT_YYYYMMDD.
-- Creating or dropping one locks its parent, and every writer queues behind a statement that waits for that lock. So the
-- wait is short: the statement fails and is repeated later, days before the partition is needed.
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

-- Drops the partitions of days before this one, and returns how many.
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
