-- A run as the program and its users see it, with its actor. The columns before `document` are those that the
-- view had, which a view keeps when it is replaced.
CREATE OR REPLACE VIEW run_documents AS
SELECT seq, id, rotation, "trigger", reason, opens, closes, state, worker, version_id, from_user, to_user,
       started, finished, attempt, error_code, error_message, error_hint, lease_until,
       jsonb_build_object(
           'id', id, 'rotation', rotation, 'trigger', "trigger", 'actor', actor, 'reason', reason,
           'window', CASE WHEN opens IS NOT NULL
                          THEN jsonb_build_object('opens', opens, 'closes', closes) END,
           'state', state, 'worker', worker, 'version_id', version_id,
           'from_user', from_user, 'to_user', to_user, 'started', started, 'finished', finished,
           'attempt', attempt,
           'steps', COALESCE((
               SELECT jsonb_agg(
                          jsonb_build_object('name', s.name, 'state', s.state, 'started', s.started,
                                             'finished', s.finished, 'detail', s.detail)
                          ORDER BY array_position(ARRAY['create', 'set', 'test', 'finish'], s.name))
                 FROM steps s WHERE s.run = runs.id AND s.attempt = runs.attempt), '[]'),
           'error', CASE WHEN error_code IS NOT NULL
                         THEN jsonb_build_object('code', error_code, 'message', error_message,
                                                 'hint', error_hint) END
       ) AS document
  FROM runs;
