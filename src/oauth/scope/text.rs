//! How one permission is written: a resource, one value that needs no name, and named ones, in percent encoding.

use std::fmt::Write as _;

/// One permission taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text<'a> {
    pub(super) resource: &'a str,
    positional: Option<String>,
    named: Vec<(String, String)>,
}

impl<'a> Text<'a> {
    /// Takes a permission apart; `None` for one that is not printable ASCII, or whose escapes are none.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let (head, query) = text.split_once('?').unwrap_or((text, ""));
        let (resource, positional) = match head.split_once(':') {
            Some((resource, value)) => (resource, Some(unescape(value, false)?)),
            None => (head, None),
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescape(name, true)?, unescape(value, true)?))
        });
        Some(Self { resource, positional, named: pairs.collect::<Option<_>>()? })
    }

    /// Whether it has these names at most.
    pub(super) fn has_only(&self, names: &[&str]) -> bool {
        self.named.iter().all(|(name, _)| names.contains(&name.as_str()))
    }

    /// The values of a name, of which there is at least one. The name that needs not be said is not said twice.
    pub(super) fn values(&self, name: &str, is_positional: bool) -> Option<Vec<&str>> {
        let named: Vec<&str> =
            self.named.iter().filter(|(other, _)| other == name).map(|(_, value)| &**value).collect();
        match &self.positional {
            Some(value) if is_positional => named.is_empty().then(|| vec![&**value]),
            _ => (!named.is_empty()).then_some(named),
        }
    }

    /// The one value of a name. `Err` when there are several.
    pub(super) fn value(&self, name: &str, is_positional: bool) -> Result<Option<&str>, ()> {
        if is_positional && self.positional.is_some() && self.has_name(name) {
            return Err(());
        }
        match self.values(name, is_positional).as_deref() {
            None => Ok(None),
            Some([value]) => Ok(Some(value)),
            Some(_) => Err(()),
        }
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
        self.named.iter().any(|(other, _)| other == name)
    }
}

/// Writes a permission: one value stands behind a colon, several are named.
pub(super) fn write(resource: &str, name: &str, values: &[&str], others: &[(&str, &str)]) -> String {
    let mut out = resource.to_owned();
    let mut separator = '?';
    let mut add = |out: &mut String, name: &str, value: &str| {
        out.push(separator);
        separator = '&';
        out.push_str(name);
        out.push('=');
        escape(value, out);
    };
    if let [value] = values {
        out.push(':');
        escape(value, &mut out);
    } else {
        for value in values {
            add(&mut out, name, value);
        }
    }
    for (name, value) in others {
        add(&mut out, name, value);
    }
    out
}

/// All is escaped but letters, digits, and what can't be taken for a part of the syntax. `%` is, unlike in the reference
/// server: a did:web with a port has one, and must be read again as it was.
fn escape(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~*:/,@!'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn unescape(text: &str, is_query: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?
            }
            b'+' if is_query => b' ',
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}
