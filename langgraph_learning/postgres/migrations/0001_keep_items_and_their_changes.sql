-- The store's tables: items, what of them can be searched, and the log of every change.

CREATE TABLE learning_items (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace text[] COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    tenant text GENERATED ALWAYS AS (CASE WHEN namespace[1] = 'learnings' THEN namespace[2] END) STORED,
    value jsonb NOT NULL,
    version bigint NOT NULL,
    indexed text[],
    sequence text,
    place double precision,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ttl_minutes double precision,
    expires_at timestamptz,
    UNIQUE (namespace, key)
);

CREATE INDEX learning_items_expiry ON learning_items (expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX learning_items_neighbours ON learning_items (namespace, sequence, place) WHERE sequence IS NOT NULL;

CREATE TABLE learning_texts (
    item bigint NOT NULL REFERENCES learning_items ON DELETE CASCADE,
    field text COLLATE "C" NOT NULL,
    namespace text[] COLLATE "C" NOT NULL,
    tenant text GENERATED ALWAYS AS (CASE WHEN namespace[1] = 'learnings' THEN namespace[2] END) STORED,
    words tsvector NOT NULL,
    PRIMARY KEY (item, field)
)
-- Vectors and words stay in the row as long as a page holds it: fetching them from elsewhere costs more than comparing.
WITH (toast_tuple_target = 8160);

CREATE INDEX learning_texts_namespace ON learning_texts (namespace);
CREATE INDEX learning_texts_words ON learning_texts USING gin (words);

CREATE TABLE learning_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    by text,
    namespace text[] COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    tenant text GENERATED ALWAYS AS (CASE WHEN namespace[1] = 'learnings' THEN namespace[2] END) STORED,
    version bigint NOT NULL,
    before jsonb,
    after jsonb
);

CREATE INDEX learning_changes_of_a_key ON learning_changes (namespace, key, version);

CREATE FUNCTION learning_log_changes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    who text := nullif(current_setting('learning.by', true), '');
BEGIN
    IF current_setting('learning.log', true) = 'off' THEN
        RETURN NULL;
    END IF;
    IF tg_op = 'INSERT' THEN
        INSERT INTO learning_changes (by, namespace, key, version, after)
        SELECT who, namespace, key, version, value FROM new_rows WHERE version > 0;
    ELSIF tg_op = 'UPDATE' THEN
        INSERT INTO learning_changes (by, namespace, key, version, before, after)
        SELECT who, n.namespace, n.key, n.version, CASE WHEN o.version > 0 THEN o.value END, n.value
          FROM new_rows n JOIN old_rows o USING (id)
         WHERE n.version <> o.version;
    ELSE
        INSERT INTO learning_changes (by, namespace, key, version, before)
        SELECT who, namespace, key, version + 1, value FROM old_rows WHERE version > 0;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER log_inserts AFTER INSERT ON learning_items REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION learning_log_changes();
CREATE TRIGGER log_updates AFTER UPDATE ON learning_items REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION learning_log_changes();
CREATE TRIGGER log_deletes AFTER DELETE ON learning_items REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION learning_log_changes();
