//! An event as a line: for people, or as JSON.

use serde_json::{Value, json};

use super::super::error::CliError;
use super::super::out::{Out, clean, escaped};
use zap::event::verify::{Finding, Severity};
use zap::event::{CommitEvent, Event, RepoOp};

/// Prints an event, and below it what was found.
pub(super) fn print(out: Out, event: &Event<'_>, bytes: usize, findings: &[Finding]) -> Result<(), CliError> {
    if out.json {
        let mut value = to_json(event);
        if let Value::Object(fields) = &mut value {
            fields.insert("bytes".to_owned(), bytes.into());
            if !findings.is_empty() {
                fields.insert("findings".to_owned(), findings.iter().map(finding_json).collect());
            }
        }
        return out.line(&escaped(&value.to_string()));
    }
    out.line(&to_text(event, bytes))?;
    print_findings(out, findings)
}

/// Prints what was found.
pub(super) fn print_findings(out: Out, findings: &[Finding]) -> Result<(), CliError> {
    for finding in findings {
        if out.json {
            out.line(&escaped(&finding_json(finding).to_string()))?;
        } else {
            let word = out.bold(severity(finding));
            out.line(&format!("   {word}  {}", clean(&finding.to_string())))?;
        }
    }
    Ok(())
}

fn severity(finding: &Finding) -> &'static str {
    match finding.severity() {
        Severity::Violation => "violation",
        Severity::Warning => "warning",
    }
}

fn finding_json(finding: &Finding) -> Value {
    json!({ "severity": severity(finding), "message": finding.to_string() })
}

/// The event's kind as one word.
pub(super) fn kind(event: &Event<'_>) -> &'static str {
    match event {
        Event::Commit { .. } => "commit",
        Event::Sync { .. } => "sync",
        Event::Identity { .. } => "identity",
        Event::Account { .. } => "account",
        Event::Info { .. } => "info",
        Event::Error { .. } => "error",
        Event::Unknown { .. } => "unknown",
    }
}

fn to_text(event: &Event<'_>, bytes: usize) -> String {
    let head = |time: &str, did: &str| {
        let seq = event.seq().unwrap_or_default();
        format!("{time}  {seq}  {:8}  {did}", kind(event))
    };
    let text = match event {
        Event::Commit { body, .. } => {
            let ops: Vec<_> =
                body.ops.iter().map(|op| format!("{} {}", op.action.as_str(), op.path)).collect();
            let ops = if ops.is_empty() { "no operations".to_owned() } else { ops.join(", ") };
            format!("{}  {}  {ops}  {bytes} B", head(body.time, body.repo), body.rev)
        }
        Event::Sync { body, .. } => format!("{}  {}  {bytes} B", head(body.time, body.did), body.rev),
        Event::Identity { body, .. } => {
            format!("{}  {}", head(body.time, body.did), body.handle.unwrap_or("no handle"))
        }
        Event::Account { body, .. } => {
            let state = if body.active { "active" } else { "inactive" };
            let status = body.status.map(|status| format!(", {status}")).unwrap_or_default();
            format!("{}  {state}{status}", head(body.time, body.did))
        }
        Event::Info { name, message } => format!("info  {name}: {}", message.unwrap_or_default()),
        Event::Error { error, message } => format!("error  {error}: {}", message.unwrap_or_default()),
        Event::Unknown { kind } => format!("an event of an unknown type, {kind}"),
    };
    clean(&text)
}

fn to_json(event: &Event<'_>) -> Value {
    let (kind, seq) = (kind(event), event.seq());
    match event {
        Event::Commit { body, .. } => commit_json(body, kind, seq),
        Event::Sync { body, .. } => {
            json!({ "kind": kind, "seq": seq, "time": body.time, "did": body.did, "rev": body.rev })
        }
        Event::Identity { body, .. } => {
            json!({ "kind": kind, "seq": seq, "time": body.time, "did": body.did, "handle": body.handle })
        }
        Event::Account { body, .. } => json!({
            "kind": kind, "seq": seq, "time": body.time, "did": body.did, "active": body.active,
            "status": body.status,
        }),
        Event::Info { name, message } => json!({ "kind": kind, "name": name, "message": message }),
        Event::Error { error, message } => json!({ "kind": kind, "error": error, "message": message }),
        Event::Unknown { kind: unknown } => json!({ "kind": kind, "type": unknown }),
    }
}

fn commit_json(body: &CommitEvent<'_>, kind: &str, seq: Option<i64>) -> Value {
    let op = |op: &RepoOp<'_>| {
        json!({
            "action": op.action.as_str(), "path": op.path, "cid": op.cid.map(|cid| cid.to_string()),
            "prev": op.prev.map(|cid| cid.to_string()),
        })
    };
    json!({
        "kind": kind, "seq": seq, "time": body.time, "did": body.repo, "rev": body.rev, "since": body.since,
        "commit": body.commit.to_string(), "prevData": body.prev_data.map(|cid| cid.to_string()),
        "ops": body.ops.iter().map(op).collect::<Vec<_>>(), "blocksBytes": body.blocks.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use zap::event::{AccountEvent, Action};

    #[test]
    fn a_commit_is_one_line_whatever_it_says() {
        let cid = "bafyreib2rxk3rybk3aobmv5cjuql3bm2twh4jo5uxgf5kpqcsgz7soitae".parse().unwrap();
        let body = CommitEvent {
            repo: "did:plc:44ybard66vv44zksje25o7dz",
            time: "2026-11-23T00:00:00.000Z",
            rev: "3mbv4k2ee2c2a",
            since: None,
            commit: cid,
            prev_data: None,
            blocks: b"",
            ops: vec![RepoOp {
                action: Action::Create,
                path: "a.b.c/\x1b[2Jx\ny",
                cid: Some(cid),
                prev: None,
            }],
        };
        let event = Event::Commit { seq: 1, body, rebase: false, too_big: false, blobs: 0 };
        assert_eq!(
            to_text(&event, 9),
            "2026-11-23T00:00:00.000Z  1  commit    did:plc:44ybard66vv44zksje25o7dz  3mbv4k2ee2c2a  \
             create a.b.c/\u{fffd}[2Jx y  9 B"
        );
        let json = to_json(&event);
        assert_eq!(json["ops"][0]["path"], "a.b.c/\x1b[2Jx\ny");
        assert!(!json.to_string().contains('\n'));
    }

    #[test]
    fn an_account_says_why_it_is_inactive() {
        let body =
            AccountEvent { did: "did:web:a.test", time: "t", active: false, status: Some("deactivated") };
        let event = Event::Account { seq: 2, body };
        assert_eq!(to_text(&event, 9), "t  2  account   did:web:a.test  inactive, deactivated");
    }
}
