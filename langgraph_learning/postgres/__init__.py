"""Our `BaseStore` on Postgres."""
