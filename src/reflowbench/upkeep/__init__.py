"""Looking after a checkout: what killed stages left, and whether what lies there is still what was written."""
