"""Where bars come from: files, a store, Interactive Brokers, Yahoo; and how an author proves a source sound.

A `HistorySource` answers for spans of the past and is pulled into a store (`pull`); a `DataAdapter` gives a
running strategy the completed bars (`series`, `data.ibkr`). `testing` holds the contract of the latter.
"""
