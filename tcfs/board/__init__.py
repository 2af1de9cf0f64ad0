"""The overview, from one snapshot."""
