//! agent.memory.*: what an agent keeps to itself, opened for its owner alone.
//!
//! Plaintext is here only between the request and the cell: it is checked by its own lexicon, brought to its one
//! encoding, and handed on to be sealed. Nothing of it is logged or named in an error. Memories that are shared or
//! public are refused by name as long as they cannot be kept as asked.

use std::collections::BTreeMap;

use super::endpoint::Answer;
use super::error::{Because as _, Refusal};
use super::{Context, Endpoint, XrpcError};
use crate::auth::{Access, Apps};
use crate::data_model::{Cid, DataModelError, Ipld, decode_record, encode_record};
use crate::lexicon::agent::memory::defs::{MemoryView, MemoryViewPrivacy};
use crate::lexicon::agent::memory::{defs, forget, get, list, recall, remember};
use crate::lexicon::data::type_of;
use crate::lexicon::{Data, catalog};
use crate::limits::FORGET_COMMITS_MAX;
use crate::memory::{self, Filter, Forget, GetMemory, ListMemories, Opened, Recall, Recalled, Remember};
use crate::seam::Hidden;
use crate::syntax::{
    AtUri, CidText, Datetime, Did, Handle, RecordKey, format_datetime_ms, parse_datetime_us, read_datetime,
    validate_nsid,
};
use crate::vault;

const ONLY_PRIVATE: &str = "only private memories are kept by this version: leave privacy and shareWith out";

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    use crate::limits::RECORDS_BODY_BYTES_MAX;
    vec![
        Endpoint::of_up_to::<remember::Remember>(Access::Vault, RECORDS_BODY_BYTES_MAX, remember_one)
            .open_to(Apps::ByName),
        Endpoint::of::<get::Get>(Access::Vault, get_one).open_to(Apps::ByName),
        Endpoint::of::<list::List>(Access::Vault, list_page).open_to(Apps::ByName),
        Endpoint::of::<recall::Recall>(Access::Vault, recall_best).open_to(Apps::ByName),
        Endpoint::of::<forget::Forget>(Access::Vault, forget_some).open_to(Apps::ByName),
    ]
}

async fn remember_one(context: Context, input: remember::Input) -> Answer<remember::Remember> {
    if input.privacy != remember::Privacy::Private || !input.share_with.is_empty() {
        return Err(remember::ErrorName::UnsupportedPrivacy.because(ONLY_PRIVATE));
    }
    let did = context.caller.did()?.clone();
    let Data(memory) = input.memory;
    let memory = prepare(memory, context.host.now_us())?;
    let kept = context.account(&did, Remember { memory: memory.into(), dedupe: input.dedupe }).await?;
    context.notes.note(kept.allowance);
    Ok(remember::Output {
        uri: uri(&did, &kept.rkey)?,
        cid: cid(&kept.cid)?,
        status: remember::Status::from(kept.kept.as_str().to_owned()),
    })
}

/// Checks a memory and brings it to its one encoding. One of a type that is not known here is the agent's own matter.
fn prepare(memory: Ipld, now_us: i64) -> Result<Vec<u8>, Refusal<remember::ErrorName>> {
    let invalid = |message: String| remember::ErrorName::InvalidMemory.because(message);
    let Ipld::Map(mut fields) = memory else { return Err(invalid("a memory is an object".to_owned())) };
    // Known types ask for the time; whoever leaves it out means now.
    fields.entry("createdAt".to_owned()).or_insert_with(|| Ipld::String(format_datetime_ms(now_us)));
    if let Some(Ipld::String(text)) = fields.get_mut("createdAt") {
        *text = read_datetime(text).map_err(|error| invalid(format!("createdAt: {error}")))?.into_string();
    }
    let mut memory = Ipld::Map(fields);
    catalog().mend_typed(&mut memory);
    let name = type_of(&memory).ok_or_else(|| invalid("a memory has a $type".to_owned()))?;
    if catalog().is_record(name) {
        catalog().validate_typed(&memory).map_err(|error| invalid(error.to_string()))?;
    } else {
        validate_nsid(name).map_err(|error| invalid(format!("$type: {error}")))?;
    }
    encode_record(&memory).map_err(|error| match error {
        DataModelError::TooLarge { .. } => remember::ErrorName::MemoryTooLarge.because(error.to_string()),
        error => invalid(error.to_string()),
    })
}

async fn get_one(context: Context, params: get::Params) -> Answer<get::Get> {
    let rkey = own_memory(&context, &params.uri)?;
    let rkey = rkey.ok_or(memory::Error::NotFound)?;
    let did = context.caller.did()?;
    let memory = context.account(did, GetMemory { rkey }).await?;
    Ok(view(did, &memory)?)
}

async fn list_page(context: Context, params: list::Params) -> Answer<list::List> {
    if params.privacy.is_some_and(|privacy| privacy != list::Privacy::Private) {
        return Err(list::ErrorName::UnsupportedPrivacy.because(ONLY_PRIVATE));
    }
    let did = context.caller.did()?;
    let filter = Filter {
        types: params.types,
        tags: Hidden::new(params.tags),
        since_us: time(params.since.as_ref())?,
        until_us: time(params.until.as_ref())?,
        as_of_us: None,
    };
    let limit = u32::try_from(params.limit).map_err(XrpcError::internal)?;
    let page = context.account(did, ListMemories { filter, cursor: params.cursor, limit }).await?;
    let memories = page.memories.iter().map(|memory| view(did, memory)).collect::<Result<_, XrpcError>>()?;
    Ok(list::Output { cursor: page.cursor, memories })
}

async fn recall_best(context: Context, params: recall::Params) -> Answer<recall::Recall> {
    let did = context.caller.did()?;
    let filter = Filter {
        types: params.types,
        tags: Hidden::new(params.tags),
        since_us: time(params.since.as_ref())?,
        until_us: time(params.until.as_ref())?,
        as_of_us: time(params.as_of.as_ref())?,
    };
    let limit = u32::try_from(params.limit).map_err(XrpcError::internal)?;
    let min_score = u32::try_from(params.min_score.unwrap_or(0)).map_err(XrpcError::internal)?;
    let hits =
        context.account(did, Recall { query: Hidden::new(params.q), filter, limit, min_score }).await?;
    let results = hits.into_iter().map(|hit| hit_view(did, &hit)).collect::<Result<_, XrpcError>>()?;
    Ok(recall::Output { results })
}

async fn forget_some(context: Context, input: forget::Input) -> Answer<forget::Forget> {
    let invalid = |message: &'static str| forget::ErrorName::InvalidFilter.because(message);
    let dry_run = input.dry_run;
    let command = match (input.uris.as_slice(), input.filter) {
        ([], Some(filter)) => Forget { rkeys: Vec::new(), filter: Some(read_filter(filter)?), dry_run },
        ([], None) => return Err(invalid("give the memories' uris, or a filter")),
        (_, Some(_)) => return Err(invalid("give uris or a filter, not both")),
        (uris, None) => {
            let rkeys =
                uris.iter().map(|uri| own_memory(&context, uri)).collect::<Result<Vec<_>, XrpcError>>()?;
            Forget { rkeys: rkeys.into_iter().flatten().collect(), filter: None, dry_run }
        }
    };
    let did = context.caller.did()?;
    let mut output = forget::Output { forgotten: 0, shredded: 0 };
    for _ in 0..FORGET_COMMITS_MAX {
        let done = context.account(did, command.clone()).await?;
        let shredded = i64::try_from(done.shredded).map_err(XrpcError::internal)?;
        let forgotten = if dry_run { shredded } else { i64::try_from(done.rkeys.len()).unwrap_or(i64::MAX) };
        output.shredded = output.shredded.saturating_add(shredded);
        output.forgotten = output.forgotten.saturating_add(forgotten);
        if dry_run || !done.more || command.filter.is_none() {
            break;
        }
    }
    Ok(output)
}

fn read_filter(filter: defs::Filter) -> Result<Filter, XrpcError> {
    Ok(Filter {
        types: filter.types,
        tags: Hidden::new(filter.tags),
        since_us: time(filter.since.as_ref())?,
        until_us: time(filter.until.as_ref())?,
        as_of_us: None,
    })
}

/// The record key of a memory of the caller's; `None` for an address in its repo that can be no memory.
fn own_memory(context: &Context, uri: &AtUri) -> Result<Option<RecordKey>, XrpcError> {
    let account = &context.caller.account()?.account;
    let authority = uri.authority();
    let is_own = authority == account.did.as_str()
        || Handle::try_from(authority).is_ok_and(|handle| handle.normalized() == account.handle);
    if !is_own {
        return Err(XrpcError::invalid("the uri is not of the caller's own repo"));
    }
    let in_vault = uri.collection() == Some(vault::COLLECTION);
    Ok(uri.record_key().filter(|_| in_vault).and_then(|rkey| RecordKey::try_from(rkey).ok()))
}

fn view(did: &Did, memory: &Opened) -> Result<MemoryView, XrpcError> {
    let value = open(memory)?;
    let created_at = match &value {
        Ipld::Map(fields) => created_at(fields),
        _ => None,
    };
    Ok(MemoryView {
        uri: uri(did, &memory.rkey)?,
        cid: cid(&memory.cid)?,
        memory: Data(value),
        privacy: MemoryViewPrivacy::Private,
        created_at,
    })
}

fn hit_view(did: &Did, hit: &Recalled) -> Result<recall::Hit, XrpcError> {
    Ok(recall::Hit {
        uri: uri(did, &hit.memory.rkey)?,
        cid: Some(cid(&hit.memory.cid)?),
        score: i64::from(hit.score),
        memory: Data(open(&hit.memory)?),
        why: match hit.why.expose().as_slice() {
            [word] => format!("has the word {word}"),
            words => format!("has the words {}", words.join(", ")),
        },
    })
}

fn open(memory: &Opened) -> Result<Ipld, XrpcError> {
    decode_record(memory.memory.expose()).map_err(XrpcError::internal)
}

fn created_at(fields: &BTreeMap<String, Ipld>) -> Option<Datetime> {
    match fields.get("createdAt") {
        Some(Ipld::String(text)) => Datetime::try_from(text.as_str()).ok(),
        _ => None,
    }
}

fn uri(did: &Did, rkey: &RecordKey) -> Result<AtUri, XrpcError> {
    AtUri::try_from(format!("at://{did}/{}/{rkey}", vault::COLLECTION)).map_err(XrpcError::internal)
}

fn cid(cid: &Cid) -> Result<CidText, XrpcError> {
    CidText::try_from(cid.to_string()).map_err(XrpcError::internal)
}

fn time(datetime: Option<&Datetime>) -> Result<Option<i64>, XrpcError> {
    let read = |datetime: &Datetime| parse_datetime_us(datetime.as_str());
    datetime.map(read).transpose().map_err(|error| XrpcError::invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipld_core::ipld;

    #[test]
    fn a_memory_gets_the_time_it_left_out() {
        let block = prepare(ipld!({"$type": "agent.memory.note", "summary": "red"}), 0).unwrap();
        let Ipld::Map(fields) = decode_record(&block).unwrap() else { panic!("a record is a map") };
        assert_eq!(created_at(&fields).unwrap().as_str(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn what_is_no_memory_is_refused_by_name() {
        let name = |memory: Ipld| prepare(memory, 0).map_err(|error| error.into_error().name.into_owned());
        for bad in [
            ipld!([]),
            ipld!({"summary": "no type"}),
            ipld!({"$type": "nonsense", "summary": "a"}),
            ipld!({"$type": "agent.memory.note"}),
            ipld!({"$type": "agent.memory.note", "summary": 5}),
        ] {
            assert_eq!(name(bad.clone()), Err("InvalidMemory".to_owned()), "{bad:?}");
        }
        assert!(name(ipld!({"$type": "com.example.own", "anything": [1, 2]})).is_ok());
        let long = "x".repeat(crate::limits::RECORD_BYTES_MAX);
        assert_eq!(name(ipld!({"$type": "com.example.own", "text": long})), Err("MemoryTooLarge".to_owned()));
    }
}
