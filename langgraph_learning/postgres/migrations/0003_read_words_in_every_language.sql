-- Words are sparse vectors now, made by the store. `setup()` adds their columns, and reads the words of stored texts.

ALTER TABLE learning_texts DROP COLUMN words;
ALTER TABLE learning_texts RESET (toast_tuple_target);

-- A sample of the texts, from which the store learns how common a word is, and how large a namespace.
CREATE INDEX learning_texts_sample ON learning_texts (namespace) WHERE get_byte(digest, 0) < 8;
