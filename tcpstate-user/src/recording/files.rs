//! The files of a recording: one, or with rotation one after the other, each a recording by itself.
use std::{
    fs::{File, OpenOptions, read_dir, remove_file},
    io::{self, Write as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use crate::{privilege, sink::folder_of};

/// Where a recording goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// This file, or with rotation files named after it.
    File(PathBuf),
}

/// When a new file begins, and how many stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// After so many bytes.
    pub size: Option<u64>,
    /// After this long.
    pub every: Option<Duration>,
    /// Files that stay; the oldest goes. All if `None`.
    pub keep: Option<usize>,
}

impl Rotation {
    fn is_set(&self) -> bool {
        self.size.is_some() || self.every.is_some()
    }
}

/// The file that is written, and those before it.
pub(super) struct Files {
    target: Target,
    rotation: Rotation,
    file: File,
    path: PathBuf,
    /// Bytes of whole batches in the file; `None` before it has begun.
    whole: Option<u64>,
}

impl Files {
    /// Opens the first file. What was in it stays until [`Files::begin`], so that a start that fails destroys nothing.
    pub(super) fn open(target: Target, rotation: Rotation) -> io::Result<Self> {
        let (file, path) = match &target {
            Target::Stdout => (
                io::stdout().as_fd().try_clone_to_owned()?.into(),
                "-".into(),
            ),
            Target::File(base) if rotation.is_set() => {
                privilege::keep_for(folder_of(base));
                open_new(base)?
            }
            Target::File(path) => (open(path, false)?, path.clone()),
        };
        Ok(Self {
            target,
            rotation,
            file,
            path,
            whole: None,
        })
    }

    /// The file that is written.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes room for a new recording: empties the first file, or goes on to the next.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        if self.whole.replace(0).is_some()
            && let Target::File(base) = &self.target
        {
            (self.file, self.path) = open_new(base)?;
        }
        if self.file.metadata()?.is_file() && self.target != Target::Stdout {
            self.file.set_len(0)?;
        }
        if let (Some(keep), Target::File(base)) = (self.rotation.keep, &self.target) {
            remove_oldest(base, keep)?;
        }
        Ok(())
    }

    /// Writes `bytes` whole. What can be written of them only in part is taken back, so that whole batches remain.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let whole = self.whole.unwrap_or(0);
        if let Err(error) = self.file.write_all(bytes) {
            if self.file.metadata().is_ok_and(|file| file.is_file())
                && self.target != Target::Stdout
            {
                let _ = self.file.set_len(whole); // if not, a reader stops at the last whole batch all the same
            }
            return Err(error);
        }
        self.whole = Some(whole + bytes.len() as u64);
        Ok(())
    }

    /// Whether the file has reached the size at which the next one begins.
    pub(super) fn is_full(&self) -> bool {
        let whole = self.whole.unwrap_or(0);
        self.rotation.size.is_some_and(|size| whole >= size)
    }
}

fn open(path: &Path, new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).create_new(new);
    options.open(path)
}

/// Makes `STEM-20261121T074500Z.EXT` beside `base`; a second one in the same second gets a number.
fn open_new(base: &Path) -> io::Result<(File, PathBuf)> {
    let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut number = 1;
    loop {
        let stamp = match number {
            1 => now.clone(),
            number => format!("{now}.{number:02}"),
        };
        let path = named(base, &stamp);
        match open(&path, true) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

fn named(base: &Path, stamp: &str) -> PathBuf {
    let (before, after) = parts(base);
    base.with_file_name(format!("{before}{stamp}{after}"))
}

/// What stands before and after the time in the names of rotated files.
fn parts(base: &Path) -> (String, String) {
    let stem = base.file_stem().unwrap_or_default().to_string_lossy();
    let extension = base.extension().unwrap_or_default().to_string_lossy();
    let dot = if extension.is_empty() { "" } else { "." };
    (format!("{stem}-"), format!("{dot}{extension}"))
}

/// Removes the oldest files of this name, also those of earlier runs, so that the disk's share stays bounded.
fn remove_oldest(base: &Path, keep: usize) -> io::Result<()> {
    let (before, after) = parts(base);
    let mut stamps = Vec::new();
    for entry in read_dir(folder_of(base))? {
        let name = entry?.file_name();
        let stamp = name
            .to_str()
            .and_then(|name| name.strip_prefix(&*before)?.strip_suffix(&*after));
        stamps.extend(stamp.filter(|stamp| is_stamp(stamp)).map(ToOwned::to_owned));
    }
    stamps.sort();
    let surplus = stamps.len().saturating_sub(keep);
    stamps
        .iter()
        .take(surplus)
        .try_for_each(|stamp| remove_file(named(base, stamp)))
}

/// `20261121T074500Z`, perhaps with a number after it: nothing that another program would write by chance.
fn is_stamp(text: &str) -> bool {
    let (time, number) = text.split_once('.').unwrap_or((text, "0"));
    let shape: String = time
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape == "00000000T000000Z" && number.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_are_told_from_others() {
        for name in ["20261121T074500Z", "20261121T074500Z.02"] {
            assert!(is_stamp(name), "{name}");
        }
        for name in [
            "",
            "2026",
            "old",
            "20261121T074500",
            "20261121T074500Z.x",
            "copy-20261121T074500Z",
        ] {
            assert!(!is_stamp(name), "{name}");
        }
        let path = named(Path::new("/var/log/a.b.arrows"), "20261121T074500Z");
        assert_eq!(path, Path::new("/var/log/a.b-20261121T074500Z.arrows"));
        let path = named(Path::new("capture"), "20261121T074500Z");
        assert_eq!(path, Path::new("capture-20261121T074500Z"));
    }
}
