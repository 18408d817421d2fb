-- DDL for vectors and words, apart from the migrations: the size of a vector is known only with the embedding model, and
-- both need the extension, which a store without an index does not.

-- create vector extension --
CREATE EXTENSION IF NOT EXISTS vector;

-- add vector columns --
-- `meaning` has the half precision that searches compare. The full precision is kept out of the row that they scan.
ALTER TABLE learning_texts ADD COLUMN IF NOT EXISTS embedding {vector}, ALTER COLUMN embedding SET STORAGE EXTERNAL,
    SET (toast_tuple_target = {row_size});

-- drop vector columns --
ALTER TABLE learning_texts DROP COLUMN IF EXISTS meaning, DROP COLUMN IF EXISTS embedding;

-- drop old vector index --
DROP INDEX IF EXISTS learning_texts_embedding;

-- add halves --
ALTER TABLE learning_texts
    ADD COLUMN IF NOT EXISTS meaning {halfvec} GENERATED ALWAYS AS (embedding::{halfvec}) STORED,
    ALTER COLUMN meaning SET STORAGE MAIN;

-- create vector index --
CREATE INDEX IF NOT EXISTS learning_texts_meaning ON learning_texts USING hnsw (meaning {operators}) WITH ({options});

-- add word columns --
ALTER TABLE learning_texts ADD COLUMN IF NOT EXISTS words sparsevec, ADD COLUMN IF NOT EXISTS tokens int[],
    ALTER COLUMN words SET STORAGE MAIN, ALTER COLUMN tokens SET STORAGE MAIN;

-- create wordless index --
CREATE INDEX IF NOT EXISTS learning_texts_wordless ON learning_texts (item, field) WHERE words IS NULL;

-- create word index --
CREATE INDEX IF NOT EXISTS learning_texts_tokens ON learning_texts USING gin (tokens);
