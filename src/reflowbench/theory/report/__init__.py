"""What the theory stages measured, laid over the closed forms: tables, figures and a page."""
