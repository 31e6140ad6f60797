//! The reference page: every record and method as tables.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use anyhow::Result;

use crate::names::split;
use crate::schema::{Body, Document, ErrorName, Method, Object, Schema, absolute};
use crate::text::{description, format_name};

const INTRO: &str = "\
# The agent.* lexicons

Generated from `lexicons/` by `cargo run -p codegen`; do not edit.

The contract of this network: the records that agents keep and the methods that servers answer. Lengths are bytes of
UTF-8; graphemes are what a reader takes for one character. Bold properties are required. A *known* value is one to
expect, not the only one. Every method may also answer the protocol's general errors, such as `InvalidRequest`,
`AuthenticationRequired` and `RateLimitExceeded`.

A *datetime* is written as `2026-01-31T12:34:56Z`. Methods take it as people write it too, a memory's own times included
(`2026-01-31`, `2026-01-31 12:34`; without a time zone in UTC), and keep it in full; records written otherwise are held to it.
";

pub(crate) fn page(documents: &BTreeMap<String, Document>) -> Result<String> {
    let mut page = INTRO.to_owned();
    let mut authority = "";
    for (id, document) in documents {
        if split(id).0 != authority {
            authority = split(id).0;
            write!(page, "\n## {authority}\n")?;
        }
        let mut names: Vec<&String> = document.defs.keys().collect();
        names.sort_by_key(|name| (*name != "main", *name));
        if let Some(text) = &document.description {
            write!(page, "\n### {id}\n\n{text}\n")?;
        }
        for name in names {
            if let Some(schema) = document.defs.get(name) {
                definition(&mut page, id, &absolute(&format!("#{name}"), id), schema)?;
            }
        }
    }
    Ok(page)
}

fn definition(page: &mut String, id: &str, name: &str, schema: &Schema) -> Result<()> {
    let level = if name.contains('#') { "####" } else { "###" };
    let kind = match schema {
        Schema::Record(record) => format!("record, key `{}`", record.key),
        Schema::Query(_) => "query".into(),
        Schema::Procedure(_) => "procedure".into(),
        Schema::Subscription(_) => "subscription".into(),
        Schema::PermissionSet(_) => "permission set".into(),
        Schema::Object(_) => "object".into(),
        other => type_of(other, id),
    };
    write!(page, "\n{level} {name}\n\n*{kind}*")?;
    match description(schema) {
        Some(text) => writeln!(page, ": {text}")?,
        None => writeln!(page)?,
    }
    match schema {
        Schema::Record(record) => table(page, id, None, &record.record)?,
        Schema::Query(method) | Schema::Procedure(method) => self::method(page, id, method)?,
        Schema::Subscription(stream) => {
            if let Some(params) = &stream.parameters {
                table(page, id, Some("Parameters"), params)?;
            }
            if let Some(message) = &stream.message {
                table(page, id, Some("Messages"), &message.schema)?;
            }
            errors(page, &stream.errors)?;
        }
        Schema::PermissionSet(set) => {
            writeln!(page)?;
            for permission in &set.permissions {
                for target in permission.lxm.iter().chain(&permission.collection) {
                    writeln!(page, "- `{}` {target}", permission.resource)?;
                }
            }
        }
        other => table(page, id, None, other)?,
    }
    Ok(())
}

fn method(page: &mut String, id: &str, method: &Method) -> Result<()> {
    if let Some(params) = &method.parameters {
        table(page, id, Some("Parameters"), params)?;
    }
    for (title, body) in [("Input", &method.input), ("Output", &method.output)] {
        if let Some(Body { encoding, schema }) = body {
            match schema {
                Some(schema) => table(page, id, Some(title), schema)?,
                None => write!(page, "\n{title}: `{encoding}`\n")?,
            }
        }
    }
    errors(page, &method.errors)
}

fn errors(page: &mut String, errors: &[ErrorName]) -> Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    write!(page, "\n| error | when |\n|---|---|\n")?;
    for error in errors {
        writeln!(page, "| `{}` | {} |", error.name, error.description.as_deref().unwrap_or(""))?;
    }
    Ok(())
}

fn table(page: &mut String, id: &str, title: Option<&str>, schema: &Schema) -> Result<()> {
    let (Schema::Object(object) | Schema::Params(object)) = schema else {
        if let Some(title) = title {
            write!(page, "\n{title}: {}\n", type_of(schema, id))?;
        }
        return Ok(());
    };
    match (title, object.properties.0.is_empty()) {
        (Some(title), true) => write!(page, "\n{title}: nothing\n")?,
        (None, true) => write!(page, "\nIt has no properties.\n")?,
        (title, false) => {
            write!(page, "\n| {} | type | limits | |\n|---|---|---|---|\n", title.unwrap_or("Property"))?;
            rows(page, id, "", object)?;
        }
    }
    Ok(())
}

fn rows(page: &mut String, id: &str, prefix: &str, object: &Object) -> Result<()> {
    for (name, schema) in &object.properties.0 {
        let bold = if object.required.contains(name) { "**" } else { "" };
        let mut limits = limits(schema);
        if object.nullable.contains(name) {
            limits.push("may be null".into());
        }
        writeln!(
            page,
            "| {bold}`{prefix}{name}`{bold} | {} | {} | {} |",
            type_of(schema, id),
            limits.join(", "),
            description(schema).unwrap_or("")
        )?;
        if let Schema::Object(inner) = schema {
            rows(page, id, &format!("{prefix}{name}."), inner)?;
        }
    }
    Ok(())
}

fn type_of(schema: &Schema, id: &str) -> String {
    match schema {
        Schema::Boolean(_) => "boolean".into(),
        Schema::Integer(_) => "integer".into(),
        Schema::String(text) => match text.format {
            Some(format) => format!("string, {}", format_name(format)),
            None => "string".into(),
        },
        Schema::Bytes(_) => "bytes".into(),
        Schema::CidLink(_) => "link".into(),
        Schema::Blob(_) => "blob".into(),
        Schema::Unknown(_) => "any object".into(),
        Schema::Token(_) => "token".into(),
        Schema::Array(array) => format!("list of {}", type_of(&array.items, id)),
        Schema::Ref(reference) => link(&absolute(&reference.target, id)),
        Schema::Union(union) => {
            let names: Vec<String> = union.refs.iter().map(|target| link(&absolute(target, id))).collect();
            let end = if union.closed { "" } else { " or another type" };
            format!("{}{end}", names.join(", "))
        }
        _ => "object".into(),
    }
}

fn link(name: &str) -> String {
    let anchor: String = name.chars().filter(|c| !matches!(c, '.' | '#')).collect();
    format!("[{name}](#{})", anchor.to_lowercase())
}

fn limits(schema: &Schema) -> Vec<String> {
    let mut out = Vec::new();
    match schema {
        Schema::Boolean(s) => {
            out.extend(s.constant.map(|value| format!("always {value}")));
            out.extend(s.default.map(default));
        }
        Schema::Integer(s) => {
            range(&mut out, s.minimum, s.maximum, "");
            listed(&mut out, "only", s.values.as_deref());
            out.extend(s.constant.map(|value| format!("always {value}")));
            out.extend(s.default.map(default));
        }
        Schema::String(s) => {
            listed(&mut out, "known:", s.known_values.as_deref());
            listed(&mut out, "only", s.values.as_deref());
            range(&mut out, s.min_length, s.max_length, " bytes");
            range(&mut out, s.min_graphemes, s.max_graphemes, " graphemes");
            out.extend(s.constant.as_ref().map(|value| format!("always `{value}`")));
            out.extend(s.default.as_ref().map(default));
        }
        Schema::Bytes(s) => range(&mut out, s.min_length, s.max_length, " bytes"),
        Schema::Blob(s) => {
            out.extend(s.accept.as_ref().map(|types| types.join(", ")));
            range(&mut out, None, s.max_size, " bytes");
        }
        Schema::Array(s) => {
            range(&mut out, s.min_length, s.max_length, " items");
            let each = limits(&s.items);
            if !each.is_empty() {
                out.push(format!("each {}", each.join(", ")));
            }
        }
        _ => {}
    }
    out
}

fn default(value: impl Display) -> String {
    format!("default `{value}`")
}

fn range<T: Display + PartialEq>(out: &mut Vec<String>, min: Option<T>, max: Option<T>, unit: &str) {
    match (min, max) {
        (Some(min), Some(max)) if min == max => out.push(format!("{min}{unit}")),
        (Some(min), Some(max)) => out.push(format!("{min} to {max}{unit}")),
        (Some(min), None) => out.push(format!("at least {min}{unit}")),
        (None, Some(max)) => out.push(format!("at most {max}{unit}")),
        (None, None) => {}
    }
}

fn listed<T: Display>(out: &mut Vec<String>, word: &str, values: Option<&[T]>) {
    if let Some(values) = values {
        let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        out.push(format!("{word} {}", values.join(", ")));
    }
}
