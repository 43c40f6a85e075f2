"""Reports and evidence: a compliance report of a period, and a signed certificate of one change."""
