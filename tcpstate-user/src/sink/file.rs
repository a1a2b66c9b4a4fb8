//! A file that appears under its name only when it is whole: written beside it, then renamed.
use std::{
    fs::{self, File, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tempfile::NamedTempFile;

use crate::privilege;

/// A file yet to be written.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    how: How,
}

#[derive(Debug)]
enum How {
    /// A regular file: written beside it and put in its place.
    Replace(NamedTempFile),
    /// A pipe or a device, which nothing may take the place of.
    Direct(File),
}

impl NewFile {
    /// Makes sure that `path` can be written, so that this is known before the work and not after it. Nothing is there
    /// to be seen until [`NewFile::write`]; what is there already stays until then.
    ///
    /// # Errors
    /// It cannot be written, or is a directory.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let why = || format!("writing {}", path.display().to_string().escape_default());
        let (path, how) = match fs::metadata(path) {
            Ok(there) if there.is_dir() => {
                anyhow::bail!("{}: it is a directory; name a file in it", why())
            }
            Ok(there) if !there.is_file() => {
                let file = File::options().write(true).open(path);
                (path.to_owned(), How::Direct(file.with_context(why)?))
            }
            // The file that a symbolic link means is replaced, not the link; it keeps its permissions.
            Ok(there) => {
                let path = path.canonicalize().with_context(why)?;
                let beside = beside(&path, there.permissions()).with_context(why)?;
                (path, How::Replace(beside))
            }
            Err(_) => {
                let beside = beside(path, Permissions::from_mode(0o666)).with_context(why)?;
                (path.to_owned(), How::Replace(beside))
            }
        };
        Ok(Self { path, how })
    }

    /// Writes all of `bytes`, and puts the file under its name.
    ///
    /// # Errors
    /// It could not be written; what was there before is still there.
    pub fn write(self, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.path;
        let write = || match self.how {
            How::Replace(mut file) => {
                file.write_all(bytes)?;
                file.as_file().sync_all()?;
                file.persist(&path).map(drop).map_err(|error| error.error)
            }
            How::Direct(mut file) => file.write_all(bytes),
        };
        write().with_context(|| format!("writing {}", path.display().to_string().escape_default()))
    }
}

/// A new file in the folder of `path`, with the permissions that `path` is to have, less the umask.
fn beside(path: &Path, permissions: Permissions) -> std::io::Result<NamedTempFile> {
    let folder = folder_of(path);
    privilege::keep_for(folder);
    tempfile::Builder::new()
        .prefix(".tcpstate-")
        .permissions(permissions)
        .tempfile_in(folder)
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_there_only_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.html");
        fs::write(&path, "old").expect("writing");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("changing");
        let link = folder.path().join("link");
        symlink(&path, &link).expect("linking");

        drop(NewFile::create(&link).expect("it can be written"));
        assert_eq!(fs::read_to_string(&path).expect("reading"), "old");
        let new = NewFile::create(&link).expect("it can be written");
        new.write(b"new").expect("writing");
        assert_eq!(fs::read_to_string(&path).expect("reading"), "new");
        assert!(link.is_symlink());
        let mode = fs::metadata(&path).expect("looking").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let left = fs::read_dir(folder.path()).expect("looking").count();
        assert_eq!(left, 2, "nothing is left beside it");
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in [folder.path(), &folder.path().join("none/report.html")] {
            let error = NewFile::create(path).expect_err("no file can be there");
            assert!(format!("{error:#}").starts_with("writing "), "{error:#}");
        }
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let null = Path::new("/dev/null");
        NewFile::create(null)
            .expect("it can be written")
            .write(b"x")
            .expect("writing");
        assert!(!fs::metadata(null).expect("looking").is_file());
    }
}
