-- What bounds the file. How much the answers take, kept by triggers so that asking costs nothing; 400 bytes
-- stand for a row's keys and its entries in indexes.
CREATE INDEX request_by_client ON request (client, at);
CREATE TABLE request_bytes (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    bytes INTEGER NOT NULL CHECK (bytes >= 0)
) STRICT;
INSERT INTO request_bytes (one, bytes)
    SELECT 1, coalesce(sum(400 + coalesce(octet_length(reply), 0)), 0) FROM request;
CREATE TRIGGER request_comes AFTER INSERT ON request
BEGIN UPDATE request_bytes SET bytes = bytes + 400 + coalesce(octet_length(NEW.reply), 0); END;
CREATE TRIGGER request_is_answered AFTER UPDATE OF reply ON request
BEGIN UPDATE request_bytes
    SET bytes = bytes + coalesce(octet_length(NEW.reply), 0) - coalesce(octet_length(OLD.reply), 0); END;
CREATE TRIGGER request_goes AFTER DELETE ON request
BEGIN UPDATE request_bytes SET bytes = bytes - 400 - coalesce(octet_length(OLD.reply), 0); END;

-- Which notifications a connection hears, separated by spaces. Those from before did not say which: they
-- hear of what their wallet receives, not of what it pays and with which proof.
ALTER TABLE connection ADD COLUMN notification_types TEXT NOT NULL DEFAULT '';
UPDATE connection SET notification_types = 'payment_received' WHERE notifications = 1;
-- One that was revoked is deleted from now on, with its secret.
DELETE FROM connection WHERE revoked_at IS NOT NULL;
