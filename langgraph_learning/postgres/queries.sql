-- The store's statements. `%(name)s` is a parameter, `%(name)b` a parameter in binary form: arrays of text are sent that
-- way, because in text form every element has to be quoted. `{name}` is a part for which Postgres takes no parameter (a
-- type with its size, a distance operator); it is filled in once per store.
-- Namespaces are sent as text joined with dots, which no label may contain.

-- set local --
SELECT set_config(name, value, true) FROM unnest(%(names)b::text[], %(values)b::text[]) AS setting (name, value);

-- get --
-- LATERAL makes Postgres look up each key, even if it plans the statement while the table is almost empty.
SELECT wanted.nth, item.namespace, item.key, item.value, item.version, item.created_at, item.updated_at,
       item.id, item.ttl_minutes
  FROM unnest(%(namespaces)b::text[], %(keys)b::text[]) WITH ORDINALITY AS wanted (namespace, key, nth)
 CROSS JOIN LATERAL (
    SELECT * FROM learning_items item
     WHERE item.namespace = string_to_array(wanted.namespace, '.') AND item.key = wanted.key
       AND (item.expires_at IS NULL OR item.expires_at > clock_timestamp() OR %(include_expired)s)
    OFFSET 0) item;

-- search by filter --
-- All searches of a batch without a query. Newest first, because there is no query to rank by.
SELECT op.nth, found.*
  FROM unnest(%(firsts)b::text[], %(ends)b::text[], %(filters)b::text[], %(limits)s::int[], %(offsets)s::int[])
       WITH ORDINALITY AS op (first, "end", filter, wanted, skipped, nth)
 CROSS JOIN LATERAL (
    SELECT item.namespace, item.key, item.value, item.version, item.created_at, item.updated_at,
           item.id, item.ttl_minutes, NULL::float8 AS score
      FROM learning_items item
     WHERE item.namespace >= string_to_array(op.first, '.') AND item.namespace < string_to_array(op."end", '.')
       AND (op.filter IS NULL OR item.value @@ op.filter::jsonpath)
       AND (item.expires_at IS NULL OR item.expires_at > clock_timestamp() OR %(include_expired)s)
     ORDER BY item.updated_at DESC, item.id DESC
     LIMIT op.wanted OFFSET op.skipped) found
 ORDER BY op.nth, found.updated_at DESC, found.id DESC;

-- search by vector --
-- In a namespace with few vectors all are compared, which is exact. In a larger one the vector index proposes a pool; if
-- its scan ends before enough items passed the filter, all vectors of the namespace are compared after all. Vectors are
-- compared in half precision, which lies in the row that is scanned; the nearest are ranked again in full precision.
WITH question AS MATERIALIZED (
    -- In a generic plan, an expression of parameters would be computed again for every row: that of a vector in half
    -- precision takes longer than a distance.
    SELECT %(vector)s::{vector} AS vector, %(vector)s::{vector}::{halfvec} AS meaning,
           string_to_array(%(first)s, '.') AS first, string_to_array(%(end)s, '.') AS "end"
),
size AS MATERIALIZED (
    -- Exact up to a limit, and estimated by a sample above it.
    SELECT known, known::float8 / greatest(known, reltuples, 1) AS share
      FROM (SELECT CASE WHEN count(*) < %(exact_below)s::int THEN count(*)
                        ELSE greatest(count(*), 32 * (
                            SELECT count(*) FROM learning_texts
                             WHERE namespace >= (SELECT first FROM question) AND namespace < (SELECT "end" FROM question)
                               AND get_byte(digest, 0) < 8)) END AS known
              FROM (SELECT FROM learning_texts
                     WHERE namespace >= (SELECT first FROM question) AND namespace < (SELECT "end" FROM question)
                     LIMIT %(exact_below)s::int) first_texts) counted,
           (SELECT reltuples FROM pg_class WHERE oid = 'learning_texts'::regclass) estimated
),
choice AS MATERIALIZED (
    -- An exact search slows down with the number of vectors, an index search with the share of candidates outside the
    -- namespace. So the smaller the share of the namespace, the more candidates are requested: 170 for all of the store,
    -- 890 for a quarter. With fewer the scan may not get out of a cluster of similar texts of others. 0
    -- candidates: the index is not used.
    SELECT coalesce(%(candidates)s::int,
                    (SELECT CASE WHEN known >= %(exact_below)s::int OR share >= 0.3 AND known >= 0.16 * %(exact_below)s
                                 THEN least(1000, 240 / share - 70)::int ELSE 0 END FROM size)) AS candidates
),
chosen AS MATERIALIZED (
    SELECT candidates, candidates > 0 AND set_config('hnsw.ef_search', candidates::text, true) IS NOT NULL AS indexed
      FROM choice
),
pool AS MATERIALIZED (
    SELECT text.item, text.field, text.meaning {distance} (SELECT meaning FROM question) AS distance
      FROM learning_texts text
     -- A condition on a slice keeps the planner from using the namespace index instead of the vector index.
     WHERE text.namespace[1:cardinality((SELECT first FROM question))] = (SELECT first FROM question)
       AND (SELECT indexed FROM chosen)
       AND EXISTS (SELECT FROM learning_items item
                    WHERE item.id = text.item
                      AND (%(filter)s::jsonpath IS NULL OR item.value @@ %(filter)s::jsonpath)
                      AND (item.expires_at IS NULL OR item.expires_at > clock_timestamp() OR %(include_expired)s)
                   OFFSET 0)
     ORDER BY text.meaning {distance} (SELECT meaning FROM question)
     LIMIT %(pool)s
),
proposed AS MATERIALIZED (
    SELECT count(DISTINCT item) >= %(wanted)s AS enough FROM pool
),
nearest AS MATERIALIZED (
    -- With the addition, the planner does not take the distance for what the vector index sorts by: its scan ends early.
    SELECT text.item, (text.meaning {distance} (SELECT meaning FROM question)) + 0 AS distance
      FROM learning_texts text
     WHERE text.namespace >= (SELECT first FROM question) AND text.namespace < (SELECT "end" FROM question)
       AND text.meaning IS NOT NULL AND NOT (SELECT enough FROM proposed)
     ORDER BY 2, 1 LIMIT %(considered)s
),
passed AS MATERIALIZED (
    -- An item ranks by its nearest text.
    SELECT item.id, best.distance
      FROM (SELECT item, min(distance) AS distance
              FROM (SELECT item, distance FROM pool WHERE (SELECT enough FROM proposed)
                     UNION ALL SELECT item, distance FROM nearest) text
             GROUP BY item) best
      JOIN learning_items item ON item.id = best.item
     WHERE (%(filter)s::jsonpath IS NULL OR item.value @@ %(filter)s::jsonpath)
       AND (item.expires_at IS NULL OR item.expires_at > clock_timestamp() OR %(include_expired)s)
),
chance AS MATERIALIZED (
    SELECT (SELECT count(*) FROM passed) < %(wanted)s AND (SELECT count(*) FROM nearest) = %(considered)s AS missed
),
near AS MATERIALIZED (
    (SELECT id, distance FROM passed WHERE NOT (SELECT missed FROM chance) ORDER BY distance, id LIMIT %(rescored)s)
     UNION ALL
    -- So few of the nearest passed the filter that all that pass are compared.
    (SELECT item.id, min(text.meaning {distance} (SELECT meaning FROM question))
       FROM learning_items item
       JOIN learning_texts text ON text.item = item.id
      WHERE (SELECT missed FROM chance) AND text.meaning IS NOT NULL
        AND item.namespace >= (SELECT first FROM question) AND item.namespace < (SELECT "end" FROM question)
        AND (%(filter)s::jsonpath IS NULL OR item.value @@ %(filter)s::jsonpath)
        AND (item.expires_at IS NULL OR item.expires_at > clock_timestamp() OR %(include_expired)s)
      GROUP BY item.id ORDER BY 2, 1 LIMIT %(rescored)s)
)
SELECT item.namespace, item.key, item.value, item.version, item.created_at, item.updated_at, item.id, item.ttl_minutes,
       %(best)s::float8 - exact.distance AS score, (SELECT candidates FROM chosen) AS candidates
  FROM near
  JOIN learning_items item ON item.id = near.id
 CROSS JOIN LATERAL (SELECT min(text.embedding {distance} (SELECT vector FROM question)) AS distance
                       FROM learning_texts text WHERE text.item = near.id) exact
 ORDER BY exact.distance, near.id
 LIMIT %(limit)s OFFSET %(offset)s;

-- hybrid search --
-- All hybrid searches of a batch. `asked` numbers the different questions, each of one or several query texts; `op` has
-- the searches. Every text is scored by meaning and by words at once. In a namespace with few texts all are; in a larger
-- one both indexes propose texts. The best are filtered afterwards, and if too few pass, all that pass are scored.
WITH query AS MATERIALIZED (
    SELECT asked, nth, penalty, words, shares, rare::int[] AS rare, sets::text[] AS sets,
           complete{query_columns}
      FROM unnest(%(asked)s::int[], %(nths)s::int[], %(penalties)s::float8[], %(words)s::sparsevec[],
                  %(shares)s::sparsevec[], %(rares)b::text[], %(sets)b::text[], %(completes)s::boolean[]{query_arrays})
           AS row (asked, nth, penalty, words, shares, rare, sets, complete{query_names})
),
op AS MATERIALIZED (
    SELECT nth, asked, string_to_array(first, '.') AS first, string_to_array("end", '.') AS "end",
           filter::jsonpath AS filter, wanted, skipped, small, whole, 3 * (wanted + skipped) + 60 AS pool
      FROM unnest(%(ops)s::int[], %(firsts)b::text[], %(ends)b::text[], %(filters)b::text[], %(limits)s::int[],
                  %(offsets)s::int[], %(smalls)s::boolean[], %(wholes)s::boolean[]) WITH ORDINALITY
           AS row (asked, first, "end", filter, wanted, skipped, small, whole, nth)
),
pool AS MATERIALIZED (
    SELECT op.nth, near.item, near.score
      FROM op
     CROSS JOIN LATERAL (
        SELECT text.item, {fused} - query.penalty AS score
          FROM query
         CROSS JOIN learning_texts text
         WHERE query.asked = op.asked AND text.namespace >= op.first AND text.namespace < op."end" AND {has_match}
         ORDER BY 2 DESC, 1 LIMIT op.pool) near
     WHERE op.small
     UNION ALL
    SELECT op.nth, near.item, near.score - query.penalty
      FROM op
      JOIN query ON query.asked = op.asked
     CROSS JOIN LATERAL (
       {by_meaning}
       -- The index over words has the words of a tenant: for a part of it, the index over namespaces is read as well, so
       -- that the texts of the other parts are never fetched. For all of it that would be in vain.
       (SELECT text.item, {fused} AS score
          FROM learning_texts text
         WHERE NOT op.whole AND {has_telling_words}
           AND text.namespace >= op.first AND text.namespace < op."end"
         ORDER BY 2 DESC LIMIT op.pool)
        UNION ALL
       (SELECT text.item, {fused} AS score
          FROM learning_texts text
         WHERE op.whole AND {has_telling_words} AND text.namespace[1:cardinality(op.first)] = op.first
         ORDER BY 2 DESC LIMIT op.pool)) near
     WHERE NOT op.small
),
proposed AS MATERIALIZED (
    SELECT best.nth, item.id, item.namespace, item.sequence, item.place, best.score
      FROM (SELECT nth, item, max(score) AS score FROM pool GROUP BY nth, item) best
      JOIN op ON op.nth = best.nth
      JOIN learning_items item ON item.id = best.item
     WHERE (op.filter IS NULL OR item.value @@ op.filter)
       AND (item.expires_at IS NULL OR item.expires_at > clock_timestamp() OR %(include_expired)s)
),
short AS MATERIALIZED (
    SELECT op.* FROM op
     WHERE (SELECT count(*) FROM proposed WHERE proposed.nth = op.nth) < op.wanted + op.skipped
       -- Otherwise the pool has every text that can be found.
       AND ((SELECT count(*) FROM pool WHERE pool.nth = op.nth) >= op.pool
            OR NOT (op.small OR {words_only} AND (SELECT bool_and(complete) FROM query WHERE query.asked = op.asked)))
),
candidate AS MATERIALIZED (
    SELECT * FROM proposed WHERE nth NOT IN (SELECT nth FROM short)
     UNION ALL
    SELECT short.nth, item.id, item.namespace, item.sequence, item.place, max({fused} - query.penalty)
      FROM short
      JOIN query ON query.asked = short.asked
      JOIN learning_items item ON item.namespace >= short.first AND item.namespace < short."end"
      JOIN learning_texts text ON text.item = item.id
     WHERE (short.filter IS NULL OR item.value @@ short.filter) AND {has_match}
       AND (item.expires_at IS NULL OR item.expires_at > clock_timestamp() OR %(include_expired)s)
     GROUP BY short.nth, item.id
),
neighbour AS MATERIALIZED (
    SELECT DISTINCT candidate.nth, op.asked, beside.id, beside.namespace, beside.sequence, beside.place
      FROM candidate
      JOIN op ON op.nth = candidate.nth
      JOIN learning_items beside ON beside.namespace = candidate.namespace AND beside.sequence = candidate.sequence
                                AND beside.place BETWEEN candidate.place - 1 AND candidate.place + 1
     WHERE %(lift)s::float8 > 0
       AND NOT EXISTS (SELECT FROM candidate other WHERE other.nth = candidate.nth AND other.id = beside.id)
       AND (op.filter IS NULL OR beside.value @@ op.filter)
       AND (beside.expires_at IS NULL OR beside.expires_at > clock_timestamp() OR %(include_expired)s)
),
lifted AS MATERIALIZED (
    SELECT nth, id, score FROM candidate WHERE %(lift)s::float8 = 0
     UNION ALL
    -- An item next to a good match in its sequence gets part of that match's score.
    SELECT nth, id, (score + %(lift)s * coalesce(
               CASE WHEN sequence IS NOT NULL THEN max(score) OVER (
                    PARTITION BY nth, namespace, sequence ORDER BY place
                    RANGE BETWEEN 1::float8 PRECEDING AND 1::float8 FOLLOWING EXCLUDE CURRENT ROW) END, 0))
           / (1 + %(lift)s)
      FROM (SELECT nth, id, namespace, sequence, place, score FROM candidate
             UNION ALL
            SELECT neighbour.nth, neighbour.id, neighbour.namespace, neighbour.sequence, neighbour.place,
                   max({fused} - query.penalty)
              FROM neighbour
              JOIN query ON query.asked = neighbour.asked
              JOIN learning_texts text ON text.item = neighbour.id
             GROUP BY 1, 2, 3, 4, 5) scored
     WHERE %(lift)s::float8 > 0
)
SELECT ranked.nth, item.namespace, item.key, item.value, item.version, item.created_at, item.updated_at,
       item.id, item.ttl_minutes, item.indexed, ranked.score, scores.similarities, scores.shares,
       scores.nearest
  FROM (SELECT nth, id, score, row_number() OVER (PARTITION BY nth ORDER BY score DESC, id) AS rank FROM lifted) ranked
  JOIN op ON op.nth = ranked.nth
  JOIN learning_items item ON item.id = ranked.id
 CROSS JOIN LATERAL (
    SELECT array_agg(similarity ORDER BY nth) AS similarities, array_agg(share ORDER BY nth) AS shares,
           array_agg(nearest ORDER BY nth) AS nearest
      FROM (SELECT query.nth, max({similarity}) AS similarity, max(-(text.words <#> query.shares)) AS share,
                   (array_agg(text.field ORDER BY {similarity} DESC))[1] AS nearest
              FROM query LEFT JOIN learning_texts text ON text.item = ranked.id
             WHERE query.asked = op.asked GROUP BY query.nth) each) scores
 WHERE ranked.rank > op.skipped AND ranked.rank <= op.skipped + op.wanted
 ORDER BY ranked.nth, ranked.rank;

-- count texts --
-- The sizes of namespaces, exact up to a limit and estimated by a sample above it.
SELECT CASE WHEN counted.texts < %(exact_below)s::int THEN counted.texts
            ELSE greatest(counted.texts, 32 * (
                SELECT count(*) FROM learning_texts
                 WHERE namespace >= string_to_array(prefix.first, '.') AND namespace < string_to_array(prefix."end", '.')
                   AND get_byte(digest, 0) < 8)) END AS texts
  FROM unnest(%(firsts)b::text[], %(ends)b::text[]) WITH ORDINALITY AS prefix (first, "end", nth)
 CROSS JOIN LATERAL (
    SELECT count(*) AS texts
      FROM (SELECT FROM learning_texts
             WHERE namespace >= string_to_array(prefix.first, '.') AND namespace < string_to_array(prefix."end", '.')
             LIMIT %(exact_below)s::int) first_texts) counted
 ORDER BY prefix.nth;

-- count tokens --
-- In how many of the first texts, and of a sample of all texts, each token occurs.
WITH sample AS MATERIALIZED (
    (SELECT tokens FROM learning_texts
      WHERE namespace >= string_to_array(%(first)s, '.') AND namespace < string_to_array(%(end)s, '.')
      LIMIT 500)
     UNION ALL
    (SELECT tokens FROM learning_texts
      WHERE namespace >= string_to_array(%(first)s, '.') AND namespace < string_to_array(%(end)s, '.')
        AND get_byte(digest, 0) < 8
      LIMIT 1500)
)
SELECT (SELECT count(*) FROM sample) AS texts, array_agg(token) AS tokens, array_agg(number::int) AS counts
  FROM (SELECT token, count(*) AS number FROM sample, unnest(tokens) AS token GROUP BY token HAVING count(*) > 1) counted;

-- list namespaces --
-- Steps from one namespace to the next in the index, never from item to item. `depth` truncates namespaces; `stride` also
-- skips those that truncate to the same, which is correct only if no pattern matches the part that is cut. The walk is in
-- order, so if nothing is listed twice it may end after `enough` namespaces.
WITH RECURSIVE walk (namespace) AS (
    (SELECT namespace FROM learning_items
      WHERE namespace >= string_to_array(%(first)s, '.') AND namespace < string_to_array(%(end)s, '.')
        AND (expires_at IS NULL OR expires_at > clock_timestamp() OR %(include_expired)s)
      ORDER BY namespace LIMIT 1)
     UNION ALL
    SELECT (SELECT item.namespace FROM learning_items item
             WHERE item.namespace >= CASE WHEN cardinality(walk.namespace) >= %(stride)s::int
                                     THEN walk.namespace[1:%(stride)s::int - 1]
                                          || (walk.namespace[%(stride)s::int] || E'\x01')
                                     ELSE array_append(walk.namespace, '') END
               AND item.namespace < string_to_array(%(end)s, '.')
               AND (item.expires_at IS NULL OR item.expires_at > clock_timestamp() OR %(include_expired)s)
             ORDER BY item.namespace LIMIT 1)
      FROM walk WHERE walk.namespace IS NOT NULL
)
SELECT DISTINCT namespace
  FROM (SELECT namespace[1:coalesce(%(depth)s::int, cardinality(namespace))] AS namespace
  FROM walk
 WHERE namespace IS NOT NULL
   AND NOT EXISTS (
       SELECT FROM unnest(%(patterns)b::text[], %(from_end)s::boolean[]) AS wanted (pattern, from_end),
              unnest(string_to_array(wanted.pattern, '.')) WITH ORDINALITY AS part (label, nth)
        WHERE part.label <> '*'
          AND part.label IS DISTINCT FROM walk.namespace[CASE WHEN wanted.from_end THEN cardinality(walk.namespace)
                  - cardinality(string_to_array(wanted.pattern, '.')) ELSE 0 END + part.nth]
           OR cardinality(string_to_array(wanted.pattern, '.')) > cardinality(walk.namespace))
 LIMIT %(enough)s::int) listed
 ORDER BY 1
 LIMIT %(limit)s OFFSET %(offset)s;

-- lock keys --
-- Locks every key of a batch in a fixed order, including keys that do not exist: for those it inserts a placeholder of
-- version 0 for the time of the transaction, so that of two transactions creating the same key one waits.
INSERT INTO learning_items (namespace, key, value, version)
SELECT wanted.namespace, wanted.key, 'null', 0
  FROM (SELECT string_to_array(namespace, '.') AS namespace, key
          FROM unnest(%(namespaces)b::text[], %(keys)b::text[]) AS row (namespace, key)) wanted
 ORDER BY wanted.namespace COLLATE "C", wanted.key COLLATE "C"
    ON CONFLICT (namespace, key) DO UPDATE SET key = excluded.key WHERE false;

-- read versions --
SELECT wanted.nth, CASE WHEN item.expires_at <= clock_timestamp() AND NOT %(include_expired)s THEN 0 ELSE item.version END
       AS version
  FROM unnest(%(namespaces)b::text[], %(keys)b::text[]) WITH ORDINALITY AS wanted (namespace, key, nth)
  JOIN learning_items item ON item.namespace = string_to_array(wanted.namespace, '.') AND item.key = wanted.key
 ORDER BY wanted.nth;

-- put --
-- The version of a key that was deleted continues from the last one in the change log.
INSERT INTO learning_items AS item (namespace, key, value, version, indexed, sequence, place, ttl_minutes, expires_at)
SELECT given.namespace, given.key, given.value::jsonb,
       1 + coalesce((SELECT change.version FROM learning_changes change
                      WHERE change.namespace = given.namespace AND change.key = given.key
                      ORDER BY change.version DESC LIMIT 1), 0),
       string_to_array(given.indexed, E'\x1f'), given.sequence, given.place, given.ttl,
       clock_timestamp() + given.ttl * interval '1 minute'
  FROM (SELECT string_to_array(namespace, '.') AS namespace, key, value, indexed, sequence, place, ttl
          FROM unnest(%(namespaces)b::text[], %(keys)b::text[], %(values)b::text[], %(indexed)b::text[],
                      %(sequences)b::text[], %(places)s::float8[], %(ttls)s::float8[])
               AS row (namespace, key, value, indexed, sequence, place, ttl)) given
 ORDER BY given.namespace COLLATE "C", given.key COLLATE "C"
    ON CONFLICT (namespace, key) DO UPDATE
   SET value = excluded.value, version = greatest(item.version + 1, excluded.version), indexed = excluded.indexed,
       sequence = excluded.sequence, place = excluded.place,
       created_at = CASE WHEN item.expires_at <= clock_timestamp() THEN excluded.created_at ELSE item.created_at END,
       updated_at = clock_timestamp(), ttl_minutes = excluded.ttl_minutes, expires_at = excluded.expires_at;

-- delete --
DELETE FROM learning_items item
 USING unnest(%(namespaces)b::text[], %(keys)b::text[]) AS deleted (namespace, key)
 WHERE item.namespace = string_to_array(deleted.namespace, '.') AND item.key = deleted.key;

-- delete placeholders --
DELETE FROM learning_items item
 USING unnest(%(namespaces)b::text[], %(keys)b::text[]) AS claimed (namespace, key)
 WHERE item.namespace = string_to_array(claimed.namespace, '.') AND item.key = claimed.key AND item.version = 0;

-- read known vectors --
-- Most puts change a status or a count and write an unchanged text, whose vector is stored already.
SELECT text.digest, {vector_send}(text.embedding) AS vector
  FROM unnest(%(namespaces)b::text[], %(keys)b::text[], %(digests)b::bytea[]) AS given (namespace, key, digest)
 CROSS JOIN LATERAL (
    SELECT * FROM learning_items item
     WHERE item.namespace = string_to_array(given.namespace, '.') AND item.key = given.key
    OFFSET 0) item
 CROSS JOIN LATERAL (
    SELECT * FROM learning_texts text WHERE text.item = item.id AND text.digest = given.digest OFFSET 0) text
 WHERE text.embedding IS NOT NULL;

-- delete stale texts --
-- All texts of these items except those that stay the same. An item that was just created has none.
DELETE FROM learning_texts text
 USING unnest(%(namespaces)b::text[], %(keys)b::text[]) WITH ORDINALITY AS changed (namespace, key, nth)
  JOIN learning_items item ON item.namespace = string_to_array(changed.namespace, '.') AND item.key = changed.key
 WHERE text.item = item.id AND item.version > 1
   AND NOT EXISTS (SELECT FROM unnest(%(nths)s::int[], %(fields)b::text[], %(digests)b::bytea[])
                            AS unchanged (nth, field, digest)
                    WHERE unchanged.nth = changed.nth AND unchanged.field = text.field
                      AND unchanged.digest = text.digest
                      AND {is_indexed});

-- insert texts --
INSERT INTO learning_texts (item, field, namespace, digest{columns})
SELECT item.id, given.field, item.namespace, given.digest{values}
  FROM unnest(%(namespaces)b::text[], %(keys)b::text[], %(fields)b::text[], %(digests)b::bytea[]{arrays})
       AS given (namespace, key, field, digest{names})
  JOIN learning_items item ON item.namespace = string_to_array(given.namespace, '.') AND item.key = given.key
    ON CONFLICT (item, field) DO NOTHING;

-- refresh expiry --
-- Rows locked by a writer are skipped: the writer sets the expiry itself, and neither waits for the other.
UPDATE learning_items SET expires_at = clock_timestamp() + ttl_minutes * interval '1 minute'
 WHERE id IN (SELECT id FROM learning_items
               WHERE id = ANY (%(ids)s) AND (expires_at > clock_timestamp() OR %(include_expired)s)
                 FOR UPDATE SKIP LOCKED);

-- delete expired --
DELETE FROM learning_items
 WHERE id IN (SELECT id FROM learning_items WHERE expires_at <= clock_timestamp()
               ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING id;

-- read history --
SELECT id, at, by, namespace, key, before, after, version
  FROM learning_changes
 WHERE namespace = string_to_array(%(namespace)s, '.') AND (%(key)s::text IS NULL OR key = %(key)s)
 ORDER BY id DESC LIMIT %(limit)s;

-- erase history --
-- Keeps that the item existed, when it changed and who deleted it; removes its values.
UPDATE learning_changes change
   SET before = NULL, after = NULL
  FROM unnest(%(namespaces)b::text[], %(keys)b::text[]) AS erased (namespace, key)
 WHERE change.namespace = string_to_array(erased.namespace, '.') AND change.key = erased.key;

-- prune history --
WITH pruned AS (
    DELETE FROM learning_changes
     WHERE namespace >= string_to_array(%(first)s, '.') AND namespace < string_to_array(%(end)s, '.')
       AND (%(before)s::timestamptz IS NULL OR at < %(before)s)
    RETURNING id
)
SELECT count(*) FROM pruned;

-- lock schema --
SELECT pg_advisory_xact_lock(7305806520961);

-- create migrations table --
CREATE TABLE IF NOT EXISTS learning_migrations (
    number int PRIMARY KEY,
    name text NOT NULL,
    done_at timestamptz NOT NULL DEFAULT now()
);

-- read migrations --
SELECT number FROM learning_migrations;

-- read table state --
SELECT to_regclass('learning_migrations') IS NOT NULL AS migrated,
       (SELECT format_type(atttypid, atttypmod) FROM pg_attribute
         WHERE attrelid = to_regclass('learning_texts') AND attname = 'embedding' AND NOT attisdropped) AS vectors,
       EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('learning_texts') AND attname = 'meaning'
                  AND NOT attisdropped) AS halves,
       EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('learning_texts') AND attname = 'tokens'
                  AND NOT attisdropped) AS words,
       to_regclass('learning_texts_meaning') IS NOT NULL AS meaning_index,
       to_regclass('learning_texts_tokens') IS NOT NULL AS words_index,
       (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS extension;

-- read types --
SELECT attname AS name, atttypid::int8 AS oid FROM pg_attribute
 WHERE attrelid = to_regclass('learning_texts') AND attname IN ('embedding', 'words') AND NOT attisdropped;

-- delete all texts --
TRUNCATE learning_texts;

-- count unindexed --
SELECT count(*) FROM learning_items item
 WHERE item.indexed IS DISTINCT FROM '{{}}' AND NOT EXISTS (SELECT FROM learning_texts text WHERE text.item = item.id);

-- read unindexed --
SELECT id, version, namespace, value, indexed FROM learning_items item
 WHERE id > %(after)s AND item.indexed IS DISTINCT FROM '{{}}'
   AND NOT EXISTS (SELECT FROM learning_texts text WHERE text.item = item.id)
 ORDER BY id LIMIT %(limit)s;

-- insert texts again --
-- Items that another writer has locked, or has changed since they were read, are skipped: that writer indexes them.
WITH unchanged AS MATERIALIZED (
    SELECT item.id, item.namespace FROM learning_items item
     WHERE (item.id, item.version) IN (SELECT * FROM unnest(%(ids)s::bigint[], %(versions)s::bigint[]))
       FOR UPDATE SKIP LOCKED
)
INSERT INTO learning_texts (item, field, namespace, digest{columns})
SELECT given.id, given.field, unchanged.namespace, given.digest{values}
  FROM unnest(%(ids)s::bigint[], %(fields)b::text[], %(digests)b::bytea[]{arrays}) AS given (id, field, digest{names})
  JOIN unchanged USING (id)
    ON CONFLICT (item, field) DO NOTHING;

-- count wordless --
SELECT count(*) FROM learning_texts WHERE words IS NULL;

-- read wordless --
-- Texts that a release or a store without words has written.
SELECT text.item, text.field, text.digest, item.namespace, item.value, item.indexed
  FROM learning_texts text JOIN learning_items item ON item.id = text.item
 WHERE text.words IS NULL AND (text.item, text.field) > (%(item)s::bigint, %(field)s::text)
 ORDER BY text.item, text.field LIMIT %(limit)s;

-- add words --
-- Texts that another writer has locked are skipped: that writer replaces or deletes them, or the next round reads them.
WITH free AS MATERIALIZED (
    SELECT text.item, text.field, given.words,
           (%(tokens)s::int[])[given.first_token:given.last_token] AS tokens
      FROM unnest(%(items)s::bigint[], %(fields)b::text[], %(words)s::sparsevec[], %(first_tokens)s::int[],
                  %(last_tokens)s::int[]) AS given (item, field, words, first_token, last_token)
      JOIN learning_texts text ON text.item = given.item AND text.field = given.field
     WHERE text.words IS NULL
       FOR UPDATE OF text SKIP LOCKED
)
UPDATE learning_texts text SET words = free.words, tokens = free.tokens
  FROM free WHERE text.item = free.item AND text.field = free.field;
