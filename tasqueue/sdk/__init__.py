"""The pleasant way in: decorate a function, call `.delay()`, get a typed handle."""
