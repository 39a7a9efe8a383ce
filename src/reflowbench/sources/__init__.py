"""Where real images come from: a data set in a package, or a folder or archive that nobody need trust."""
