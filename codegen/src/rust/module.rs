//! The code of one document.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use super::HEADER;
use crate::names::{camel_is, field, pascal, snake, split, type_name};
use crate::schema::{Body, Document, ErrorName, Format, Method, Object, Schema, Text, absolute};
use crate::text::description;

/// Properties that hold a secret, by their document: wiped when dropped, and never shown. The language has no word
/// for them.
pub(super) const SECRETS: &[(&str, &str)] = &[
    ("agent.admin.createAgent", "token"),
    ("agent.admin.finishImport", "token"),
    ("agent.vault.rotateToken", "token"),
    ("agent.admin.importAgent", "passphrase"),
    ("agent.vault.export", "passphrase"),
];

/// The code of a document, its imports first.
pub(super) fn code(id: &str, document: &Document, documents: &BTreeMap<String, Document>) -> Result<String> {
    let mut module = Module { id, documents, body: String::new(), uses: BTreeSet::new() };
    for (name, schema) in &document.defs {
        module.definition(name, schema).with_context(|| format!("{id}#{name}"))?;
    }
    let title = document.description.as_deref().map(|text| format!("//!\n{}", comment("//!", text)));
    let uses = imports(&module.uses);
    Ok(format!("//! {id}\n{}//!\n//! {HEADER}\n\n{uses}\n{}", title.unwrap_or_default(), module.body))
}

/// `use` lines, one a module.
fn imports(paths: &BTreeSet<(&'static str, String)>) -> String {
    let mut grouped: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (module, name) in paths {
        grouped.entry(module).or_default().push(name);
    }
    grouped.iter().map(|(module, names)| format!("use {module}::{{{}}};\n", names.join(", "))).collect()
}

struct Module<'a> {
    id: &'a str,
    documents: &'a BTreeMap<String, Document>,
    body: String,
    uses: BTreeSet<(&'static str, String)>,
}

impl Module<'_> {
    fn definition(&mut self, name: &str, schema: &Schema) -> Result<()> {
        let type_name = if name == "main" { type_name(split(self.id).1)? } else { type_name(name)? };
        let doc = description(schema).unwrap_or(name);
        match schema {
            Schema::Record(record) => match record.record.as_ref() {
                Schema::Object(object) => {
                    self.object(&type_name, doc, object, Absent::None)?;
                    self.named(name, &type_name);
                }
                _ => bail!("a record is an object"),
            },
            Schema::Object(object) => {
                self.object(&type_name, doc, object, Absent::None)?;
                self.named(name, &type_name);
            }
            Schema::Query(method) => self.method(&type_name, doc, method, false)?,
            Schema::Procedure(method) => self.method(&type_name, doc, method, true)?,
            Schema::Subscription(stream) => {
                self.nsid(doc);
                self.params(stream.parameters.as_deref())?;
                if let Some(message) = &stream.message {
                    self.value("Message", "", &message.schema)?;
                }
                self.errors(&stream.errors);
            }
            Schema::PermissionSet(_) => self.nsid(doc),
            Schema::Token(_) => {
                let target = absolute(&format!("#{name}"), self.id);
                let constant = snake(name).to_uppercase();
                self.line(&comment("///", doc), &format!("pub const {constant}: &str = {target:?};"));
            }
            other => {
                let alias = self.value(&type_name, "", other)?;
                if alias != type_name {
                    self.line(&comment("///", doc), &format!("pub type {type_name} = {alias};"));
                }
            }
        }
        Ok(())
    }

    fn import(&mut self, module: &'static str, name: &str) {
        self.uses.insert((module, name.to_owned()));
    }

    fn line(&mut self, doc: &str, code: &str) {
        self.body += &format!("{doc}{code}\n\n");
    }

    fn nsid(&mut self, doc: &str) {
        let code = format!("pub const NSID: &str = {:?};", self.id);
        self.line(&comment("///", doc), &code);
    }

    fn named(&mut self, name: &str, type_name: &str) {
        self.import("crate::lexicon::data", "Named");
        let target = absolute(&format!("#{name}"), self.id);
        self.line("", &format!("impl Named for {type_name} {{ const TYPE: &'static str = {target:?}; }}"));
    }

    /// The method itself, then what goes in and comes out of it.
    fn method(&mut self, type_name: &str, doc: &str, method: &Method, is_procedure: bool) -> Result<()> {
        self.import("crate::lexicon::method", "Method");
        self.import("crate::lexicon::method", "MethodKind");
        let (kind, input) = match (is_procedure, &method.input) {
            (false, None) => ("MethodKind::Query".to_owned(), "Params"),
            (true, None | Some(Body { schema: Some(_), .. })) if method.parameters.is_none() => {
                ("MethodKind::Procedure".to_owned(), "Input")
            }
            (true, Some(Body { schema: None, encoding })) => {
                (format!("MethodKind::Upload {{ encoding: {encoding:?} }}"), "Params")
            }
            _ => bail!("a method takes parameters or a JSON body, and bytes with parameters at most"),
        };
        let error = if method.errors.is_empty() {
            self.import("crate::lexicon::method", "NoErrors");
            "NoErrors"
        } else {
            "ErrorName"
        };
        let code = format!("#[derive(Clone, Copy, Debug)]\npub struct {type_name};");
        self.line(&comment("///", doc), &code);
        let code = format!(
            "impl Method for {type_name} {{\n    const NSID: &'static str = {:?};\n    const KIND: MethodKind = {kind};\n    \
             type Input = {input};\n    type Output = Output;\n    type Error = {error};\n}}",
            self.id
        );
        self.line("", &code);
        if input == "Params" {
            self.params(Some(method.parameters.as_deref().unwrap_or(&Schema::Params(Object::default()))))?;
        } else {
            let body = method.input.as_ref().and_then(|body| body.schema.as_deref());
            self.body(input, "request", body.unwrap_or(&Schema::Object(Object::default())))?;
        }
        match method.output.as_ref().and_then(|body| body.schema.as_deref()) {
            Some(schema) => self.body("Output", "answer", schema)?,
            None => bail!("every method so far answers with JSON"),
        }
        self.errors(&method.errors);
        Ok(())
    }

    fn body(&mut self, name: &str, of: &str, schema: &Schema) -> Result<()> {
        let doc = format!("The body of the {of}.");
        match schema {
            Schema::Object(object) => {
                let absent = if name == "Input" { Absent::Default } else { Absent::None };
                self.object(name, &doc, object, absent)
            }
            other => {
                let alias = self.value(name, "", other)?;
                self.line(&comment("///", &doc), &format!("pub type {name} = {alias};"));
                Ok(())
            }
        }
    }

    fn params(&mut self, schema: Option<&Schema>) -> Result<()> {
        match schema {
            Some(Schema::Params(object)) => {
                self.object("Params", "The parameters of the query string.", object, Absent::Default)
            }
            _ => Ok(()),
        }
    }

    fn errors(&mut self, errors: &[ErrorName]) {
        if errors.is_empty() {
            return;
        }
        self.import("crate::lexicon::macros", "error_names");
        let mut code =
            "error_names! {\n    /// The errors that this method names.\n    pub enum ErrorName {\n"
                .to_owned();
        for error in errors {
            let doc = error.description.as_deref().unwrap_or(&error.name);
            code += &format!("        /// {doc}\n        {},\n", error.name);
        }
        self.line("", &(code + "    }\n}"));
    }

    fn object(&mut self, name: &str, doc: &str, object: &Object, absent: Absent) -> Result<()> {
        self.import("serde", "Deserialize");
        self.import("serde", "Serialize");
        let mut fields = String::new();
        let mut defaults = String::new();
        for (property, schema) in &object.properties.0 {
            let mut value = self.value(name, property, schema).with_context(|| property.clone())?;
            if SECRETS.contains(&(self.id, property)) {
                ensure!(value == "String", "{property}: only a text can be hidden");
                self.import("crate::seam", "Hidden");
                value = "Hidden<String>".to_owned();
            }
            let doc =
                description(schema).map_or_else(|| format!("The property `{property}`."), str::to_owned);
            fields += &comment("    ///", &doc);
            if !camel_is(property) {
                fields += &format!("    #[serde(rename = {property:?})]\n");
            }
            let required = object.required.contains(property);
            let default = default_of(schema, &value).filter(|_| absent == Absent::Default && !required);
            let field = field(property);
            fields += &if let Some(default) = default {
                let function = format!("default_{}_{}", snake(name).trim_start_matches('_'), snake(property));
                defaults += &format!("fn {function}() -> {value} {{ {default} }}\n\n");
                format!("    #[serde(default = {function:?})]\n    pub {field}: {value},\n")
            } else if object.nullable.contains(property) {
                let skip = if required { "" } else { ", skip_serializing_if = \"Option::is_none\"" };
                format!("    #[serde(default{skip})]\n    pub {field}: Option<{value}>,\n")
            } else if required {
                format!("    pub {field}: {value},\n")
            } else if value.starts_with("Vec<") {
                format!(
                    "    #[serde(default, skip_serializing_if = \"Vec::is_empty\")]\n    pub {field}: {value},\n"
                )
            } else {
                format!(
                    "    #[serde(default, skip_serializing_if = \"Option::is_none\")]\n    pub {field}: Option<{value}>,\n"
                )
            };
        }
        // What holds a secret cannot be printed.
        let secret = object.properties.0.iter().any(|(property, _)| SECRETS.contains(&(self.id, property)));
        let debug = if secret { "" } else { "Debug, " };
        let derive = format!(
            "#[derive(Clone, {debug}PartialEq, Serialize, Deserialize)]\n#[serde(rename_all = \"camelCase\")]\n"
        );
        self.line(&comment("///", doc), &format!("{derive}pub struct {name} {{\n{fields}}}"));
        self.body += &defaults;
        Ok(())
    }

    /// The Rust type of a value; types that it needs of its own are written, named after where it stands.
    fn value(&mut self, parent: &str, property: &str, schema: &Schema) -> Result<String> {
        let own = || type_name(&format!("{parent}{}", pascal(property)));
        Ok(match schema {
            Schema::Boolean(_) => "bool".into(),
            Schema::Integer(_) => "i64".into(),
            Schema::Bytes(_) => self.data("Bytes"),
            Schema::CidLink(_) => self.data("CidLink"),
            Schema::Blob(_) => self.data("BlobRef"),
            Schema::Unknown(_) => self.data("Data"),
            Schema::Array(array) => format!("Vec<{}>", self.value(parent, property, &array.items)?),
            Schema::String(text) => match text.known_values.as_ref().or(text.values.as_ref()) {
                Some(values) => {
                    let name = if parent == "Params" || parent == "Input" || parent == "Output" {
                        type_name(property)?
                    } else {
                        own()?
                    };
                    self.known_values(&name, text, values);
                    name
                }
                None => self.string(text.format),
            },
            Schema::Object(object) => {
                let name = own()?;
                self.object(&name, description(schema).unwrap_or(property), object, Absent::None)?;
                name
            }
            Schema::Ref(reference) => self.reference(&reference.target)?,
            Schema::Union(union) => {
                let name = own()?;
                let mut variants = String::new();
                for target in &union.refs {
                    let path = self.reference(target)?;
                    let variant = path.rsplit("::").next().unwrap_or(&path).to_owned();
                    variants += &format!("        {variant}({path}),\n");
                }
                self.import("crate::lexicon::macros", "union");
                let doc = comment("    ///", union.description.as_deref().unwrap_or("One of several types."));
                self.line("", &format!("union! {{\n{doc}    pub enum {name} {{\n{variants}    }}\n}}"));
                name
            }
            _ => bail!("this type can't stand here"),
        })
    }

    fn data(&mut self, name: &str) -> String {
        self.import("crate::lexicon::data", name);
        name.to_owned()
    }

    fn string(&mut self, format: Option<Format>) -> String {
        let name = match format {
            None | Some(Format::Other) => return "String".into(),
            Some(Format::AtIdentifier) => "AtIdentifier",
            Some(Format::AtUri) => "AtUri",
            Some(Format::Cid) => "CidText",
            Some(Format::Datetime) => "Datetime",
            Some(Format::Did) => "Did",
            Some(Format::Handle) => "Handle",
            Some(Format::Language) => "Language",
            Some(Format::Nsid) => "Nsid",
            Some(Format::RecordKey) => "RecordKey",
            Some(Format::Tid) => "Tid",
            Some(Format::Uri) => "Uri",
        };
        self.import("crate::syntax", name);
        name.to_owned()
    }

    fn known_values(&mut self, name: &str, text: &Text, values: &[String]) {
        self.import("crate::lexicon::macros", "known_values");
        let doc = comment("    ///", text.description.as_deref().unwrap_or(name));
        let variants: String =
            values.iter().map(|value| format!("        {} = {value:?},\n", pascal(value))).collect();
        self.line("", &format!("known_values! {{\n{doc}    pub enum {name} {{\n{variants}    }}\n}}"));
    }

    /// The path of the type that a reference names.
    fn reference(&self, target: &str) -> Result<String> {
        let target = absolute(target, self.id);
        let (id, name) = target.split_once('#').unwrap_or((&target, "main"));
        let document = self.documents.get(id).with_context(|| format!("{target} is not there"))?;
        let schema = document.defs.get(name).with_context(|| format!("{target} is not there"))?;
        if let Schema::Token(_) = schema {
            return Ok("String".into());
        }
        let (authority, last) = split(id);
        let name = type_name(if name == "main" { last } else { name })?;
        Ok(if id == self.id {
            name
        } else if authority == split(self.id).0 {
            format!("super::{}::{name}", snake(last))
        } else {
            format!("crate::lexicon::{}::{}::{name}", authority.replace('.', "::"), snake(last))
        })
    }
}

/// What a property that is not there becomes: nothing, or in what a server reads its default.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    None,
    Default,
}

fn default_of(schema: &Schema, value: &str) -> Option<String> {
    match schema {
        Schema::Boolean(s) => s.default.map(|default| default.to_string()),
        Schema::Integer(s) => s.default.map(|default| default.to_string()),
        Schema::String(s) => s.default.as_ref().map(|default| {
            if value == "String" {
                format!("{default:?}.to_owned()")
            } else {
                format!("{value}::{}", pascal(default))
            }
        }),
        _ => None,
    }
}

/// Wraps a text into comment lines.
fn comment(prefix: &str, text: &str) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && prefix.len() + line.len() + word.len() + 2 > 108 {
            out += &format!("{prefix} {line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    out + &format!("{prefix} {line}\n")
}
