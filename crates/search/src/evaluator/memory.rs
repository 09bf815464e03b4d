//! How much memory there is.

use std::fs;

/// The bytes of memory that this process could have at the most, by the computer's own account or
/// by the control group it is in; `None` where neither tells, as on other systems than Linux.
pub(super) fn installed() -> Option<u64> {
    let computer = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok());
    computer.into_iter().chain(group).min()
}

/// The line `MemTotal:  16384 kB` of `/proc/meminfo`, in bytes.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_in_bytes() {
        let text = "MemTotal:       24683596 kB\nMemFree:        22219788 kB\n";
        assert_eq!(total(text), Some(24_683_596 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert_eq!(total("MemTotal: many\n"), None);
    }
}
