-- A text that is written again unchanged keeps its row, and so its vector: its digest says that it is the same one.
-- And texts go with their items once for a statement, not once for a row, as a foreign key would have it.

ALTER TABLE learning_texts ADD COLUMN digest bytea;
ALTER TABLE learning_texts DROP CONSTRAINT learning_texts_item_fkey;

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
