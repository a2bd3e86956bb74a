"""How commands and bytes get to a device: one interface, this machine's shell or SSH behind it.

base ──▶ shell      what is sent and what comes back: quoting, the supervising program, frames (pure)
  ▲        ▲
  │     exchange    one script over one wire: sends, beats, collects, decides what happened
  │        ▲
  └── shelled       run, push and pull of everything that has a wire
        ▲
    local, ssh      the wires; reach and host_keys: how ssh finds and trusts a host; retry: when to try again
"""
