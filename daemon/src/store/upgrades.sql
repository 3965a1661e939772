-- What was decided about a container's image: an upgrade under way, one that ended, a release refused.
CREATE TABLE upgrades (
    id INTEGER PRIMARY KEY,
    pubkey BLOB NOT NULL REFERENCES containers (pubkey) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    ended_at INTEGER,
    outcome TEXT NOT NULL,
    image TEXT NOT NULL,
    -- Of the release: its version, the event's id, and what it approves. Null where the owner asked.
    version TEXT,
    release_id TEXT,
    -- Null as well once the release may be tried again.
    digest TEXT,
    -- The owner's command, which has one effect however often it comes.
    request_key TEXT UNIQUE,
    code TEXT,
    message TEXT,
    -- How to go on, and how to go back; null once it ended.
    intent TEXT,
    CHECK ((intent IS NOT NULL) = (outcome = 'open'))
) STRICT;
CREATE INDEX upgrades_pubkey ON upgrades (pubkey, id);
-- One at a time.
CREATE UNIQUE INDEX upgrades_open ON upgrades (pubkey) WHERE outcome = 'open';

-- Held by its owner at the image that it has.
ALTER TABLE containers ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1));
