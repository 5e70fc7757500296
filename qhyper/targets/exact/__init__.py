"""What can be proved: certificates, classes of functions, tables of all costs."""
