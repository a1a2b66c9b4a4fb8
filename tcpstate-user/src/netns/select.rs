//! `-N NAME|PATH|PID|INUM`: from what was typed to the namespace that is meant.
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail, ensure};

use super::{NAME_DIRS, Netns, all, inode_of, inode_of_link};

/// The largest number that a process can have (`PID_MAX_LIMIT`); what is above it is an inode. Those begin at
/// 4026531840, but the initial namespace is 4026531833 since Linux 6.18 (`NET_NS_INIT_INO`).
const LAST_PID: u32 = 4_194_304;

const ACCEPTED: &str = "give the NAME that 'ip netns list' shows, a PATH, a PID, or an inode number INUM as in net:[INUM]";

/// What `-N` can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A name of `ip netns`, and the path of it.
    Name(String, PathBuf),
    /// A path that opens a namespace.
    Path(PathBuf),
    /// A process in it.
    Pid(u32),
    /// Its inode number.
    Inode(u32),
}

/// The namespace that `text` means.
pub fn select(text: &str) -> anyhow::Result<Netns> {
    selector(text)?.find()
}

/// Reads `text` and checks, as far as everybody may, that there is such a thing: what fails here is bad usage.
pub fn selector(text: &str) -> anyhow::Result<Selector> {
    ensure!(!text.is_empty(), "'' is no network namespace; {ACCEPTED}");
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(inode) if inode > LAST_PID => Ok(Selector::Inode(inode)),
            Ok(pid) if Path::new("/proc").join(pid.to_string()).exists() => Ok(Selector::Pid(pid)),
            Ok(pid) => bail!("'{pid}': no such process; {ACCEPTED}"),
            Err(_) => bail!("'{text}' is too large for an inode number; {ACCEPTED}"),
        };
    }
    if text.contains('/') {
        let path = PathBuf::from(text);
        let opens = inode_of(&path)
            .map_err(|error| anyhow!("'{text}' cannot be looked at: {error}; {ACCEPTED}"))?;
        ensure!(
            opens.is_some(),
            "'{text}' is a path, but not of a network namespace; {ACCEPTED}"
        );
        return Ok(Selector::Path(path));
    }
    let path = NAME_DIRS
        .iter()
        .map(|dir| Path::new(dir).join(text))
        .find(|path| matches!(inode_of(path), Ok(Some(_))));
    path.map(|path| Selector::Name(text.to_owned(), path))
        .with_context(|| format!("'{text}': no network namespace of that name; {ACCEPTED}"))
}

impl Selector {
    /// Finds the namespace: needs root for the process of another user.
    pub fn find(&self) -> anyhow::Result<Netns> {
        match self {
            Self::Name(name, path) => at(path.clone(), Some(name.clone())),
            Self::Path(path) => at(path.clone(), None),
            Self::Pid(pid) => {
                let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
                let inode = inode_of_link(&path).map_err(|error| {
                    anyhow!("network namespace of process {pid}: {error}; if it is another user's process, run as root")
                })?;
                Ok(Netns {
                    inode,
                    path,
                    name: None,
                })
            }
            Self::Inode(inode) => {
                let found = all();
                found
                    .namespaces
                    .into_iter()
                    .find(|ns| ns.inode == *inode)
                    .with_context(|| {
                        let what = format!(
                            "network namespace {inode}: no task is in it, and it has no name"
                        );
                        match found.unseen_why {
                            Some(why) => {
                                format!("{what} (as far as can be seen: {why}); run as root")
                            }
                            None => format!("{what}; {ACCEPTED}"),
                        }
                    })
            }
        }
    }
}

fn at(path: PathBuf, name: Option<String>) -> anyhow::Result<Netns> {
    let inode = inode_of(&path)
        .with_context(|| path.display().to_string())?
        .with_context(|| format!("{}: is no network namespace any more", path.display()))?;
    Ok(Netns { inode, path, name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::current;

    #[test]
    fn the_own_namespace_is_found_by_path_pid_and_inode() {
        let own = current().unwrap().inode;
        for text in [
            "/proc/self/ns/net".to_owned(),
            std::process::id().to_string(),
            own.to_string(),
        ] {
            assert_eq!(select(&text).unwrap().inode, own, "{text}");
        }
    }

    #[test]
    fn what_is_no_namespace_is_named_with_what_is_accepted() {
        for (text, why) in [
            ("", "is no network namespace"),
            ("no-such-name", "no network namespace of that name"),
            ("/no/such/path", "cannot be looked at"),
            ("/etc/passwd", "not of a network namespace"),
            ("/proc/self/ns/mnt", "not of a network namespace"),
            ("..", "no network namespace of that name"),
            ("0", "no such process"),
            ("4194304", "no such process"),
            ("99999999999", "too large"),
        ] {
            let message = format!("{:#}", selector(text).unwrap_err());
            assert!(message.contains(&format!("'{text}'")), "{message}");
            assert!(message.contains(why), "{message}");
            assert!(
                message.contains("PID, or an inode number INUM"),
                "{message}"
            );
        }
    }

    #[test]
    fn an_inode_is_looked_for_only_when_it_is_needed() {
        assert_eq!(selector("4294967295").unwrap(), Selector::Inode(u32::MAX));
        assert_eq!(
            selector("4026531833").unwrap(),
            Selector::Inode(4_026_531_833)
        );
        let message = format!("{:#}", select("4294967295").unwrap_err());
        assert!(
            message.starts_with("network namespace 4294967295: no task"),
            "{message}"
        );
    }
}
