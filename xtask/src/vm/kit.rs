//! What the guests of a job have in common, and a guest made of it: one without a disk, whose programs are all in its initramfs.
use std::path::PathBuf;

use super::fetch::Image;
use super::guest::Guest;
use super::matrix::{Clock, Machine, Matrix};
use super::{folder, initramfs, modules};

/// It.
pub(super) struct Kit<'a> {
    pub(super) matrix: &'a Matrix,
    pub(super) machine: &'a Machine,
    /// PID 1.
    pub(super) init: PathBuf,
    /// The other programs: the name of each there, and its file here.
    pub(super) programs: Vec<(String, PathBuf)>,
}

impl<'a> Kit<'a> {
    /// Writes the initramfs of a guest that runs that kernel and calls its init with these words.
    pub(super) fn guest(
        &self,
        title: String,
        image: Image,
        clock: Clock,
        init: String,
    ) -> anyhow::Result<Guest<'a>> {
        let folder = folder()?;
        let initramfs = folder.join(format!("{title}.cpio"));
        let modules = modules::load_order(&image.modules, &self.matrix.modules)?;
        initramfs::write(&initramfs, &self.init, &self.programs, &modules)?;
        Ok(Guest {
            log: folder.join(format!("{title}.log")),
            title,
            machine: self.machine,
            matrix: self.matrix,
            clock,
            kernel: image.file,
            initramfs,
            disk: None,
            boot_seconds: self.matrix.boot_seconds,
            init,
            passes_on: false,
        })
    }
}
