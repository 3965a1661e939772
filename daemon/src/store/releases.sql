-- A release that is not taken is known by its event, so that a bad one stands in no other's way that names the
-- same image. Tried images are known by their digests.
ALTER TABLE upgrades ADD COLUMN barred INTEGER NOT NULL DEFAULT 0 CHECK (barred IN (0, 1));
-- How often it was tried and failed for a passing reason.
ALTER TABLE upgrades ADD COLUMN tries INTEGER NOT NULL DEFAULT 1 CHECK (tries > 0);
UPDATE upgrades SET barred = 1, digest = NULL WHERE outcome = 'refused' AND digest IS NOT NULL;
