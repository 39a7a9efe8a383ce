"""Reports: figures and pages made from the tidy table."""
