//! The kernel's messages, which the console does not show while tests run.
use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::Context as _;

/// Reads on from where it last stopped.
pub(crate) struct Kmsg(File);

impl Kmsg {
    /// From now on.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let mut file = File::options()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .context("cannot open /dev/kmsg")?;
        file.seek(SeekFrom::End(0))
            .context("cannot go to the end of /dev/kmsg")?;
        Ok(Self(file))
    }

    /// The messages since the last call.
    pub(crate) fn news(&mut self) -> Vec<String> {
        let mut news = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(&record[..length]);
                    // `priority,number,time,flags;the message`, then a line of the device, if there is one.
                    let message = text.split_once(';').map_or(&*text, |(_, message)| message);
                    news.extend(message.lines().next().map(str::to_owned));
                }
                // Broken pipe: messages were overwritten before we came. The next read goes on after them.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(_) => return news,
            }
        }
    }
}
