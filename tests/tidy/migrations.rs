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
    ("migrations/account/0007_marks.sql", "eae58b727c684d2119d39b5803b22540279f17389a6b723e7ead17f40074e7b1"),
    ("migrations/account/0008_sent.sql", "eb8eff42ba7884196bcedbf8866e4923b110b1b7053314e468ce4e2ff13a6c14"),
    (
        "migrations/account/0009_points.sql",
        "bc5e07b86229120f5dc748b23fe6df6e22a465f70e1ed3b85bf38c40a33e1ae7",
    ),
    (
        "migrations/account/0010_preferences.sql",
        "33b537f8a1b10e826eb2d9e4774c5ddd7ee1f115cef76371ce5b4c196b702251",
    ),
    (
        "migrations/account/0011_takedown.sql",
        "1f34e56a967c09c783d624e0c0ca744a8fc652a0c9cab222da43cae3927b12dc",
    ),
    (
        "migrations/account/0012_outbox_slots.sql",
        "35956cb337160d986211afa4cda7d1d07051773e2310f1902af1170d4c4b8a35",
    ),
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
    (
        "migrations/directory/0005_rotation.sql",
        "74f7766d6d7bef78239a9e1aebdb12d52a62d1e02b9a5b71254a0054fcce7fe7",
    ),
    (
        "migrations/directory/0006_account_methods.sql",
        "bac126e99ccb5a7e361d0156a484db4e2b40675e3bb0783e7de43d6a65263d1a",
    ),
    (
        "migrations/directory/0007_oauth.sql",
        "cd914b9d2784d44e4899aea10cb86bda3967b63d94aa2314258dfb56c9d0127a",
    ),
    (
        "migrations/directory/0008_browsers.sql",
        "6647736f187f0fc91ff9c6e1b05ecc942352c95c1f6bbb27b1c8c0fc9a01f875",
    ),
    (
        "migrations/directory/0009_handles_devices.sql",
        "b2dde7e0f07905f660e35b195879a97946a9463fd9b8f49b226c31cd12ad1dfd",
    ),
    (
        "migrations/directory/0010_factors.sql",
        "f27f2903613067631ecec03258c1ff72cf10f5694a62b13f72410ac169fecfeb",
    ),
    (
        "migrations/directory/0011_challenges.sql",
        "f81d97bb77fab12360e33e7de87d809900af8c85375adc4cfe69bb29da66157d",
    ),
    ("migrations/plc/0001_init.sql", "34e67790f0ff42f070c2f03273fa55bbcf6da9c574827d1db4fe65a5ce748e77"),
    (
        "migrations/sequencer/0001_init.sql",
        "157a360e60ced0001ad0769ebc7b7e21eef82b219882f62656d5f6eccd515aaa",
    ),
    (
        "migrations/sequencer/0002_whereabouts.sql",
        "4ea3e510a336751fe58fa928f27fa56199c3c747599ee3e4be1ddc15eb91a179",
    ),
    (
        "migrations/sequencer/0003_bytes.sql",
        "c3d8b4d1739d7915db66958bba980b3ce204558bfb9ad2045c82b320d2559345",
    ),
    (
        "migrations/sequencer/0004_last_commit.sql",
        "4ec0a44b8b95bfd733bb82ed551ed93196fddb6dcb60b0653818d2c207ede748",
    ),
    (
        "migrations/sequencer/0005_sweep.sql",
        "7f55872326b80c54883460aa7c153e43e1cd7f85c4fcfe7624d3998dc14d0361",
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
