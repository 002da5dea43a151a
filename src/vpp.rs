//! The client of VPP: frames, codec, messages, session, and the operations of the lb plugin.
