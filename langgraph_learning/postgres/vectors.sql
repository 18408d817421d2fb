-- What an embedding model's vectors need beside the migrations: their size is known only once there is a model.

-- vector extension --
CREATE EXTENSION IF NOT EXISTS vector;

-- add vectors --
ALTER TABLE learning_texts ADD COLUMN IF NOT EXISTS embedding {vector};

-- replace vectors --
ALTER TABLE learning_texts DROP COLUMN IF EXISTS embedding, ADD COLUMN embedding {vector};

-- index vectors --
CREATE INDEX IF NOT EXISTS learning_texts_embedding ON learning_texts
 USING hnsw ((embedding::{half}) {operators}) WITH ({options});
