"""What operators do beside the pipeline: rollback, removal, integrity check; and amendments that arrive."""
