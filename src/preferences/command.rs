//! What can be asked of an account's preferences. All of it is private.

use serde::{Deserialize, Serialize};

use crate::seam::HiddenBytes;

// Both need the master key, which the writer has.
crate::seam! {
    read { }
    write {
        GetPreferences => HiddenBytes,
        PutPreferences => (),
    }
    create { }
}

/// Asks for the preferences: a JSON list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetPreferences {
    /// Whether the owner asks, and no app password.
    pub is_full: bool,
}

/// Puts a list in the place of the one that is there.
#[derive(Clone, Serialize, Deserialize)]
pub struct PutPreferences {
    /// A JSON list of objects with a `$type`.
    pub preferences: HiddenBytes,
    /// Whether the owner asks, and no app password, which leaves alone what it does not see.
    pub is_full: bool,
}
