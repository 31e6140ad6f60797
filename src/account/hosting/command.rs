//! What can be asked of an account as such.

use serde::{Deserialize, Serialize};

use crate::actor::Status;
use crate::repo::{CommitMeta, Write};
use crate::seam::Hidden;
use crate::syntax::{Did, Handle, Nsid};

crate::seam! {
    read { }
    write {
        SetStatus => (),
        EmitIdentity => (),
        Restate => (),
        SignServiceAuth => String,
        GetSigningKey => String,
    }
    create {
        CreateRepo => CommitMeta,
    }
}

/// Makes the repo: keys, the first commit, the events of a new account.
#[derive(Clone, Serialize, Deserialize)]
pub struct CreateRepo {
    /// The account's DID.
    pub did: Did,
    /// Its handle, for the `#identity` event.
    pub handle: Handle,
    /// The private signing key (secp256k1). The cell keeps it wrapped under the master key.
    pub signing_key: Hidden<[u8; 32]>,
    /// False for an account that migrates in: it emits nothing until it is activated.
    pub active: bool,
    /// What is in it from the first commit on: creations, each with its key.
    pub records: Vec<Write>,
}

/// Asks for the public signing key, as did:key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetSigningKey {}

/// Sets the account's standing and emits what belongs to the change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetStatus {
    /// What it is from now on.
    pub status: Status,
    /// The handle, for the `#identity` event of an activation.
    pub handle: Option<Handle>,
}

/// Emits `#identity`: the handle or the DID document changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EmitIdentity {
    /// The handle now.
    pub handle: Option<Handle>,
}

/// A service-auth token signed with the repo's key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignServiceAuth {
    /// The service it is for: a DID, or a DID and a service's id.
    pub aud: String,
    /// The method it is for.
    pub lxm: Option<Nsid>,
    /// When it ends, in seconds since the Unix epoch.
    pub exp: i64,
}

/// Says anew where account and repo stand, by a rev that nobody knows yet: they went back to an earlier state, and the
/// network knows later ones, which it would keep.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restate {
    /// The account's handle, where it has one.
    pub handle: Option<Handle>,
    /// The newest outbox id that the event log has of the account: it takes none below.
    pub after: i64,
}
