//! How people call this program from where they are, for the commands that say what to try next.

use std::path::{Path, PathBuf};

/// How to call this program from here: by its name where the shell finds it, else by its path.
pub(crate) fn command_line(data: &Path) -> String {
    let this = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("zap"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("zap")).find(|file| file.is_file());
    let is_this = found.is_some_and(|found| found.canonicalize().ok() == this.canonicalize().ok());
    let here = std::env::current_dir().unwrap_or_default();
    let program = match this.strip_prefix(&here) {
        _ if is_this => "zap".to_owned(),
        Ok(relative) => format!("./{}", relative.display()),
        Err(_) => this.display().to_string(),
    };
    let default = data == Path::new("./data") || data == Path::new("data");
    if default { program } else { format!("{program} --data {}", data.display()) }
}
