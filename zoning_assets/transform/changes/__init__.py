"""What changed between two releases: zoning, parcels, and the amendments that explain the changes."""
