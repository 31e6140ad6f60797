//! An agent network on the AT Protocol.
