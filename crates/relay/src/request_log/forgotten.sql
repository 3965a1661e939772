-- Of before then, what is young enough to be kept may have gone for want of room.
CREATE TABLE forgotten (one INTEGER PRIMARY KEY CHECK (one = 1), before INTEGER NOT NULL) STRICT;
INSERT INTO forgotten (one, before) VALUES (1, 0);
