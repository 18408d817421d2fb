-- The current tables of the store, for readers; `migrations/` creates them. A change goes into both.
-- If the store has an index, `setup()` adds columns to `learning_texts` (see `vectors.sql`): for an embedding model the
-- vectors in full and in half precision, for hybrid search the words as a sparse vector and as the ids of the tokens.

-- The migrations that this database has run.
CREATE TABLE learning_migrations (
    number int PRIMARY KEY,
    name text NOT NULL,
    done_at timestamptz NOT NULL DEFAULT now()
);

-- One row per item. Labels and keys sort by code point, so that all namespaces under a prefix are one range of the index.
-- `tenant` is for row-level security. `version` counts the changes of the key. `indexed` holds the paths that the put
-- asked to index: NULL for the store's own fields, {} for none.
-- `sequence` and `place` order items in sequences, if the index settings name the fields.

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

-- One row per text of an item that can be searched. It is deleted with its item, and replaced if the item is put with
-- another text (`digest` is the hash of the text). Every writer of a text holds the lock of its item, so that no text is
-- left without an item.
CREATE TABLE learning_texts (
    item bigint NOT NULL,
    field text COLLATE "C" NOT NULL,
    namespace text[] COLLATE "C" NOT NULL,
    tenant text GENERATED ALWAYS AS (CASE WHEN namespace[1] = 'learnings' THEN namespace[2] END) STORED,
    digest bytea,
    PRIMARY KEY (item, field)
);

CREATE INDEX learning_texts_namespace ON learning_texts (namespace);

-- A sample of the texts, from which the store learns how common a word is, and how large a namespace.
CREATE INDEX learning_texts_sample ON learning_texts (namespace) WHERE get_byte(digest, 0) < 8;

-- Does what a foreign key would do, but once per statement and not once per row.
CREATE FUNCTION learning_forget_texts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF tg_op = 'TRUNCATE' THEN
        DELETE FROM learning_texts;
    ELSE
        DELETE FROM learning_texts USING old_rows WHERE item = old_rows.id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER forget_texts AFTER DELETE ON learning_items REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION learning_forget_texts();
CREATE TRIGGER forget_all_texts AFTER TRUNCATE ON learning_items
    FOR EACH STATEMENT EXECUTE FUNCTION learning_forget_texts();

-- The change log: who changed which item, when and how. The triggers below write it, whichever program makes the change.
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

-- `learning.by` and `learning.log` are settings of the writing transaction. Version 0 is a placeholder that locks a key
-- which does not exist yet; its insertion and deletion are not logged.
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
