//! Hosting an account, in the protocol's sense: made, opened, its standing, its signature for other services.

mod command;

pub use command::{
    Change, Command, CreateRepo, EmitIdentity, GetSigningKey, Query, Reply, Restate, SetStatus,
    SignServiceAuth,
};

use serde::Serialize;

use super::{Account, Desk, Error, State};
use crate::actor::Status;
use crate::crypto::{SigningKey, jwt};
use crate::env::Env;
use crate::event::{AccountEvent, EventKind, IdentityEvent, SyncEvent};
use crate::memory::Memory;
use crate::outbox::Outbox;
use crate::repo::read::commit_car;
use crate::repo::{CommitMeta, Repo};
use crate::store::{Sql, SqlError, Value, query_first};
use crate::syntax::{Did, Handle, Nsid, format_datetime_ms};
use crate::vault::Keyring;
use crate::work::{Owner, Work, unwrap_signing_key, wrap_signing_key};

/// Whose database this is; `None` before there is an account.
///
/// # Errors
/// [`SqlError`].
pub fn did(sql: &dyn Sql) -> Result<Option<Did>, SqlError> {
    query_first(sql, "SELECT did FROM account WHERE id = 1", &[], |row| read_did(row.text(0)?))
}

fn read_did(text: &str) -> Result<Did, SqlError> {
    Did::try_from(text).map_err(|_| SqlError::Column { column: 0, expected: "a DID".into() })
}

fn clock_id(env: &mut Env<'_>) -> u16 {
    u16::from_be_bytes(env.random()) & 0x3ff
}

impl Account {
    /// Opens the account of this database, if there is one; gives its outbox.
    pub(super) fn open(&mut self, sql: &dyn Sql, env: &mut Env<'_>) -> Result<Outbox, Error> {
        let account = "SELECT did, status, signing_key FROM account WHERE id = 1";
        let row = query_first(sql, account, &[], |row| {
            let status = Status::parse(row.text(1)?);
            let status = status.ok_or(SqlError::Column { column: 1, expected: "a status".into() })?;
            Ok((read_did(row.text(0)?)?, status, row.blob(2)?.to_vec()))
        })?;
        let Some((did, status, wrapped)) = row else { return Ok(Outbox::default()) };
        let key = unwrap_signing_key(env, &did, &wrapped)?;
        let repo = Repo::open(sql)?;
        let repo = repo.ok_or_else(|| Error::Internal("an account without a commit".to_owned()))?;
        let memory = Memory::new(Keyring::open(sql, did.as_str(), &env.network.master_key)?);
        let outbox = Outbox::open(sql, repo.head.rev.micros())?;
        let owner = Owner { did, status, key, clock_id: clock_id(env) };
        self.state = Some(State { owner, repo, memory });
        Ok(outbox)
    }

    pub(super) fn host(&mut self, desk: &mut Desk<'_, '_>, change: Change) -> Result<Reply, Error> {
        Ok(match change {
            Change::CreateRepo(create) => Reply::CreateRepo(self.create_repo(desk, &create)?),
            Change::SetStatus(set) => Reply::SetStatus(self.set_status(desk, &set)?),
            Change::EmitIdentity(emit) => {
                let (mut work, ..) = self.state()?.work(desk);
                Reply::EmitIdentity(emit_identity(&mut work, emit.handle.as_ref())?)
            }
            Change::Restate(restate) => Reply::Restate(self.restate(desk, &restate)?),
            Change::SignServiceAuth(sign) => {
                let (mut work, ..) = self.state()?.work(desk);
                Reply::SignServiceAuth(sign_service_auth(&mut work, &sign)?)
            }
            Change::GetSigningKey(_) => Reply::GetSigningKey(self.state()?.owner.key.did_key()),
        })
    }

    /// The events of a new account, in the order consumers expect: identity, account, commit, sync.
    fn create_repo(&mut self, desk: &mut Desk<'_, '_>, command: &CreateRepo) -> Result<CommitMeta, Error> {
        if let Some(state) = &self.state {
            // A repeated signup finds its own repo: the same key is the same wish.
            let same = *state.owner.key.to_bytes() == *command.signing_key.expose();
            return if same { Ok(state.repo.head.meta()) } else { Err(Error::RepoExists) };
        }
        let (sql, now_us) = (desk.sql, desk.env.now_us);
        let key = SigningKey::from_bytes(command.signing_key.expose());
        let key = key.map_err(|error| Error::Internal(error.to_string()))?;
        let did = command.did.clone();
        let wrapped = wrap_signing_key(desk.env, &did, &key)?;
        let status = if command.active { Status::Active } else { Status::Deactivated };
        sql.execute(
            "INSERT INTO account (id, did, status, signing_key, created_us) VALUES (1, ?, ?, ?, ?)",
            &[
                Value::Text(did.as_str()),
                Value::Text(status.as_str()),
                Value::Blob(&wrapped),
                Value::Integer(now_us),
            ],
        )?;
        let master_key = &desk.env.network.master_key;
        let keyring = Keyring::create(sql, did.as_str(), master_key, now_us, desk.env.rng)?;
        let owner = Owner { did, status, key, clock_id: clock_id(desk.env) };
        let (repo, plan) = Repo::create(sql, &owner, now_us, command.records.clone())?;
        let meta = repo.head.meta();
        let state = self.state.insert(State { owner, repo, memory: Memory::new(keyring) });
        if command.active {
            let (mut work, repo, _) = state.work(desk);
            emit_identity(&mut work, Some(&command.handle))?;
            emit_account(&mut work)?;
            work.emit(EventKind::Commit, plan.frame)?;
            emit_sync(&mut work, repo)?;
        }
        Ok(meta)
    }

    fn set_status(&mut self, desk: &mut Desk<'_, '_>, command: &SetStatus) -> Result<(), Error> {
        let state = self.state()?;
        if state.owner.status == command.status {
            return Ok(());
        }
        let statement = "UPDATE account SET status = ? WHERE id = 1";
        desk.sql.execute(statement, &[Value::Text(command.status.as_str())])?;
        state.owner.status = command.status;
        let (mut work, repo, _) = state.work(desk);
        emit_account(&mut work)?;
        if command.status == Status::Active {
            // The repo may have changed unseen: consumers are told who it is and where it stands.
            emit_identity(&mut work, command.handle.as_ref())?;
            emit_sync(&mut work, repo)?;
        }
        Ok(())
    }

    fn restate(&mut self, desk: &mut Desk<'_, '_>, command: &Restate) -> Result<(), Error> {
        desk.out.pass(command.after);
        let (mut work, repo, _) = self.state()?.work(desk);
        emit_account(&mut work)?;
        if work.account.status.is_active() {
            repo.recommit(&mut work)?;
            emit_identity(&mut work, command.handle.as_ref())?;
            emit_sync(&mut work, repo)?;
        }
        Ok(())
    }
}

fn emit_identity(work: &mut Work<'_, '_>, handle: Option<&Handle>) -> Result<(), Error> {
    let time = format_datetime_ms(work.env.now_us);
    let event =
        IdentityEvent { did: work.account.did.as_str(), time: &time, handle: handle.map(Handle::as_str) };
    Ok(work.emit(EventKind::Identity, event.encode())?)
}

fn emit_account(work: &mut Work<'_, '_>) -> Result<(), Error> {
    let time = format_datetime_ms(work.env.now_us);
    let active = work.account.status.is_active();
    let status = (!active).then_some(work.account.status.as_str());
    let event = AccountEvent { did: work.account.did.as_str(), time: &time, active, status };
    Ok(work.emit(EventKind::Account, event.encode())?)
}

fn emit_sync(work: &mut Work<'_, '_>, repo: &Repo) -> Result<(), Error> {
    let time = format_datetime_ms(work.env.now_us);
    let blocks = commit_car(work.sql)?;
    let rev = repo.head.rev.as_str();
    let event = SyncEvent { did: work.account.did.as_str(), time: &time, rev, blocks: &blocks };
    Ok(work.emit(EventKind::Sync, event.encode())?)
}

fn sign_service_auth(work: &mut Work<'_, '_>, command: &SignServiceAuth) -> Result<String, Error> {
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
    let jti: [u8; 16] = work.env.random();
    let claims = Claims {
        iss: work.account.did.as_str(),
        aud: &command.aud,
        lxm: command.lxm.as_ref().map(Nsid::as_str),
        iat: work.env.now_seconds(),
        exp: command.exp,
        jti: data_encoding::HEXLOWER.encode(&jti),
    };
    jwt::sign_es256k(&claims, &work.account.key).map_err(|error| Error::Internal(error.to_string()))
}
