"""`python -m reflowbench`, the command line."""

from reflowbench.cli import main

main()
