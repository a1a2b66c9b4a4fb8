//! The guest's file system: a cpio archive that the kernel unpacks into memory and starts `/init` from.
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cpio::newc::{Builder, trailer};

use super::modules::Module;

const FOLDER: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;
const PLAIN: u32 = 0o100_644;

/// Writes the archive. It is not compressed: unpacking takes an emulated processor longer than reading.
///
/// `programs` are what is in it besides the init: name and file of each.
pub(crate) fn write(
    path: &Path,
    init: &Path,
    programs: &[(String, PathBuf)],
    modules: &[Module],
) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut archive = Archive {
        output: BufWriter::new(file),
        entries: 0,
    };
    // /dev/console, where init's output goes, is the kernel's own gift.
    for folder in ["bin", "modules", "tests"] {
        archive.add(folder, FOLDER, &[])?;
    }
    archive.copy("init", init)?;
    for (name, program) in programs {
        archive.copy(name, program)?;
    }
    for (number, module) in modules.iter().enumerate() {
        let name = format!("modules/{number:02}-{}", module.name);
        archive.add(&name, PLAIN, &module.bytes)?;
    }
    let mut output = trailer(archive.output).context("cannot end the archive")?;
    output
        .flush()
        .with_context(|| format!("cannot write {}", path.display()))
}

struct Archive<W> {
    output: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    fn copy(&mut self, name: &str, path: &Path) -> anyhow::Result<()> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        self.add(name, EXECUTABLE, &bytes)
    }

    fn add(&mut self, name: &str, mode: u32, bytes: &[u8]) -> anyhow::Result<()> {
        // Each its own number: the kernel takes entries with the same one for links to the same file.
        self.entries += 1;
        let size = u32::try_from(bytes.len())
            .with_context(|| format!("{name} is too large for an initramfs"))?;
        let entry = Builder::new(name).mode(mode).ino(self.entries);
        let mut entry = entry.write(&mut self.output, size);
        entry
            .write_all(bytes)
            .and_then(|()| entry.finish().map(drop))
            .with_context(|| format!("cannot write {name} into the archive"))
    }
}
