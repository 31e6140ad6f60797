//! The Python SDK against the running server: `tests/python/first_examples.py`.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::Settings;
use harness::zap::create_account;

/// The Python that has what `tests/python/requirements.txt` names, if there is one.
pub(crate) fn python() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_zap")).ancestors().nth(2).unwrap();
    let folders = [target.to_owned(), Path::new(env!("CARGO_MANIFEST_DIR")).join("target")];
    let found =
        folders.iter().map(|folder| folder.join("tools/python/bin/python")).find(|file| file.exists());
    if found.is_none() {
        let how = "python3 -m venv target/tools/python && \
            target/tools/python/bin/pip install -r tests/python/requirements.txt";
        assert!(std::env::var_os("INTEROP_REQUIRED").is_none(), "run {how}");
        eprintln!("SKIPPED: there is no Python with these packages; run {how}");
    }
    found
}

/// What breaks: whoever begins with Python.
#[tokio::test]
async fn the_python_sdk_does_its_first_examples() {
    let Some(python) = python() else { return };
    let appview = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let data = tempfile::tempdir().unwrap();
    let settings = Settings::from([
        ("appview-url", format!("http://localhost:{appview}")),
        ("appview-did", format!("did:web:localhost%3A{appview}")),
    ]);
    let zap = super::start_in(data.path(), "info", settings).await;
    let account = create_account(&mut zap.client(), "pia.test").await.unwrap();
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/first_examples.py"));
    command.arg(format!("http://{}", zap.authority())).arg(appview.to_string());
    command.args([account.handle.as_str(), "correct horse"]);
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let report = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{report}\n{}", String::from_utf8_lossy(&done.stderr));
    eprintln!("{report}");
}
