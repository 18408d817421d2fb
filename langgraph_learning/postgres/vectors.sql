-- DDL for vectors, apart from the migrations: the size of a vector is known only with the embedding model.

-- create vector extension --
CREATE EXTENSION IF NOT EXISTS vector;

-- add vector column --
ALTER TABLE learning_texts ADD COLUMN IF NOT EXISTS embedding {vector};

-- replace vector column --
ALTER TABLE learning_texts DROP COLUMN IF EXISTS embedding, ADD COLUMN embedding {vector};

-- create vector index --
CREATE INDEX IF NOT EXISTS learning_texts_embedding ON learning_texts
 USING hnsw ((embedding::{halfvec}) {operators}) WITH ({options});
