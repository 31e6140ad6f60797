//! The same on a full disk.

use harness::Settings;
use harness::zap::create_agent;

use super::*;
use crate::full_disk::{DISK_BYTES, empty_write_ahead_log, fill};
use crate::mishaps::Disk;
use crate::pages::SECOND_STEP;

/// How often a directory is deprived of its room: it may write in between.
const TRIES_MAX: usize = 20;

/// Everybody, by what they are about to do.
struct Owners {
    /// Codes by time on, or off again.
    on: Owner,
    off: Owner,
    /// A passkey added, or removed.
    added: Owner,
    removed: Owner,
    /// Codes on paper made anew.
    paper: Owner,
}

impl Owners {
    async fn new(zap: &Zap, number: u8) -> Self {
        let owner = async |what, name| Owner::new(zap, what, &format!("{name}{number}")).await;
        let mut owners = Self {
            on: owner(What::Totp, "on").await,
            off: owner(What::Totp, "off").await,
            added: owner(What::Passkey, "added").await,
            removed: owner(What::Passkey, "removed").await,
            paper: owner(What::Paper, "paper").await,
        };
        owners.off.turn_on().await.unwrap().says("Two-factor sign-in is on");
        owners.removed.add().await.unwrap().says("The passkey is added");
        owners
    }

    fn all(&mut self) -> [&mut Owner; 5] {
        let Self { on, off, added, removed, paper } = self;
        [on, off, added, removed, paper]
    }

    /// Asks for a change of each, by pages that were opened before there was no room.
    async fn change(&mut self, begun: &Page, passkeys: &Page) -> [Page; 5] {
        let pages = [
            self.on.confirm(begun).await.unwrap(),
            self.off.turn_off().await.unwrap(),
            self.added.add_on(passkeys).await.unwrap(),
            self.removed.remove().await.unwrap(),
            self.paper.renew().await.unwrap(),
        ];
        // All were answered: what is not done is not done.
        for owner in self.all() {
            owner.asked = owner.answered;
        }
        pages
    }
}

/// What breaks: a full disk leaves half a factor behind, or says no more of it than that something went wrong; or who has a
/// factor can't sign in for as long as it is full.
#[tokio::test]
async fn a_factor_that_is_changed_on_a_full_disk_is_whole_and_lets_its_owner_in() {
    if crate::on_worker() {
        return; // The runtime's own affair.
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&folder.path().join("data"), DISK_BYTES) else { return };
    let mut zap = crate::start_in(folder.path(), "warn", Settings::new()).await;
    let writer = create_agent(&mut zap.client(), "robin").await.unwrap();
    let mut owners = Owners::new(&zap, 1).await;

    // Where the directory has room for its part, a change is made whole, and each gets in by what is there then.
    let begun = owners.on.begin().await.unwrap();
    let passkeys = owners.added.browser.open(PASSKEYS).await.unwrap();
    fill(&disk, &mut zap.client(), &[&writer]).await;
    for page in owners.change(&begun, &passkeys).await {
        assert_eq!(page.status, 200, "{}", page.text);
    }
    for owner in owners.all() {
        owner.check(&zap).await;
    }
    enters_by_the_pages(&zap, &owners.paper).await;

    // Where it has none either, nothing of it is.
    disk.empty();
    let mut owners = Owners::new(&zap, 2).await;
    let begun = owners.on.begin().await.unwrap();
    let passkeys = owners.added.browser.open(PASSKEYS).await.unwrap();
    for tries in 0.. {
        empty_write_ahead_log(&zap.data.join("directory.sqlite"));
        disk.fill();
        let page = owners.paper.renew().await.unwrap();
        if page.status == 507 {
            break;
        }
        page.says("The old codes are over");
        assert!(tries < TRIES_MAX, "there is always room");
    }
    for page in owners.change(&begun, &passkeys).await {
        assert_eq!(page.status, 507, "{}", page.text);
        assert!(page.text.contains("Its disk is full. Nothing was changed."), "{}", page.text);
    }
    // Who has a page open reads on.
    owners.paper.browser.open(TWO_FACTOR).await.unwrap().says("10 are left.");
    let health = zap.client().get("/xrpc/_health", None).await.unwrap();
    assert_eq!((health.status, &health.json().unwrap()["troubles"]), (503, &json!(["StorageFull"])));

    disk.empty();
    for owner in owners.all() {
        owner.check(&zap).await;
    }
    zap.stop().await.unwrap();
}

/// The password first, and a code after it.
async fn enters_by_the_pages(zap: &Zap, owner: &Owner) {
    let mut browser = Browser::new(zap);
    assert_eq!(browser.enter(&owner.handle).await.unwrap().location, SECOND_STEP);
    let filled = [("code", &*owner.paper[0])];
    let entered = browser.send(SECOND_STEP, "code", &filled).await.unwrap();
    assert_eq!(entered.location, "/account", "{} {}", entered.status, entered.text);
    browser.open(TWO_FACTOR).await.unwrap().says("It is on");
}
