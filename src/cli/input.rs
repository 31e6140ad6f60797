//! What commands read from files, or from standard input where the file is `-`: bounded, and whole or not at all.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::LocalError;

/// No secret and no letter is longer; a file that is was named by mistake.
const BYTES_MAX: u64 = 64 << 10;
/// Of what is to be remembered: more than the server takes, which says so by name.
const WORDS_BYTES_MAX: u64 = 1 << 20;

/// A secret: the first line, without its end. Files end in one, secrets don't.
pub(crate) fn secret_in(path: &Path) -> Result<Zeroizing<String>, LocalError> {
    let text = Zeroizing::new(text_in(path)?);
    Ok(first_line(&text))
}

/// All of a text.
pub(crate) fn text_in(path: &Path) -> Result<String, LocalError> {
    read(path, BYTES_MAX)
}

/// Words as they were given, or those of standard input where `-` was.
pub(crate) fn words(given: &str) -> Result<Cow<'_, str>, LocalError> {
    match given {
        "-" => read(Path::new("-"), WORDS_BYTES_MAX).map(Cow::Owned),
        given => Ok(Cow::Borrowed(given)),
    }
}

fn read(path: &Path, bytes_max: u64) -> Result<String, LocalError> {
    // Room for all of a secret from the start: a buffer that grows would leave a copy behind.
    let mut text = String::with_capacity(BYTES_MAX as usize + 1);
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(bytes_max + 1).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_string(&mut text))
    };
    let bytes = read.map_err(|source| LocalError::File { path: path.to_owned(), source })?;
    if bytes as u64 > bytes_max {
        return Err(LocalError::Usage(format!("{} is larger than {bytes_max} bytes", path.display())));
    }
    Ok(text)
}

pub(crate) fn first_line(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_refused_and_not_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter");
        std::fs::write(&path, "x".repeat(BYTES_MAX as usize)).unwrap();
        assert_eq!(text_in(&path).unwrap().len(), BYTES_MAX as usize);
        std::fs::write(&path, "x".repeat(BYTES_MAX as usize + 1)).unwrap();
        assert!(matches!(text_in(&path), Err(LocalError::Usage(_))));
    }
}
