//! The machine that is measured on, and what a process uses of it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::figures::Result;

/// What figures are worth nothing without.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) filesystem: String,
    pub(crate) commit: String,
    pub(crate) rust: String,
    /// Seconds since 1970.
    pub(crate) began: u64,
    /// Of the last minute, before the run.
    pub(crate) load: String,
}

impl Machine {
    /// What can be found out; `dir` is where the measurements write.
    pub(crate) fn look(dir: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default()
        };
        let memory = kib(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let began = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory >> 10,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            filesystem: filesystem(&read("/proc/self/mountinfo"), dir),
            commit: output("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
            rust: output("rustc", &["--version"]),
            began: began.map(|time| time.as_secs()).unwrap_or_default(),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

/// The type of the filesystem that holds `dir` (by the mount with the longest path), and the options of the mount and the
/// filesystem: whether it tells the disk of what it frees (`discard`) is one of the latter.
fn filesystem(mounts: &str, dir: &Path) -> String {
    let Ok(dir) = dir.canonicalize() else { return String::new() };
    let mount = |line: &str| -> Option<(usize, String)> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(4);
        let (point, options) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let (kind, _, own) = (right.next()?, right.next()?, right.next()?);
        let mut all: Vec<_> = options.split(',').collect();
        all.extend(own.split(',').filter(|option| !options.split(',').any(|one| one == *option)));
        dir.starts_with(point).then(|| (point.len(), format!("{kind} ({})", all.join(","))))
    };
    mounts.lines().filter_map(mount).max().map(|(_, name)| name).unwrap_or_default()
}

/// Uses twice as much memory as a measurement is going to fill, and gives it back. A virtual machine's host may take memory that
/// is free, and gives it again page by page as it is touched: 3 to 10 µs each, several times what an append of a page's worth
/// takes, and whose measurement that came into would be chance.
pub(crate) fn fetch_memory(bytes: u64) -> Result<()> {
    const PAGE: usize = 4096;
    let state = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    // Half of what is available at the most: the cache shall not be pushed out for it.
    let most = kib(&state, "MemAvailable").unwrap_or_default() << 9;
    let bytes = usize::try_from((2 * bytes).min(most))?;
    if bytes > 0 {
        let mut memory = memmap2::MmapMut::map_anon(bytes)?;
        memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    }
    Ok(())
}

/// A line of `/proc` in kB.
fn kib(text: &str, name: &str) -> Option<u64> {
    let (_, value) = text.lines().find(|line| line.starts_with(name))?.split_once(':')?;
    value.trim().trim_end_matches(" kB").parse().ok()
}

/// The most memory of this process that was resident so far, in MiB.
pub(crate) fn most_resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    Some(kib(&status, "VmHWM")? as f64 / 1024.0)
}

/// What a process holds of the machine at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// Bytes.
    pub(crate) resident: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

impl Held {
    pub(crate) fn look() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let resident = kib(&status, "VmRSS").ok_or("/proc/self/status has no VmRSS")?;
        let count = |dir: &str| Ok::<_, std::io::Error>(fs::read_dir(dir)?.count() as u64);
        Ok(Self {
            resident: resident << 10,
            descriptors: count("/proc/self/fd")?,
            threads: count("/proc/self/task")?,
        })
    }
}

/// The processor time of all threads of this process so far.
pub(crate) fn processor_time() -> Result<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_seen() {
        let machine = Machine::look(Path::new("."));
        assert!(machine.cores > 0 && machine.memory_mib > 0 && machine.began > 1_700_000_000);
        assert!(!machine.kernel.is_empty() && !machine.filesystem.is_empty());
    }

    #[test]
    fn the_innermost_mount_counts() {
        let dir = tempfile::tempdir().unwrap();
        let point = dir.path().canonicalize().unwrap();
        let mounts = format!(
            "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n\
             2 1 8:2 / {} rw,noatime - xfs /dev/vdb rw\n3 1 0:5 / /proc rw - proc proc rw\n",
            point.display()
        );
        assert_eq!(filesystem(&mounts, dir.path()), "xfs (rw,noatime)");
        assert_eq!(filesystem(&mounts, Path::new("/")), "ext4 (rw,relatime,discard)");
    }

    #[test]
    fn memory_is_fetched_and_given_back() {
        let before = Held::look().unwrap().resident;
        fetch_memory(64 << 20).unwrap();
        fetch_memory(0).unwrap();
        // Twice as much was resident, by the most that ever was, and is no more, whatever other tests hold.
        assert!(most_resident().unwrap() > 128.0);
        assert!(Held::look().unwrap().resident < before + (96 << 20));
    }

    #[test]
    fn what_a_process_uses_grows() {
        assert!(most_resident().unwrap() > 0.5);
        let before = processor_time().unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(20) {}
        assert!(processor_time().unwrap() > before);
    }
}
