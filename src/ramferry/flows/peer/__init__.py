"""The far end as a Ramferry: what both agree on, and what they tell each other beside the stream.

``docs/relay-protocol.md`` has the formats; ``wire.relay_opening``, ``wire.relay_messages``,
``wire.relay_frames`` and ``wire.digests`` read and write them.
"""
