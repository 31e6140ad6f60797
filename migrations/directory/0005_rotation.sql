-- A token that takes the place of its agent's others: they end when it is first used, not when it is made, so that an
-- answer that was lost locks nobody out.
ALTER TABLE agent_token ADD COLUMN ends_others INTEGER NOT NULL DEFAULT 0;
