-- Announcements of a time, for figures: they are written in the order of their time, so this index is a few pages.
CREATE INDEX notifications_by_time ON notifications USING brin (created_at);
