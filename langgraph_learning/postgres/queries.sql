-- The store's statements. `%(name)s` is a parameter, `%(name)b` a parameter in binary form: arrays of text are sent that
-- way, because in text form every element has to be quoted. `{name}` is a part for which Postgres takes no parameter (a
-- type with its size, a distance operator); it is filled in once per store.
-- Namespaces are sent as text joined with dots, which no label may contain.

-- set local --
SELECT set_config(name, value, true) FROM unnest(%(names)b::text[], %(values)b::text[]) AS setting (name, value);

-- get --
SELECT wanted.nth, item.namespace, item.key, item.value, item.version, item.created_at, item.updated_at,
       item.id, item.ttl_minutes
  FROM unnest(%(namespaces)b::text[], %(keys)b::text[]) WITH ORDINALITY AS wanted (namespace, key, nth)
  JOIN learning_items item ON item.namespace = string_to_array(wanted.namespace, '.') AND item.key = wanted.key
 WHERE item.expires_at IS NULL OR item.expires_at > clock_timestamp() OR %(include_expired)s;

-- search by filter --
-- Newest first, because there is no query to rank by.
SELECT item.namespace, item.key, item.value, item.version, item.created_at, item.updated_at,
       item.id, item.ttl_minutes, NULL::float8 AS score
  FROM learning_items item
 WHERE item.namespace >= string_to_array(%(first)s, '.') AND item.namespace < string_to_array(%(end)s, '.')
   AND (%(filter)s::jsonpath IS NULL OR item.value @@ %(filter)s::jsonpath)
   AND (item.expires_at IS NULL OR item.expires_at > clock_timestamp() OR %(include_expired)s)
 ORDER BY item.updated_at DESC, item.id DESC
 LIMIT %(limit)s OFFSET %(offset)s;

-- search by vector --
-- In a namespace with few vectors all are compared, which is exact. In a larger one the vector index proposes a pool; if
-- its scan ends before enough items passed the filter, all vectors of the namespace are compared after all.
WITH size AS MATERIALIZED (
    SELECT count(*) AS known, count(*)::float8 / greatest(count(*), max(reltuples), 1) AS share
      FROM (SELECT FROM learning_texts
             WHERE namespace >= string_to_array(%(first)s, '.') AND namespace < string_to_array(%(end)s, '.')
             LIMIT 4 * %(exact_below)s::int) counted,
           (SELECT reltuples FROM pg_class WHERE oid = 'learning_texts'::regclass) estimated
),
choice AS MATERIALIZED (
    -- An exact search slows down with the number of vectors, an index search with the share of candidates outside the
    -- namespace. So the smaller the share of the namespace, the more candidates are requested: at least 400, because with
    -- fewer the scan may not get out of a cluster of similar texts. 0 candidates: the index is not used.
    SELECT coalesce(%(candidates)s::int,
                    (SELECT CASE WHEN known >= %(exact_below)s::int OR share >= 0.3 AND known >= 0.16 * %(exact_below)s
                                 THEN greatest(400, least(1000, 300 / share))::int ELSE 0 END FROM size)) AS candidates
),
chosen AS MATERIALIZED (
    SELECT candidates, candidates > 0 AND set_config('hnsw.ef_search', candidates::text, true) IS NOT NULL AS indexed
      FROM choice
),
pool AS MATERIALIZED (
    SELECT text.item, text.embedding {distance} %(vector)s::{vector} AS distance
      FROM learning_texts text
     -- A condition on a slice keeps the planner from using the namespace index instead of the vector index.
     WHERE text.namespace[1:cardinality(string_to_array(%(first)s, '.'))] = string_to_array(%(first)s, '.')
       AND (SELECT indexed FROM chosen)
       AND EXISTS (SELECT FROM learning_items item
                    WHERE item.id = text.item
                      AND (%(filter)s::jsonpath IS NULL OR item.value @@ %(filter)s::jsonpath)
                      AND (item.expires_at IS NULL OR item.expires_at > clock_timestamp() OR %(include_expired)s)
                   OFFSET 0)
     ORDER BY text.embedding::{halfvec} {distance} %(vector)s::{halfvec}
     LIMIT %(pool)s
),
proposed AS MATERIALIZED (
    SELECT count(DISTINCT item) >= %(wanted)s AS enough FROM pool
)
-- Items are fetched and filtered in order of distance until there are enough.
SELECT item.namespace, item.key, item.value, item.version, item.created_at, item.updated_at,
       item.id, item.ttl_minutes, %(best)s::float8 - nearest.distance AS score, (SELECT candidates FROM chosen) AS candidates
  FROM (SELECT item, min(distance) AS distance, NULL AS field
          FROM pool WHERE (SELECT enough FROM proposed) GROUP BY item
         UNION ALL
        SELECT text.item, text.embedding {distance} %(vector)s::{vector}, text.field
          FROM learning_texts text
         WHERE text.namespace >= string_to_array(%(first)s, '.') AND text.namespace < string_to_array(%(end)s, '.')
           AND text.embedding IS NOT NULL AND NOT (SELECT enough FROM proposed)
         ORDER BY 2, 1) nearest
 CROSS JOIN LATERAL (
    SELECT * FROM learning_items item
     WHERE item.id = nearest.item
       AND (%(filter)s::jsonpath IS NULL OR item.value @@ %(filter)s::jsonpath)
       AND (item.expires_at IS NULL OR item.expires_at > clock_timestamp() OR %(include_expired)s)
       -- An item ranks by its nearest text.
       AND NOT EXISTS (SELECT FROM learning_texts better
                        WHERE better.item = nearest.item AND better.field <> nearest.field
                          AND (better.embedding {distance} %(vector)s::{vector}, better.field)
                              < (nearest.distance, nearest.field))
    OFFSET 0) item
 LIMIT %(limit)s OFFSET %(offset)s;

-- hybrid search --
-- All searches of a batch with the same query, so that their scores are comparable: each leg is divided by its best score
-- over all of them. The word leg approximates BM25 with Postgres' own functions: rare words weigh more, repeated words
-- saturate (`ts_rank` of one word does that), long texts count less. In a namespace with few texts all are scored; in a
-- larger one each leg proposes a pool. An item next to a good match in its sequence gets part of that match's score.
WITH term AS MATERIALIZED (
    SELECT lexeme, quote_literal(replace(lexeme, E'\\', ''))::tsquery AS query
      FROM unnest(to_tsvector(%(language)s::regconfig, left(%(query)s, 20000)))
),
any_term AS MATERIALIZED (
    SELECT string_agg(query::text, ' | ')::tsquery AS query FROM term
),
op AS MATERIALIZED (
    SELECT given.*, %(exact_below)s::int > (
               SELECT count(*) FROM (SELECT FROM learning_texts text
                                      WHERE text.namespace >= given.first AND text.namespace < given."end"
                                      LIMIT %(exact_below)s::int) counted) AS small
      FROM (SELECT nth, string_to_array(first, '.') AS first, string_to_array("end", '.') AS "end",
                   filter::jsonpath AS filter, wanted, skipped
              FROM unnest(%(firsts)b::text[], %(ends)b::text[], %(filters)b::text[], %(limits)s::int[],
                          %(offsets)s::int[]) WITH ORDINALITY AS row (first, "end", filter, wanted, skipped, nth)) given
),
found AS MATERIALIZED (
    SELECT op.nth, op.small, near.item, near.field, near.words, near.similarity,
           item.namespace, item.sequence, item.place
      FROM op
     CROSS JOIN LATERAL (
           SELECT text.item, text.field, text.words, {similarity} AS similarity
             FROM learning_texts text
            WHERE op.small AND text.namespace >= op.first AND text.namespace < op."end"
            UNION ALL
           (SELECT text.item, text.field, text.words, {similarity} AS similarity
              FROM learning_texts text
             WHERE NOT op.small AND {has_vectors} AND text.namespace[1:cardinality(op.first)] = op.first
               AND EXISTS (SELECT FROM learning_items item
                            WHERE item.id = text.item AND (op.filter IS NULL OR item.value @@ op.filter) OFFSET 0)
             ORDER BY {index_distance} LIMIT 2 * (op.wanted + op.skipped) + 50)
            UNION ALL
           (SELECT text.item, text.field, text.words, {similarity} AS similarity
              FROM learning_texts text, any_term
             WHERE NOT op.small AND text.namespace >= op.first AND text.namespace < op."end"
               AND text.words @@ any_term.query
               AND EXISTS (SELECT FROM learning_items item
                            WHERE item.id = text.item AND (op.filter IS NULL OR item.value @@ op.filter) OFFSET 0)
             ORDER BY ts_rank(text.words, any_term.query) DESC LIMIT 2 * (op.wanted + op.skipped) + 50)
           ) near
      JOIN learning_items item ON item.id = near.item
     WHERE (op.filter IS NULL OR item.value @@ op.filter)
       AND (item.expires_at IS NULL OR item.expires_at > clock_timestamp() OR %(include_expired)s)
),
hit AS MATERIALIZED (
    SELECT nth, item, field, words, similarity, namespace, sequence, place FROM found
     UNION
    -- In a large namespace the neighbours have to be fetched; of a small one all items are here already.
    SELECT found.nth, text.item, text.field, text.words, {similarity}, beside.namespace, beside.sequence, beside.place
      FROM found
      JOIN op ON op.nth = found.nth AND NOT op.small
      JOIN learning_items beside ON beside.namespace = found.namespace AND beside.sequence = found.sequence
                                AND beside.place BETWEEN found.place - 1 AND found.place + 1
      JOIN learning_texts text ON text.item = beside.id
     WHERE (op.filter IS NULL OR beside.value @@ op.filter)
       AND (beside.expires_at IS NULL OR beside.expires_at > clock_timestamp() OR %(include_expired)s)
),
match AS MATERIALIZED (
    SELECT hit.nth, hit.item, hit.field, term.lexeme, ts_rank(hit.words, term.query) AS often,
           power(0.25 + 0.75 * length(hit.words) / (SELECT avg(length(words)) FROM hit), 0.75) AS long
      FROM hit JOIN term ON hit.words @@ term.query
),
worded AS (
    SELECT nth, item, max(score) AS score
      FROM (SELECT nth, item, sum(often * rare) / min(long) AS score
              FROM match
              JOIN (SELECT lexeme, ln(1 + ((SELECT count(*) FROM hit) - count(*) + 0.5) / (count(*) + 0.5)) AS rare
                      FROM match GROUP BY lexeme) weight USING (lexeme)
             GROUP BY nth, item, field) fields
     GROUP BY nth, item
),
leg AS MATERIALIZED (
    SELECT nth, item, meant.sequence, meant.namespace, meant.place, meant.similarity, worded.score AS words
      FROM (SELECT nth, item, min(namespace) AS namespace, min(sequence) AS sequence, min(place) AS place,
                   greatest(max(similarity), 0) AS similarity
              FROM hit GROUP BY nth, item) meant
      LEFT JOIN worded USING (nth, item)
),
fused AS (
    SELECT nth, item, sequence, namespace, place,
           {word_weight} * coalesce(words / (SELECT max(words) FROM leg), 0)
           + (1 - {word_weight}) * coalesce(similarity / nullif((SELECT max(similarity) FROM leg), 0), 0) AS score
      FROM leg
),
lifted AS (
    SELECT nth, item, CASE WHEN %(lift)s::float8 = 0 THEN score ELSE (score + %(lift)s * coalesce(
               CASE WHEN sequence IS NOT NULL THEN max(score) OVER (
                    PARTITION BY nth, namespace, sequence ORDER BY place
                    RANGE BETWEEN 1::float8 PRECEDING AND 1::float8 FOLLOWING EXCLUDE CURRENT ROW) END, 0))
           / (1 + %(lift)s) END AS score
      FROM fused
)
SELECT ranked.nth, item.namespace, item.key, item.value, item.version, item.created_at, item.updated_at,
       item.id, item.ttl_minutes, item.indexed, ranked.score,
       ARRAY(SELECT (SELECT max({each_similarity}) FROM learning_texts text WHERE text.item = ranked.item)
               FROM unnest(%(vectors)s::text[]::{vector_type}[]) WITH ORDINALITY AS query (vector, nth)
              ORDER BY query.nth) AS similarities
  FROM (SELECT nth, item, score, row_number() OVER (PARTITION BY nth ORDER BY score DESC, item) AS rank
          FROM lifted WHERE score > 0 OR {has_vectors}) ranked
  JOIN op USING (nth)
  JOIN learning_items item ON item.id = ranked.item
 WHERE ranked.rank > op.skipped AND ranked.rank <= op.skipped + op.wanted
 ORDER BY ranked.nth, ranked.rank;

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
  JOIN learning_items item ON item.namespace = string_to_array(given.namespace, '.') AND item.key = given.key
  JOIN learning_texts text ON text.item = item.id AND text.digest = given.digest
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
                      AND {has_embedding});

-- insert texts --
-- A tsvector holds at most a megabyte: of a longer text only the beginning can be found by its words.
INSERT INTO learning_texts (item, field, namespace, digest, words{embedding_column})
SELECT item.id, given.field, item.namespace, given.digest,
       to_tsvector(%(language)s::regconfig, left(given.text, 200000)){embedding_value}
  FROM unnest(%(namespaces)b::text[], %(keys)b::text[], %(fields)b::text[], %(texts)b::text[], %(digests)b::bytea[],
              %(vectors)s::{vector_type}[])
       AS given (namespace, key, field, text, digest, embedding)
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
       to_regclass('learning_texts_embedding') IS NOT NULL AS indexed,
       (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS extension;

-- read vector type --
SELECT atttypid::int8 AS oid FROM pg_attribute
 WHERE attrelid = to_regclass('learning_texts') AND attname = 'embedding' AND NOT attisdropped;

-- delete all texts --
TRUNCATE learning_texts;

-- count unindexed --
SELECT count(*) FROM learning_items item
 WHERE item.indexed IS DISTINCT FROM '{{}}' AND NOT EXISTS (SELECT FROM learning_texts text WHERE text.item = item.id);

-- read unindexed --
SELECT id, version, value, indexed FROM learning_items item
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
INSERT INTO learning_texts (item, field, namespace, digest, words{embedding_column})
SELECT given.id, given.field, unchanged.namespace, given.digest,
       to_tsvector(%(language)s::regconfig, left(given.text, 200000)){embedding_value}
  FROM unnest(%(ids)s::bigint[], %(fields)b::text[], %(texts)b::text[], %(digests)b::bytea[], %(vectors)s::{vector_type}[])
       AS given (id, field, text, digest, embedding)
  JOIN unchanged USING (id)
    ON CONFLICT (item, field) DO NOTHING;
