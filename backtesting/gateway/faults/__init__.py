"""What goes wrong on request: a seeded script of rules, or single actions, on the wire and in the gateway.

`script` reads rules, `engine` stands between gateway and connections and applies them, `table` lists what a
rule can do; `presets` are scripts for the failures that are known of real gateways.
"""
