//! Agents as archives, and on their way between hosts.
//!
//! ```text
//! old host   export         deactivate, seal the keys, let the archive's move key change the DID document
//! new host   import         reserve the account, begin an empty repo with the archive's keys
//!            (records and blobs)
//!            finish_import  same tree, same commit, its signature; the DID document names this host; activate
//! ```
//!
//! Every step may be repeated, and until the document is changed the old host can take the agent back: by importing the
//! archive, or by activating the account.

use std::sync::Arc;

use cid::Cid;
use serde_bytes::ByteBuf;

use super::{App, Error, plc};
use crate::actor::Kind;
use crate::archive::{self, Kdf, Manifest};
use crate::crypto::SigningKey;
use crate::directory::{
    self, ClaimAgentToken, Flow, ImportAccount, KeepExportNote, OweAgentToken, Proof, Prove,
};
use crate::moving::{BeginImport, DropMoveKey, FinishImport, GetMoveKey, SealManifest};
use crate::repo::GetHead;
use crate::seam::Hidden;
use crate::syntax::{AtIdentifier, Did};

/// An archive that is to be made.
pub struct NewExport {
    /// Of whom.
    pub did: Did,
    /// Who asks. An archive has all keys, and computing what it is sealed under may wait for others.
    pub proof: Proof,
    /// What its keys are sealed under.
    pub passphrase: Hidden<String>,
    /// Whether the agent moves with it.
    pub moving: bool,
}

impl App {
    /// Makes the manifest of an agent's archive. Goes on when the caller hangs up.
    ///
    /// # Errors
    /// Why not.
    pub async fn export_agent(self: &Arc<Self>, export: NewExport) -> Result<ByteBuf, Error> {
        let app = Arc::clone(self);
        self.detached(async move { app.export_steps(export).await }).await
    }

    async fn export_steps(self: &Arc<Self>, export: NewExport) -> Result<ByteBuf, Error> {
        let account = self.agent(AtIdentifier::Did(export.did)).await?;
        let kdf = Kdf::new(self.random());
        let key = self.derive(kdf.clone(), export.passphrase).await?;
        let did = account.did;
        self.directory(Prove { did: did.clone(), proof: export.proof }).await?;
        if export.moving {
            if did.method() != "plc" {
                return Err(Error::NotMovable("only a did:plc is moved from here".to_owned()));
            }
            plc::require_ours(self, &did).await?;
            // Whatever else was to become of it.
            self.deactivate(&did, None).await?;
        }
        let mut seal = SealManifest {
            handle: account.handle,
            kind: account.kind,
            display_name: account.display_name,
            model: account.model,
            config: account.config,
            kdf,
            key,
            moving: export.moving,
            noted: false,
        };
        let sealed = match self.account(&did, seal.clone()).await {
            // Whoever has to leave for want of room can: the directory has some kept, and tells the account later.
            Err(error) if error.is_full() && !export.moving => {
                self.directory(KeepExportNote { did: did.clone() }).await?;
                seal.noted = true;
                self.account(&did, seal).await?
            }
            sealed => sealed?,
        };
        if let Some(move_key) = &sealed.move_key {
            plc::admit(self, &did, move_key).await?;
            // Whoever woke the agent in between meant to keep it.
            if self.account(&did, GetMoveKey {}).await?.as_ref() != Some(move_key) {
                plc::expel(self, &did, move_key).await?;
                let why = "the agent was activated while it was exported";
                return Err(Error::NotMovable(why.to_owned()));
            }
        }
        Ok(sealed.manifest)
    }

    /// Begins to take an agent in from its archive. Goes on when the caller hangs up; after a crash, whoever has the
    /// archive begins again.
    ///
    /// # Errors
    /// Why not.
    pub async fn import_agent(
        self: &Arc<Self>,
        manifest: Vec<u8>,
        passphrase: Hidden<String>,
    ) -> Result<Did, Error> {
        let app = Arc::clone(self);
        self.detached(async move { app.import_steps(manifest, passphrase).await }).await
    }

    async fn import_steps(&self, archived: Vec<u8>, passphrase: Hidden<String>) -> Result<Did, Error> {
        self.require_room()?;
        let manifest = Manifest::decode(&archived)?;
        if manifest.kind != Kind::Agent {
            return Err(Error::InvalidArchive("the archive is not of an agent".to_owned()));
        }
        let key = self.derive(manifest.kdf.clone(), passphrase).await?;
        // Before anything is destroyed for it: it opens, and it may live here.
        let (signing_key, move_key) = did_keys(&manifest, &key)?;
        let did = manifest.did;
        let standing = plc::standing(self, &did, &signing_key, move_key.as_deref()).await?;
        // It may have another name by now than when it was archived.
        let handle = standing.handle.unwrap_or(manifest.handle);
        let account = ImportAccount {
            did: did.clone(),
            handle: handle.clone(),
            kind: manifest.kind,
            display_name: manifest.display_name,
            model: manifest.model,
            config: manifest.config,
        };
        match self.directory(account).await {
            Err(Error::Directory(directory::Error::DidNotAvailable)) => {
                self.owe_token_again(did, &manifest.root.0).await?;
                return Err(Error::AccountExists);
            }
            imported => imported?,
        };
        self.accounts.forget(&did, Some(&handle));
        // What was told of the old account reaches its cell before that goes.
        self.carry_notices_of(&did).await?;
        // With the cell goes what is known of a move that was begun from here; its archive must not keep its power.
        if let Ok(Some(other)) = self.account(&did, GetMoveKey {}).await
            && move_key.as_ref() != Some(&other)
        {
            plc::expel(self, &did, &other).await?;
        }
        self.host.destroy_account(did.clone()).await?;
        self.account(&did, BeginImport { manifest: ByteBuf::from(archived), key }).await?;
        Ok(did)
    }

    /// Owes an agent that is here its token again, to who showed the keys of all that it has: the answer that had it may
    /// be lost.
    async fn owe_token_again(&self, did: Did, archived: &Cid) -> Result<(), Error> {
        match self.account(&did, GetHead {}).await {
            Ok(head) if head.commit == *archived => self.directory(OweAgentToken { did }).await,
            _ => Ok(()),
        }
    }

    /// Makes a rebuilt repo the agent's, and this its host. Gives the agent the token that the import owes it, once.
    ///
    /// # Errors
    /// Why not. After [`Error::Unsettled`] it goes on by itself; asked again, it gives the token.
    pub async fn finish_import(
        self: &Arc<Self>,
        did: Did,
        commit: ByteBuf,
    ) -> Result<(Did, Hidden<String>), Error> {
        let did = self.agent(AtIdentifier::Did(did)).await?.did;
        self.run(did.clone(), Some(Flow::FinishImport { commit })).await?;
        let token = self.directory(ClaimAgentToken { did: did.clone() }).await?;
        Ok((did, token.ok_or(Error::Directory(directory::Error::NotImporting))?))
    }

    pub(super) async fn finish_import_steps(
        &self,
        did: &Did,
        flow: &Flow,
        commit: &ByteBuf,
    ) -> Result<(), Error> {
        let signing_key = self.account(did, FinishImport { commit: commit.clone() }).await?.signing_key;
        let move_key = self.account(did, GetMoveKey {}).await?;
        let standing = plc::standing(self, did, &signing_key, move_key.as_deref()).await?;
        if let Some(move_key) = move_key.filter(|_| standing.is_movable) {
            plc::take_over(self, did, &signing_key, &move_key).await?;
        }
        self.account(did, DropMoveKey {}).await?;
        self.complete(did, flow).await?;
        self.accounts.forget(did, None);
        self.carry_notices_of(did).await
    }

    async fn derive(&self, kdf: Kdf, passphrase: Hidden<String>) -> Result<Hidden<[u8; 32]>, Error> {
        Ok(self.compute(move || kdf.derive(passphrase.expose())).await??)
    }
}

/// The public halves of the signing key and of the move key.
fn did_keys(manifest: &Manifest, key: &Hidden<[u8; 32]>) -> Result<(String, Option<String>), Error> {
    let secrets = manifest.open(key)?;
    let did_key = |secret: &archive::Secret| match SigningKey::from_bytes(secret.expose()) {
        Ok(key) => Ok(key.did_key()),
        Err(error) => Err(Error::InvalidArchive(error.to_string())),
    };
    Ok((did_key(&secrets.signing_key)?, secrets.move_key.as_ref().map(did_key).transpose()?))
}
