-- How much an answer takes that is kept and is not short; 0 for all others.
ALTER TABLE commands ADD COLUMN kept_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE commands SET kept_bytes = length(CAST(reply AS BLOB)) WHERE length(CAST(reply AS BLOB)) > 512;
CREATE INDEX commands_kept ON commands (caller, kept_bytes) WHERE kept_bytes > 0;
