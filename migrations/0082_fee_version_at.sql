-- The version of a fee profile that holds at a time; before the first, the first. A plain query that is planned as a part
-- of the one it stands in.
CREATE FUNCTION fee_version_at(profile text, at timestamptz) RETURNS SETOF fee_profile_versions
LANGUAGE sql STABLE AS $$
    SELECT * FROM fee_profile_versions
    WHERE profile_id = profile
    ORDER BY effective_from <= at DESC, CASE WHEN effective_from <= at THEN effective_from END DESC, effective_from, version DESC
    LIMIT 1
$$;
