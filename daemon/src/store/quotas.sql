-- What strangers had for nothing: each key in a day; and all of them in an hour, under the empty key.
CREATE TABLE quotas (
    who BLOB PRIMARY KEY,
    -- The number of the day, or of the hour.
    span INTEGER NOT NULL,
    taken INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
