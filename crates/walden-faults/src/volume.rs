//! Real filesystems in image files, mounted for a run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;

use crate::Outcome;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Filesystem {
    Ext4,
    Xfs,
}

impl Filesystem {
    pub(crate) const ALL: [Self; 2] = [Self::Ext4, Self::Xfs];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    fn format(self, image: &Path) -> Outcome<()> {
        let image = image.to_str().ok_or("the image's path is no text")?;
        match self {
            // Without a reserve for root: "full" is to mean full.
            Self::Ext4 => run("mkfs.ext4", &["-q", "-F", "-m", "0", image]),
            Self::Xfs => run("mkfs.xfs", &["-q", "-f", image]),
        }
    }

    /// The least size that can be formatted.
    pub(crate) const fn least(self) -> u64 {
        match self {
            Self::Ext4 => 8 << 20,
            Self::Xfs => 300 << 20,
        }
    }
}

fn run(program: &str, args: &[&str]) -> Outcome<()> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program)
        .args(args)
        .env("PATH", path)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

/// A mounted filesystem; unmounted and removed when dropped.
#[derive(Debug)]
pub(crate) struct Volume {
    folder: tempfile::TempDir,
    mounted: bool,
}

impl Volume {
    /// Makes one. What it says on failure is why this machine cannot.
    pub(crate) fn new(filesystem: Filesystem, bytes: u64) -> Outcome<Self> {
        let mut volume = Self { folder: tempfile::tempdir()?, mounted: false };
        File::create(volume.image())?.set_len(bytes.max(filesystem.least()))?;
        filesystem.format(&volume.image())?;
        std::fs::create_dir(volume.path())?;
        volume.mount()?;
        Ok(volume)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    pub(crate) fn mount(&mut self) -> Outcome<()> {
        let (image, path) = (self.image(), self.path());
        let (Some(image), Some(path)) = (image.to_str(), path.to_str()) else {
            return Err("the path is no text".into());
        };
        run("mount", &["-o", "loop", image, path])?;
        self.mounted = true;
        Ok(())
    }

    /// Unmounts; waits a moment for those that hold it to be gone.
    pub(crate) fn unmount(&mut self) -> Outcome<()> {
        let path = self.path();
        let path = path.to_str().ok_or("the path is no text")?;
        let mut tries = 0;
        while let Err(why) = run("umount", &[path]) {
            tries += 1;
            if tries == 100 {
                return Err(why);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.mounted = false;
        Ok(())
    }

    /// Cuts its power.
    pub(crate) fn cut_power(&self) -> Outcome<()> {
        Ok(crate::sys::shut_down(&File::open(self.path())?)?)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted && self.unmount().is_err() {
            let path = self.path();
            drop(run("umount", &["-l", path.to_str().unwrap_or_default()]));
        }
    }
}
