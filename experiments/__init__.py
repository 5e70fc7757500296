"""Studies, one folder each: what is asked, how it is run, and what came out."""
