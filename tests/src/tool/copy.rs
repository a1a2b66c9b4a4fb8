//! The tool for an ordinary user: a copy where everybody may run it, as a build directory may be closed to others.
use std::{
    env, fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::PathBuf,
    process::Command,
};

use super::command;

/// Number of the user `nobody`.
pub const NOBODY: u32 = 65534;

/// A copy of the tool; it goes with this value.
#[derive(Debug)]
pub struct PublicCopy(PathBuf);

impl PublicCopy {
    /// Copies the tool.
    ///
    /// # Panics
    /// There is no room for it.
    #[must_use]
    pub fn new() -> Self {
        let folder = env::temp_dir().join(format!("tcpstate-e2e-{}", std::process::id()));
        fs::create_dir(&folder).expect("making a folder for a copy of the tool");
        let copy = Self(folder);
        fs::set_permissions(&copy.0, fs::Permissions::from_mode(0o755)).expect("opening it");
        fs::copy(command(&[]).get_program(), copy.path()).expect("copying the tool");
        copy
    }

    /// The command line `tcpstate ARGS`.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path());
        command.args(args);
        command
    }

    /// The same, run by a user without any capability, but for those of the file.
    #[must_use]
    pub fn command_for_nobody(&self, args: &[&str]) -> Command {
        let mut command = self.command(args);
        command.uid(NOBODY).gid(NOBODY);
        command
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.join("tcpstate")
    }
}

impl Default for PublicCopy {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for PublicCopy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
