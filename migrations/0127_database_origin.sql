-- Which database server wrote this: its system identifier and timeline (store/database_origin.rs). Another one means that
-- this is a copy, of a backup or of a replica, and may lack what was committed last.
CREATE TABLE database_origin (
    is_only            boolean PRIMARY KEY DEFAULT true CONSTRAINT database_origin_is_one_row CHECK (is_only),
    system_identifier  bigint NOT NULL,
    timeline           int NOT NULL
);
