"""The site: what is written by hand, and what the code says of itself, built by zensical."""
