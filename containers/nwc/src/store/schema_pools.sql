-- Who has most is found by an index, not by a look at everybody.

-- A pool is what is open in one way (who asked, and whether the payee held money then): each has bounds of its own.
CREATE TABLE open_pool (
    asked_by TEXT    NOT NULL,
    unfunded INTEGER NOT NULL,
    items    INTEGER NOT NULL CHECK (items >= 0),
    bytes    INTEGER NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (asked_by, unfunded)
) STRICT, WITHOUT ROWID;
INSERT INTO open_pool (asked_by, unfunded, items, bytes)
    SELECT asked_by, unfunded, sum(items), sum(bytes) FROM open_of GROUP BY asked_by, unfunded;

-- What a payee holds weighs so much, as far as it was looked up: whoever is about to give way is looked up again.
ALTER TABLE open_of ADD COLUMN weight INTEGER NOT NULL DEFAULT 1 CHECK (weight > 0);
-- The newest invoice. Of equals the one gives way that asked last the longest ago.
ALTER TABLE open_of ADD COLUMN last INTEGER NOT NULL DEFAULT 0;
UPDATE open_of SET last = coalesce((SELECT max(id) FROM invoice i WHERE i.state = 'open' AND i.payee = open_of.payee
    AND i.asked_by = open_of.asked_by AND i.unfunded = open_of.unfunded), 0);
-- 65,536 keeps apart what differs: a weight is less than a hundred.
CREATE INDEX open_by_items ON open_of (asked_by, unfunded, items * 65536 / weight DESC, last);
CREATE INDEX open_by_bytes ON open_of (asked_by, unfunded, bytes * 65536 / weight DESC, last);

DROP TRIGGER invoice_opens_of;
CREATE TRIGGER invoice_opens_of AFTER INSERT ON invoice WHEN NEW.state = 'open' AND NEW.asked_by <> 'house'
BEGIN
    INSERT INTO open_of (payee, asked_by, unfunded, items, bytes, last)
        VALUES (NEW.payee, NEW.asked_by, NEW.unfunded, 1, NEW.bytes, NEW.id)
        ON CONFLICT (payee, asked_by, unfunded)
            DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes, last = excluded.last;
    INSERT INTO open_pool (asked_by, unfunded, items, bytes)
        VALUES (NEW.asked_by, NEW.unfunded, 1, NEW.bytes)
        ON CONFLICT (asked_by, unfunded) DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
DROP TRIGGER invoice_closes_of;
CREATE TRIGGER invoice_closes_of AFTER UPDATE OF state ON invoice
WHEN OLD.state = 'open' AND NEW.state <> 'open' AND OLD.asked_by <> 'house'
BEGIN
    UPDATE open_of SET items = items - 1, bytes = bytes - OLD.bytes
        WHERE payee = OLD.payee AND asked_by = OLD.asked_by AND unfunded = OLD.unfunded;
    DELETE FROM open_of
        WHERE payee = OLD.payee AND asked_by = OLD.asked_by AND unfunded = OLD.unfunded AND items = 0;
    UPDATE open_pool SET items = items - 1, bytes = bytes - OLD.bytes
        WHERE asked_by = OLD.asked_by AND unfunded = OLD.unfunded;
END;
ALTER TABLE open_invoices DROP COLUMN bytes;

-- Connections of before that the house made: it makes all of a container's account, and asks for invoices that pay it.
UPDATE connection SET house = 1 WHERE owner IN (SELECT payee FROM invoice WHERE asked_by = 'house');
-- Connections of each owner that the house did not make, as above; and how many there are.
CREATE TABLE connections_of (
    owner  BLOB    PRIMARY KEY CHECK (length(owner) = 32),
    items  INTEGER NOT NULL CHECK (items >= 0),
    weight INTEGER NOT NULL DEFAULT 1 CHECK (weight > 0),
    last   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO connections_of (owner, items, last)
    SELECT owner, count(*), max(id) FROM connection WHERE house = 0 GROUP BY owner;
CREATE INDEX connections_by_items ON connections_of (items * 65536 / weight DESC, last);
CREATE TABLE connections_size (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    house  INTEGER NOT NULL CHECK (house >= 0),
    others INTEGER NOT NULL CHECK (others >= 0)
) STRICT;
INSERT INTO connections_size (one, house, others)
    SELECT 1, coalesce(sum(house), 0), coalesce(sum(1 - house), 0) FROM connection;
DROP INDEX connection_by_owner;
CREATE INDEX connection_by_owner ON connection (owner);
CREATE TRIGGER connection_comes AFTER INSERT ON connection
BEGIN
    UPDATE connections_size SET house = house + NEW.house, others = others + 1 - NEW.house;
    INSERT INTO connections_of (owner, items, last) SELECT NEW.owner, 1, NEW.id WHERE NEW.house = 0
        ON CONFLICT (owner) DO UPDATE SET items = items + 1, last = excluded.last;
END;
CREATE TRIGGER connection_goes AFTER DELETE ON connection
BEGIN
    UPDATE connections_size SET house = house - OLD.house, others = others - 1 + OLD.house;
    UPDATE connections_of SET items = items - 1 WHERE owner = OLD.owner AND OLD.house = 0;
    DELETE FROM connections_of WHERE owner = OLD.owner AND items = 0;
END;
-- It can become known later that the house made one, and never that it did not.
CREATE TRIGGER connection_is_of_house AFTER UPDATE OF house ON connection WHEN OLD.house = 0 AND NEW.house = 1
BEGIN
    UPDATE connections_size SET house = house + 1, others = others - 1;
    UPDATE connections_of SET items = items - 1 WHERE owner = OLD.owner;
    DELETE FROM connections_of WHERE owner = OLD.owner AND items = 0;
END;
CREATE TRIGGER connection_stays_of_house BEFORE UPDATE OF house, owner ON connection
WHEN NEW.owner <> OLD.owner OR OLD.house = 1 AND NEW.house = 0
BEGIN SELECT RAISE(ABORT, 'a connection keeps its owner and who made it'); END;
