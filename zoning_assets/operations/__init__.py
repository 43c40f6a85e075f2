"""Operations outside the pipeline: rollback, removal, integrity check, and the consumer of amendment messages."""
