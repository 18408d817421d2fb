-- Statements on the tables of procrastinate, whose own functions cannot join a job that waits.

-- tables --
-- True if the tables and our index are there.
SELECT to_regclass('procrastinate_jobs') IS NOT NULL AS has_tables,
       to_regclass('learning_jobs_waiting') IS NOT NULL AS has_index;

-- index --
-- Finds the waiting jobs of a tenant, to place a new one fairly.
CREATE INDEX IF NOT EXISTS learning_jobs_waiting
    ON procrastinate_jobs ((args #>> '{context,tenant_id}'), (args #>> '{context,user_id}'))
 WHERE status = 'todo';

-- add --
-- Add a job, or join the one that waits for the same thread and caller: it takes the new entries and waits on, but not
-- longer than `ceiling` seconds since it was added. A user's nth waiting job has the rank n, and yields to all jobs of other
-- users with lower ranks, counted within the tenant first.
WITH own AS (
    SELECT count(*) AS rank
      FROM (SELECT FROM procrastinate_jobs
             WHERE status = 'todo' AND queue_name = %(queue)s
               AND args #>> '{context,tenant_id}' = %(tenant)s AND args #>> '{context,user_id}' = %(user)s
             LIMIT 1000) AS waiting
), ahead AS (
    SELECT count(*) AS jobs
      FROM (SELECT FROM procrastinate_jobs, own
             WHERE status = 'todo' AND queue_name = %(queue)s
               AND args #>> '{context,tenant_id}' = %(tenant)s
               AND (args ->> 'rank')::int <= own.rank
             LIMIT 1000) AS waiting
)
INSERT INTO procrastinate_jobs AS waiting (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
SELECT %(queue)s, %(task)s, -ahead.jobs, %(lock)s, %(queueing_lock)s, %(args)s || jsonb_build_object('rank', own.rank),
       now() + make_interval(secs => %(delay)s)
  FROM own, ahead
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO UPDATE
   SET args = waiting.args || jsonb_build_object(
           'context', excluded.args -> 'context',
           'entries', (waiting.args -> 'entries') || (excluded.args -> 'entries')),
       scheduled_at = least(excluded.scheduled_at,
           (waiting.args ->> 'since')::timestamptz + make_interval(secs => %(ceiling)s))
RETURNING (SELECT count(*) FROM jsonb_object_keys(waiting.args -> 'entries')) AS runs;

-- put back --
-- Let a job that runs or was set aside wait again, with changed arguments: a new job takes its place, or the one that waits
-- for the same thread and caller takes its entries.
WITH chosen AS (
    SELECT * FROM procrastinate_jobs WHERE id = %(id)s
), gone AS (
    DELETE FROM procrastinate_jobs WHERE id = %(id)s AND status::text = ANY (%(deleted)s)
)
INSERT INTO procrastinate_jobs AS waiting (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
SELECT queue_name, task_name, priority, lock, queueing_lock, args || %(changes)s,
       now() + make_interval(secs => %(delay)s)
  FROM chosen
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO UPDATE
   SET args = waiting.args || %(changes)s || jsonb_build_object(
           'entries', (excluded.args -> 'entries') || (waiting.args -> 'entries'))
RETURNING id;

-- explain --
-- Note why a job is set aside.
UPDATE procrastinate_jobs SET args = args || %(changes)s WHERE id = %(id)s;

-- list --
-- Jobs that wait, run or were set aside, in the order in which they run.
SELECT job.id, job.status::text, job.args, job.scheduled_at,
       (SELECT max(at) FROM procrastinate_events WHERE job_id = job.id AND type = 'started') AS started_at
  FROM procrastinate_jobs AS job
 WHERE queue_name = %(queue)s AND task_name = %(task)s AND status IN ('todo', 'doing', 'failed')
   AND (%(id)s::bigint IS NULL OR id = %(id)s)
   AND (%(status)s::text IS NULL OR status::text = %(status)s)
   AND (%(tenant)s::text IS NULL OR args #>> '{context,tenant_id}' = %(tenant)s)
   AND (%(user)s::text IS NULL OR args #>> '{context,user_id}' = %(user)s)
 ORDER BY status, priority DESC, id
 LIMIT %(limit)s;

-- count --
-- How many jobs there are by status.
SELECT status::text, count(*)
  FROM procrastinate_jobs
 WHERE queue_name = %(queue)s AND task_name = %(task)s AND status IN ('todo', 'doing', 'failed')
   AND (%(tenant)s::text IS NULL OR args #>> '{context,tenant_id}' = %(tenant)s)
   AND (%(user)s::text IS NULL OR args #>> '{context,user_id}' = %(user)s)
 GROUP BY status;

-- hurry --
-- Make jobs that wait due now.
UPDATE procrastinate_jobs SET scheduled_at = now()
 WHERE queue_name = %(queue)s AND task_name = %(task)s AND status = 'todo' AND scheduled_at > now()
   AND (%(lock)s::text IS NULL OR lock = %(lock)s)
RETURNING id;

-- drop --
-- Delete a job that waits or was set aside.
DELETE FROM procrastinate_jobs
 WHERE id = %(id)s AND queue_name = %(queue)s AND task_name = %(task)s AND status IN ('todo', 'failed')
RETURNING id;

-- forget --
-- Delete the jobs of a user, in one thread or in all. A job that runs is left to its worker, without its messages.
WITH of_user AS (
    SELECT id, status
      FROM procrastinate_jobs
     WHERE queue_name = %(queue)s AND task_name = %(task)s
       AND args #>> '{context,tenant_id}' = %(tenant)s AND args #>> '{context,user_id}' = %(user)s
       AND (%(lock)s::text IS NULL OR lock = %(lock)s)
), emptied AS (
    UPDATE procrastinate_jobs SET args = args || '{"entries": {}}'
     WHERE id IN (SELECT id FROM of_user WHERE status = 'doing')
)
DELETE FROM procrastinate_jobs WHERE id IN (SELECT id FROM of_user WHERE status <> 'doing')
RETURNING id;

-- of user --
-- The jobs of a user in all queues.
SELECT id, args
  FROM procrastinate_jobs
 WHERE task_name = %(task)s AND status IN ('todo', 'doing', 'failed')
   AND args #>> '{context,tenant_id}' = %(tenant)s AND args #>> '{context,user_id}' = %(user)s;

-- rewrite --
-- Replace the entries of a job, unless others have joined it since they were read.
UPDATE procrastinate_jobs SET args = args || jsonb_build_object('entries', %(entries)s::jsonb)
 WHERE id = %(id)s AND status IN ('todo', 'doing', 'failed')
   AND (SELECT array_agg(name ORDER BY name) FROM jsonb_object_keys(args -> 'entries') AS name) = %(names)s::text[]
RETURNING id;

-- stalled --
-- Jobs whose worker is gone, or has shown no sign of life for `seconds`.
SELECT job.id
  FROM procrastinate_jobs AS job
  LEFT JOIN procrastinate_workers AS worker ON worker.id = job.worker_id
 WHERE job.status = 'doing' AND job.queue_name = %(queue)s AND job.task_name = %(task)s
   AND (worker.id IS NULL OR worker.last_heartbeat < now() - make_interval(secs => %(seconds)s));
