"""Programs that show the execution library at work; see the README beside them."""
