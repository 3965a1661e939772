-- Events that were taken.
CREATE TABLE events (
    id BLOB PRIMARY KEY CHECK (length(id) = 32),
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX events_at ON events (at);

-- Commands, by the caller's own id, with their answers.
CREATE TABLE commands (
    caller BLOB NOT NULL CHECK (length(caller) = 32),
    id TEXT NOT NULL,
    body BLOB NOT NULL CHECK (length(body) = 32),
    reply TEXT,
    at INTEGER NOT NULL,
    PRIMARY KEY (caller, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX commands_at ON commands (at);
