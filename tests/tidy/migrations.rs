//! Migrations: numbered without gaps, and left as they are once released.

use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::source::{files, nothing, read, root};

/// Every migration file with its SHA-256. Databases in the field have run these as they are: a line is added with a
/// new file and never changed.
const RELEASED: &[(&str, &str)] = &[
    ("migrations/account/0001_init.sql", "5f91b6728f9996c24664387f1d9fd98e403c4cf45f61e973b822a6a054406809"),
    ("migrations/account/0002_vault.sql", "1bac12b2aacfc31db29ddd8cb1dd33894b523e5edfa5ec5bacf86208f855bc02"),
    (
        "migrations/account/0003_settled_nodes.sql",
        "2df37e9ba80a759c40caef4f8192163a9a29d7f0572ed471bcdae5ae1f7d6c63",
    ),
    ("migrations/account/0004_move.sql", "0c18811adb8144d84940564c5bcf5b2b2e3fd92b7551d8b5ff11fbabd9240c96"),
    (
        "migrations/account/0005_export.sql",
        "1f6a61f9dbad00c71145f7017b61917a89b277895783ecf7f08350eabe750e08",
    ),
    ("migrations/account/0006_cut.sql", "f94ac7947b273f3219a6171eb98ff171e84637b2e2b946b4f315d11cb6933d9d"),
    (
        "migrations/directory/0001_init.sql",
        "cb7936a7340f1bc55267014c3a8cd5f9e4aff683442309fd85cf1ebd026bdabf",
    ),
    (
        "migrations/directory/0002_flow.sql",
        "c37ca4a271df88c5f076950cd2def1786e28131a7aa9f780092ea1002fd973f9",
    ),
    (
        "migrations/directory/0003_flow_handle.sql",
        "d61e278d92aa5bbcf17d6a2b6bccf24421e837a190a6ae8e36d92ca96aa206ef",
    ),
    (
        "migrations/directory/0004_generation.sql",
        "371ae59da952433538f5ca681fd430fba78c2c8518ae95f973eac261bf72de01",
    ),
    ("migrations/plc/0001_init.sql", "34e67790f0ff42f070c2f03273fa55bbcf6da9c574827d1db4fe65a5ce748e77"),
    (
        "migrations/sequencer/0001_init.sql",
        "157a360e60ced0001ad0769ebc7b7e21eef82b219882f62656d5f6eccd515aaa",
    ),
];

#[test]
fn released_migrations_stay_as_they_are() {
    let mut found = Vec::new();
    for file in files("migrations") {
        let name = file.to_str().unwrap();
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(fs::read(root().join(&file)).unwrap()));
        match RELEASED.iter().find(|(released, _)| *released == name) {
            Some((_, expected)) if *expected == digest => {}
            Some(_) => found.push(format!(
                "{name} is not what databases in the field have run: put it back, and write a migration of the next \
                 number for what is to change"
            )),
            None => found.push(format!("{name} is new: add to RELEASED (\"{name}\", \"{digest}\"),")),
        }
    }
    for (name, _) in RELEASED.iter().filter(|(name, _)| !root().join(Path::new(name)).exists()) {
        found.push(format!("{name} was released and is gone: databases in the field have run it"));
    }
    nothing(&found);
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let mut found = Vec::new();
    for folder in fs::read_dir(root().join("migrations")).unwrap() {
        let folder = folder.unwrap().path();
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        for (index, name) in names.iter().enumerate() {
            if !name.starts_with(&format!("{:04}_", index + 1)) || !name.ends_with(".sql") {
                found.push(format!("{}: {name} is not number {:04}", folder.display(), index + 1));
            }
        }
    }
    nothing(&found);
}

#[test]
fn every_migration_is_run_by_its_cell() {
    let lists: String = files("src").iter().map(|file| read(file)).collect();
    let found: Vec<_> = files("migrations")
        .into_iter()
        .filter_map(|file| {
            let cell = file.parent()?.file_name()?.to_str()?.to_owned();
            let name = file.file_stem()?.to_str()?.to_owned();
            // In the cell's own `migrations!("cell", 1 "0001_init", ...)`.
            let listed = lists
                .split(&format!("migrations!(\"{cell}\""))
                .skip(1)
                .any(|list| list.split(')').next().is_some_and(|list| list.contains(&format!("\"{name}\""))));
            (!listed).then(|| format!("{} is in no `migrations!` of {cell}: it is never run", file.display()))
        })
        .collect();
    nothing(&found);
}
