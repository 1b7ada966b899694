-- Fee profiles: rates are data with a date from which they apply, never code.
CREATE TABLE fee_profiles (
    id          text PRIMARY KEY CONSTRAINT fee_profiles_id_form CHECK (id ~ '^fee_[a-z0-9_]{1,40}$'),
    name        text NOT NULL,
    created_at  timestamptz NOT NULL
);

-- A version is never changed, only followed by another.
CREATE TABLE fee_profile_versions (
    profile_id      text NOT NULL CONSTRAINT fee_profile_versions_profile REFERENCES fee_profiles (id),
    version         int NOT NULL CONSTRAINT fee_profile_versions_version_positive CHECK (version > 0),
    effective_from  timestamptz NOT NULL,
    rates           jsonb NOT NULL,
    created_by      text NOT NULL,
    -- Who confirmed it; null when no confirmation was required.
    approved_by     text,
    created_at      timestamptz NOT NULL,
    CONSTRAINT fee_profile_versions_pkey PRIMARY KEY (profile_id, version)
);

-- The version of a fee profile that applies at a time; before the first, the first. A plain query, so that it is planned
-- as a part of the query that calls it.
CREATE FUNCTION fee_version_at(profile text, at timestamptz) RETURNS SETOF fee_profile_versions
LANGUAGE sql STABLE AS $$
    SELECT * FROM fee_profile_versions
    WHERE profile_id = profile
    ORDER BY effective_from <= at DESC, CASE WHEN effective_from <= at THEN effective_from END DESC, effective_from, version DESC
    LIMIT 1
$$;
