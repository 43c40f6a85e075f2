-- Changes without a code or parcel on one side had the text "NaN" there, the missing value of pandas.
UPDATE zoning.change SET old = nullif(old, 'NaN'), new = nullif(new, 'NaN') WHERE 'NaN' IN (old, new);
