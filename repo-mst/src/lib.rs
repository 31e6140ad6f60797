//! The Merkle Search Tree of atproto repositories.
