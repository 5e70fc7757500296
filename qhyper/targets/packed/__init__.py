"""Binary networks of any size that stay packed."""
