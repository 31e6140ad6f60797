-- Events of deleted accounts are found by a walk through the log: an index by account would be written with every event.
DROP INDEX event_by_source;
