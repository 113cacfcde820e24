"""Parts of the projector: events, the fold into rows, writing in bulk, following a journal."""
