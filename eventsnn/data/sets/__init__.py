"""Data sets of the field, as files hold them or as they are drawn."""
