//! Keeping, finding and forgetting, with a database as the agent cell has it.

use super::*;
use crate::data_model::{CODEC_DAG_CBOR, Ipld, cid_of_block, encode};
use crate::native::sql::{Database, Durability};
use crate::store::migrate::migrate;
use crate::store::{Sql as _, Value, query_first};
use crate::syntax::RecordKey;
use crate::testing::{Disk, Randomness};
use crate::vault::MasterKey;
use ipld_core::ipld;

const DID: &str = "did:plc:alice";

struct Agent {
    sql: Disk,
    memory: Memory,
    randomness: Randomness,
}

impl Agent {
    fn new() -> Self {
        Self::on(Disk::default())
    }

    fn on(sql: Disk) -> Self {
        migrate(&sql, crate::account::MIGRATIONS).unwrap();
        let randomness = Randomness::default();
        let master = MasterKey::from_bytes([9; 32]);
        let keyring = Keyring::create(&sql, DID, &master, 1, &mut randomness.fork()).unwrap();
        Self { sql, memory: Memory::new(keyring), randomness }
    }

    /// As after a restart: nothing but the database is left.
    fn restart(&mut self) {
        self.memory = Memory::new(Keyring::open(&self.sql, DID, &MasterKey::from_bytes([9; 32])).unwrap());
    }

    fn plan(&mut self, memory: &Ipld, dedupe: bool) -> Result<Planned, Error> {
        self.memory.plan_remember(
            &self.sql,
            &encode(memory).unwrap(),
            dedupe,
            1_767_225_600_000_000,
            &mut self.randomness.fork(),
        )
    }

    /// Does what the cell does with a plan.
    fn remember(&mut self, memory: &Ipld) -> (String, Option<Kept>) {
        self.memory.mark_all(&self.sql).unwrap();
        match self.plan(memory, true).unwrap() {
            Planned::Duplicate { rkey } => (rkey, None),
            Planned::Write(plan) => {
                self.write_record(plan.rkey(), plan.record());
                plan.apply(&self.sql).unwrap();
                self.memory.remembered(&plan);
                (plan.rkey().to_owned(), Some(plan.kept()))
            }
        }
    }

    fn write_record(&self, rkey: &str, block: &[u8]) {
        let cid = cid_of_block(CODEC_DAG_CBOR, block).to_bytes();
        let path = format!("agent.vault.sealed/{rkey}");
        self.sql
            .execute(
                "INSERT OR REPLACE INTO record (path, cid, rev, block) VALUES (?, ?, 'rev', ?)",
                &[Value::Text(&path), Value::Blob(&cid), Value::Blob(block)],
            )
            .unwrap();
    }

    fn forget(&mut self, plan: &Forgetting) -> u64 {
        for rkey in &plan.records {
            let path = format!("agent.vault.sealed/{rkey}");
            self.sql.execute("DELETE FROM record WHERE path = ?", &[Value::Text(&path)]).unwrap();
        }
        let shredded = plan.apply(&self.sql).unwrap();
        self.memory.forgotten(&plan.keys);
        shredded
    }

    fn recall(&mut self, query: &str) -> Result<Vec<String>, Error> {
        let found = self.memory.recall(&self.sql, query, &Filter::default(), 10, 0)?;
        Ok(found.into_iter().map(|hit| hit.memory.rkey.into_string()).collect())
    }
}

fn key(rkey: &str) -> RecordKey {
    rkey.parse().unwrap()
}

fn note(text: &str) -> Ipld {
    ipld!({"$type": "agent.memory.note", "summary": text, "createdAt": "2026-01-01T00:00:00Z"})
}

fn fact(object: &str, confidence: i64) -> Ipld {
    ipld!({
        "$type": "agent.memory.fact", "subject": "alice", "predicate": "likes", "object": object,
        "confidence": confidence, "createdAt": "2026-01-01T00:00:00Z",
    })
}

/// Breaks if a memory can't be found again, before or after a restart.
#[test]
fn what_was_remembered_is_recalled_from_sealed_state_alone() {
    let mut agent = Agent::new();
    let (lamp, _) = agent.remember(&note("the lamp in the hall is red"));
    let (chair, _) = agent.remember(&note("the chair is green"));
    for _ in 0..2 {
        assert_eq!(agent.recall("red lamps").unwrap(), std::slice::from_ref(&lamp));
        assert_eq!(agent.recall("green").unwrap(), &[chair.as_str()]);
        let opened = agent.memory.get(&agent.sql, &lamp).unwrap().unwrap();
        assert_eq!(opened.memory.expose(), encode(&note("the lamp in the hall is red")).unwrap());
        agent.restart();
    }
}

#[test]
fn the_same_again_is_a_duplicate_and_a_fact_is_renewed() {
    let mut agent = Agent::new();
    let (first, status) = agent.remember(&note("once"));
    assert_eq!(status, Some(Kept::Created));
    agent.restart();
    let mut later = note("once");
    let Ipld::Map(fields) = &mut later else { unreachable!() };
    fields.insert("createdAt".to_owned(), Ipld::String("2026-05-05T00:00:00Z".to_owned()));
    assert_eq!(agent.remember(&later), (first, None));
    assert!(matches!(agent.plan(&later, false).unwrap(), Planned::Write(_)));

    let (tea, _) = agent.remember(&fact("tea", 500));
    assert_eq!(agent.remember(&fact("tea", 900)), (tea.clone(), Some(Kept::Updated)));
    let (coffee, status) = agent.remember(&fact("coffee", 900));
    assert_eq!(status, Some(Kept::Created));
    for _ in 0..2 {
        let opened = agent.memory.get(&agent.sql, &tea).unwrap().unwrap();
        assert_eq!(opened.memory.expose(), encode(&fact("tea", 900)).unwrap());
        let mut found = agent.recall("alice").unwrap();
        let mut expected = [tea.clone(), coffee.clone()];
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
        agent.restart();
    }
}

/// Breaks if what was kept before there were marks, or came in an archive, is kept twice.
#[test]
fn what_is_not_marked_yet_is_found_to_be_the_same() {
    let mut agent = Agent::new();
    let (lamp, _) = agent.remember(&note("red lamp"));
    let (tea, _) = agent.remember(&fact("tea", 500));
    agent.write_record("broken", b"\xa0");
    let broken = "INSERT INTO keyring (rkey, version, epoch, wrapped) VALUES ('broken', 1, 1, x'00')";
    agent.sql.execute(broken, &[]).unwrap();
    agent.sql.execute("UPDATE keyring SET content = NULL, statement = NULL", &[]).unwrap();
    agent.restart();
    assert_eq!(agent.remember(&note("red lamp")), (lamp, None));
    assert_eq!(agent.remember(&fact("tea", 900)), (tea, Some(Kept::Updated)));
    let unmarked = "SELECT count(*) FROM keyring WHERE content IS NULL";
    let unmarked = query_first(&agent.sql, unmarked, &[], |row| row.integer(0)).unwrap();
    assert_eq!(unmarked, Some(0), "what does not open is not tried again and again");
}

#[test]
fn what_does_not_open_is_like_nothing() {
    let mut agent = Agent::new();
    let (lamp, _) = agent.remember(&note("red lamp"));
    agent.write_record(&lamp, b"\xa0");
    let (again, kept) = agent.remember(&note("red lamp"));
    assert!(again != lamp && kept == Some(Kept::Created));
    assert_eq!(agent.remember(&note("red lamp")), (again, None));
}

/// Breaks if somebody without the agent's key can tell what a memory says, or that two agents know the same.
#[test]
fn a_mark_is_the_agents_own_and_goes_with_its_memory() {
    let mark = |agent: &Agent, rkey: &str| {
        let statement = "SELECT content FROM keyring WHERE rkey = ?";
        query_first(&agent.sql, statement, &[Value::Text(rkey)], |row| Ok(row.blob(0)?.to_vec())).unwrap()
    };
    let (mut one, mut other) = (Agent::new(), Agent::new());
    let (lamp, _) = one.remember(&note("red lamp"));
    let (same, _) = other.remember(&note("red lamp"));
    let (first, second) = (mark(&one, &lamp).unwrap(), mark(&other, &same).unwrap());
    let digest = Entry::read(&encode(&note("red lamp")).unwrap()).unwrap().digest;
    assert_ne!(first, second);
    assert!(!digest.starts_with(&first));
    let plan = one.memory.plan_forget(&one.sql, &[key(&lamp)]).unwrap();
    one.forget(&plan);
    assert_eq!(mark(&one, &lamp), None);
    assert_eq!(one.remember(&note("red lamp")).1, Some(Kept::Created));
}

#[test]
fn the_forgotten_is_gone() {
    let mut agent = Agent::new();
    let (lamp, _) = agent.remember(&note("red lamp"));
    let (chair, _) = agent.remember(&note("red chair"));
    let plan = agent.memory.plan_forget(&agent.sql, &[key(&lamp), key(&lamp), key("unknown")]).unwrap();
    assert_eq!((&plan.records, &plan.keys), (&vec![lamp.clone()], &vec![lamp.clone()]));
    assert_eq!(agent.forget(&plan), 1);
    for _ in 0..2 {
        assert_eq!(agent.recall("red").unwrap(), &[chair.as_str()]);
        assert!(agent.memory.get(&agent.sql, &lamp).unwrap().is_none());
        agent.restart();
    }
    assert_eq!(agent.memory.plan_forget(&agent.sql, &[key(&lamp)]).unwrap(), Forgetting::default());
}

#[test]
fn filters_forget_in_portions_and_never_everything_by_accident() {
    let mut agent = Agent::new();
    for number in 0..FORGET_MAX + 5 {
        agent.remember(&note(&format!("note {number}")));
    }
    let (kept, _) = agent.remember(&fact("tea", 1));
    let empty = agent.memory.plan_forget_matching(&agent.sql, &Filter::default());
    assert_eq!(empty, Err(Error::EmptyFilter));
    let notes = Filter { types: vec!["agent.memory.note".parse().unwrap()], ..Filter::default() };
    let mut forgotten = 0;
    loop {
        let plan = agent.memory.plan_forget_matching(&agent.sql, &notes).unwrap();
        forgotten += agent.forget(&plan);
        if !plan.more {
            break;
        }
    }
    assert_eq!(forgotten, FORGET_MAX as u64 + 5);
    let left = agent.memory.list(&agent.sql, &Filter::default(), None, 10).unwrap();
    assert_eq!(left.memories.iter().map(|memory| memory.rkey.as_str()).collect::<Vec<_>>(), [kept.as_str()]);
}

#[test]
fn pages_cover_everything_once() {
    let mut agent = Agent::new();
    let mut expected: Vec<String> =
        (0..7).map(|number| agent.remember(&note(&format!("note {number}"))).0).collect();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = agent.memory.list(&agent.sql, &Filter::default(), cursor.as_deref(), 3).unwrap();
        seen.extend(page.memories.into_iter().map(|memory| memory.rkey.into_string()));
        agent.restart();
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    expected.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(seen, expected);
    for cursor in ["", "x", "x:y", "9223372036854775808:a"] {
        let page = agent.memory.list(&agent.sql, &Filter::default(), Some(cursor), 3);
        assert_eq!(page.err(), Some(Error::Cursor));
    }
}

/// Breaks if an answer silently leaves out a record that was altered or taken away.
#[test]
fn a_broken_seal_is_said_until_it_is_forgotten() {
    let mut agent = Agent::new();
    let (lamp, _) = agent.remember(&note("red lamp"));
    let (chair, _) = agent.remember(&note("red chair"));
    let block = agent.sql.database().connection().query_row(
        "SELECT block FROM record WHERE path = ?",
        [format!("agent.vault.sealed/{lamp}")],
        |row| row.get::<_, Vec<u8>>(0),
    );
    agent.write_record(&chair, &block.unwrap());
    agent.restart();
    let is_broken = |error: Error| matches!(error, Error::SealBroken { rkey, .. } if rkey == chair);
    assert!(is_broken(agent.recall("red").err().unwrap()));
    assert!(is_broken(agent.memory.get(&agent.sql, &chair).err().unwrap()));
    assert!(agent.memory.get(&agent.sql, &lamp).unwrap().is_some());

    agent
        .sql
        .execute("DELETE FROM record WHERE path = ?", &[Value::Text(&format!("agent.vault.sealed/{chair}"))])
        .unwrap();
    agent.restart();
    assert!(is_broken(agent.recall("red").err().unwrap()));
    let plan = agent.memory.plan_forget(&agent.sql, &[key(&chair)]).unwrap();
    assert_eq!(agent.forget(&plan), 1);
    assert_eq!(agent.recall("red").unwrap(), [lamp]);
}

#[test]
fn memories_are_checked() {
    let mut agent = Agent::new();
    for memory in [ipld!({"summary": "no type"}), ipld!([])] {
        assert!(matches!(agent.plan(&memory, true), Err(Error::Invalid(_))));
    }
    let long = note(&"x".repeat(70_000));
    assert!(matches!(agent.plan(&long, true), Err(Error::TooLarge { .. })));
    let untimed = ipld!({"$type": "com.example.own", "text": "an untimed thought"});
    let (rkey, _) = agent.remember(&untimed);
    assert_eq!(agent.recall("thought").unwrap(), [rkey]);
    assert_eq!(agent.remember(&untimed).1, None);
}

/// Breaks if plaintext reached the database by any way but sealed.
#[test]
fn no_plaintext_rests() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("agent.sqlite"), Durability::Full).unwrap();
    let mut agent = Agent::on(Disk::over(database));
    let (rkey, _) = agent.remember(&note("canary-zebra-7183 lives here"));
    agent.recall("zebra").unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap();
    let file: Vec<u8> = files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    for canary in ["canary", "zebra", "agent.memory.note"] {
        assert!(!file.windows(canary.len()).any(|window| window == canary.as_bytes()), "{canary}");
    }
    assert!(file.windows(rkey.len()).any(|window| window == rkey.as_bytes()));
    let shown = format!("{:?}", agent.memory);
    assert!(!shown.contains("zebra"));
}

/// Not a check but a figure: `cargo test --release memory_figures -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn memory_figures() {
    const COUNT: usize = 10_000;
    let mut agent = Agent::new();
    let word = |seed: usize| format!("word{}", (seed * 7919 + seed * seed) % 5_000);
    let start = std::time::Instant::now();
    for number in 0..COUNT {
        let text = (0..60).map(|at| word(number * 61 + at * at)).collect::<Vec<_>>().join(" ");
        agent.remember(&note(&format!("{number} {text}")));
    }
    eprintln!("remember, without the commit: {:?} each", start.elapsed() / COUNT as u32);
    agent.restart();
    let start = std::time::Instant::now();
    agent.recall("nothing").unwrap();
    eprintln!("restore {COUNT}: {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let found = agent.recall("word1 word77 word4000").unwrap().len();
    eprintln!("recall: {:?}, {found} opened", start.elapsed());
}
