-- Fee profiles: data with a date, never code. A version is never changed, only followed by another.
CREATE TABLE fee_profiles (
    id          text PRIMARY KEY CONSTRAINT fee_profiles_id_form CHECK (id ~ '^fee_[a-z0-9_]{1,40}$'),
    name        text NOT NULL,
    created_at  timestamptz NOT NULL
);

CREATE TABLE fee_profile_versions (
    profile_id      text NOT NULL CONSTRAINT fee_profile_versions_profile REFERENCES fee_profiles (id),
    version         int NOT NULL CONSTRAINT fee_profile_versions_version_positive CHECK (version > 0),
    effective_from  timestamptz NOT NULL,
    rates           jsonb NOT NULL,
    created_by      text NOT NULL,
    created_at      timestamptz NOT NULL,
    CONSTRAINT fee_profile_versions_pkey PRIMARY KEY (profile_id, version)
);
