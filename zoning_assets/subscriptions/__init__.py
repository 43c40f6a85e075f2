"""Subscriptions: what changed is sent to consumers, each event once per id and in order per parcel."""
