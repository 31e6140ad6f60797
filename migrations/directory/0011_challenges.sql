-- Which code_challenges began a session, for a day, whatever becomes of the session.

CREATE TABLE oauth_challenge (
    challenge TEXT PRIMARY KEY,
    used_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX oauth_challenge_used ON oauth_challenge (used_us);

INSERT INTO oauth_challenge (challenge, used_us)
    SELECT code_challenge, max(created_us) FROM oauth_session GROUP BY code_challenge;
DROP INDEX oauth_session_challenge;
ALTER TABLE oauth_session DROP COLUMN code_challenge;
