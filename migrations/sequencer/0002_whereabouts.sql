-- What no copy of the data folder keeps, on a host that has one: whether an old copy was put in its place.
ALTER TABLE head ADD COLUMN whereabouts TEXT;
