//! The account in its cell: made, opened, its standing, its signature for other services.

use repo_mst::Tree;
use serde::Serialize;

use super::{
    ACTIVE, Account, CommitMeta, CreateRepo, EmitIdentity, Error, SetStatus, SignServiceAuth, State,
};
use crate::crypto::{SigningKey, jwt};
use crate::env::Env;
use crate::event::{AccountEvent, EventKind, IdentityEvent, SyncEvent};
use crate::memory::Memory;
use crate::repo::plan::{Author, plan_commit};
use crate::repo::read::commit_car;
use crate::repo::{Head, Nodes, apply};
use crate::store::{Sql, Value, query_first};
use crate::syntax::{Tid, format_datetime_ms};
use crate::vault::{Keyring, unwrap_secret, wrap_secret};

/// The key derived under this label wraps signing keys.
const LABEL_WRAP_SIGNING_KEY: &str = "wrap-signing-key";

/// Opens the account of this database; `None` when there is none yet.
pub(super) fn open(sql: &dyn Sql, env: &mut Env<'_>) -> Result<Option<State>, Error> {
    let row = query_first(sql, "SELECT did, status, signing_key FROM account WHERE id = 1", &[], |row| {
        Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned(), row.blob(2)?.to_vec()))
    })?;
    let Some((did, status, wrapped)) = row else { return Ok(None) };
    let key = unwrap_signing_key(env, &did, &wrapped)?;
    let head = Head::read(sql)?.ok_or_else(|| Error::Internal("an account without a commit".to_owned()))?;
    let last = "SELECT coalesce(max(id), 0) FROM outbox";
    // The head's rev too: an outbox may have been emptied, and the clock may stand behind what it was.
    let head_us = Tid::try_from(head.rev.as_str()).map_or(0, |rev| rev.micros());
    Ok(Some(State {
        tree: Tree::open(&head.data).map_err(|error| Error::Internal(error.to_string()))?,
        memory: Memory::new(Keyring::open(sql, &did, &env.network.master_key)?),
        new_nodes: apply::new_nodes(sql)?,
        clock_id: clock_id(env),
        last_record_key: None,
        outbox_last: query_first(sql, last, &[], |row| row.integer(0))?.unwrap_or(0).max(head_us),
        outbox_synced: 0,
        did,
        status,
        key,
        head,
    }))
}

fn clock_id(env: &mut Env<'_>) -> u16 {
    u16::from_be_bytes(env.random()) & 0x3ff
}

/// Wraps a private signing key under the master key.
pub(super) fn wrap_signing_key(env: &mut Env<'_>, did: &str, key: &[u8]) -> Result<Vec<u8>, Error> {
    let wrapping = env.network.master_key.derive(LABEL_WRAP_SIGNING_KEY);
    Ok(wrap_secret(&wrapping, did.as_bytes(), key, env.rng)?)
}

/// Unwraps what [`wrap_signing_key`] wrapped.
pub(super) fn unwrap_signing_key(env: &Env<'_>, did: &str, wrapped: &[u8]) -> Result<SigningKey, Error> {
    let wrapping = env.network.master_key.derive(LABEL_WRAP_SIGNING_KEY);
    signing_key(&unwrap_secret(&wrapping, did.as_bytes(), wrapped, "signing key")?)
}

pub(super) fn signing_key(bytes: &[u8]) -> Result<SigningKey, Error> {
    let bytes: &[u8; 32] =
        bytes.try_into().map_err(|_| Error::Internal("a signing key has 32 bytes".to_owned()))?;
    SigningKey::from_bytes(bytes).map_err(|error| Error::Internal(error.to_string()))
}

impl Account {
    /// The events of a new account, in the order consumers expect: identity, account, commit, sync.
    pub(super) fn create_repo(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        command: &CreateRepo,
    ) -> Result<CommitMeta, Error> {
        if let Some(account) = &self.account {
            // A repeated signup finds its own repo: the same key is the same wish.
            let same = *account.key.to_bytes() == *command.signing_key.as_slice();
            let head = &account.head;
            let meta = CommitMeta { cid: head.commit.to_string(), rev: head.rev.clone() };
            return if same { Ok(meta) } else { Err(Error::RepoExists) };
        }
        let key = signing_key(&command.signing_key)?;
        let status = if command.active { ACTIVE } else { "deactivated" };
        let wrapped = wrap_signing_key(env, &command.did, &command.signing_key)?;
        sql.execute(
            "INSERT INTO account (id, did, status, signing_key, created_us) VALUES (1, ?, ?, ?, ?)",
            &[
                Value::Text(&command.did),
                Value::Text(status),
                Value::Blob(&wrapped),
                Value::Integer(env.now_us),
            ],
        )?;
        let keyring = Keyring::create(sql, &command.did, &env.network.master_key, env.now_us, env.rng)?;
        let clock_id = clock_id(env);
        let author = Author { did: &command.did, key: &key, now_us: env.now_us, clock_id };
        let plan = plan_commit(&author, None, &Tree::empty(), &Nodes(sql), Vec::new())?;
        let new_nodes = apply::apply(sql, &plan, 0)?;
        let meta = CommitMeta { cid: plan.head.commit.to_string(), rev: plan.head.rev.clone() };
        self.account = Some(State {
            did: command.did.clone(),
            status: status.to_owned(),
            key,
            head: plan.head,
            tree: plan.tree,
            memory: Memory::new(keyring),
            new_nodes,
            clock_id,
            last_record_key: None,
            outbox_last: 0,
            outbox_synced: 0,
        });
        if command.active {
            self.emit_identity_event(sql, env, Some(&command.handle))?;
            self.emit_account_event(sql, env)?;
            self.emit(sql, env, EventKind::Commit, plan.frame)?;
            self.emit_sync_event(sql, env)?;
        }
        Ok(meta)
    }

    pub(super) fn set_status(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        command: &SetStatus,
    ) -> Result<(), Error> {
        let account = self.account()?;
        if account.status == command.status {
            return Ok(());
        }
        let statement = "UPDATE account SET status = ? WHERE id = 1";
        sql.execute(statement, &[Value::Text(&command.status)])?;
        account.status.clone_from(&command.status);
        self.emit_account_event(sql, env)?;
        if command.status == ACTIVE {
            // The repo may have changed unseen: consumers are told who it is and where it stands.
            self.emit_identity_event(sql, env, command.handle.as_deref())?;
            self.emit_sync_event(sql, env)?;
        }
        Ok(())
    }

    pub(super) fn emit_identity(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        command: &EmitIdentity,
    ) -> Result<(), Error> {
        self.emit_identity_event(sql, env, command.handle.as_deref())
    }

    fn emit_identity_event(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        handle: Option<&str>,
    ) -> Result<(), Error> {
        let time = format_datetime_ms(env.now_us);
        let frame = IdentityEvent { did: &self.account()?.did, time: &time, handle }.encode();
        self.emit(sql, env, EventKind::Identity, frame)
    }

    fn emit_account_event(&mut self, sql: &dyn Sql, env: &mut Env<'_>) -> Result<(), Error> {
        let time = format_datetime_ms(env.now_us);
        let account = self.account()?;
        let active = account.status == ACTIVE;
        let status = (!active).then_some(account.status.as_str());
        let frame = AccountEvent { did: &account.did, time: &time, active, status }.encode();
        self.emit(sql, env, EventKind::Account, frame)
    }

    fn emit_sync_event(&mut self, sql: &dyn Sql, env: &mut Env<'_>) -> Result<(), Error> {
        let time = format_datetime_ms(env.now_us);
        let blocks = commit_car(sql)?;
        let account = self.account()?;
        let frame =
            SyncEvent { did: &account.did, time: &time, rev: &account.head.rev, blocks: &blocks }.encode();
        self.emit(sql, env, EventKind::Sync, frame)
    }

    pub(super) fn sign_service_auth(
        &mut self,
        env: &mut Env<'_>,
        command: &SignServiceAuth,
    ) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Claims<'a> {
            iss: &'a str,
            aud: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            lxm: Option<&'a str>,
            iat: i64,
            exp: i64,
            jti: String,
        }
        let jti: [u8; 16] = env.random();
        let iat = env.now_seconds();
        let account = self.account()?;
        let claims = Claims {
            iss: &account.did,
            aud: &command.aud,
            lxm: command.lxm.as_deref(),
            iat,
            exp: command.exp,
            jti: data_encoding::HEXLOWER.encode(&jti),
        };
        Ok(jwt::sign_es256k(&claims, &account.key)?)
    }
}
