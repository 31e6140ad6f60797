//! How much memory there is.

use std::fs;

/// What the machine has, or what the process's control group may have when that is less; `None` where nobody says so.
pub(super) fn bytes() -> Option<usize> {
    let machine = fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(total);
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|max| max.trim().parse().ok());
    machine.into_iter().chain(group).min()
}

fn total(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_how_much_it_has() {
        assert_eq!(total("MemTotal:       24576000 kB\nMemFree:          100 kB\n"), Some(24_576_000 * 1024));
        assert_eq!(total("MemFree: 100 kB\n"), None);
    }
}
