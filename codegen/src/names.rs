//! Names of the lexicon in the forms that Rust has.

use anyhow::{Result, ensure};

/// `validFrom` to `valid_from`.
pub(crate) fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    }
    out
}

/// `memoryView` to `MemoryView`, `in-progress` to `InProgress`.
pub(crate) fn pascal(name: &str) -> String {
    let mut out = String::new();
    let mut upper = true;
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() {
            upper = true;
        } else if upper {
            out.push(c.to_ascii_uppercase());
            upper = false;
        } else {
            out.push(c);
        }
    }
    out
}

/// A field's name, escaped where Rust has taken it.
pub(crate) fn field(name: &str) -> String {
    let snake = snake(name);
    match snake.as_str() {
        "ref" | "type" | "use" | "match" | "mod" | "move" | "where" | "in" | "as" | "async" | "await"
        | "const" | "enum" | "fn" | "for" | "if" | "impl" | "let" | "loop" | "static" | "struct"
        | "trait" | "while" | "yield" => format!("r#{snake}"),
        _ => snake,
    }
}

/// Whether serde's `camelCase` makes the lexicon's name out of the field's again.
pub(crate) fn camel_is(name: &str) -> bool {
    let pascal = pascal(&snake(name));
    let mut chars = pascal.chars();
    let camel = chars.next().map(|c| c.to_ascii_lowercase().to_string()).unwrap_or_default() + chars.as_str();
    camel == name
}

/// Types that generated code uses.
const TAKEN: &str =
    "BlobRef Box Bytes CidLink Data Hidden Method MethodKind Named NoErrors Option Result String Vec";

/// A type's name. One that would hide a name that generated code uses is refused.
pub(crate) fn type_name(name: &str) -> Result<String> {
    let name = pascal(name);
    let mut taken = TAKEN.split(' ');
    ensure!(taken.all(|taken| taken != name), "a definition can't be called {name}");
    Ok(name)
}

/// The authority part and the name of an NSID.
pub(crate) fn split(id: &str) -> (&str, &str) {
    id.rsplit_once('.').unwrap_or(("", id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_their_case() {
        assert_eq!(snake("validFrom"), "valid_from");
        assert_eq!(pascal("not-known yet"), "NotKnownYet");
        assert_eq!(field("ref"), "r#ref");
        assert!(camel_is("validFrom") && camel_is("q") && !camel_is("cid-link"));
        assert!(type_name("data").is_err());
    }
}
