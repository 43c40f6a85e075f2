-- A change that had no code or lot on one side had "NaN" there, as pandas spells nothing.
UPDATE zoning.change SET old = nullif(old, 'NaN'), new = nullif(new, 'NaN') WHERE 'NaN' IN (old, new);
