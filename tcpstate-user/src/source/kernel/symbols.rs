//! Addresses of the two timer functions that tell a mini-socket's timer from all others.
use std::io::BufReader;

use anyhow::{Context as _, bail};

/// Where the kernel lists its symbols.
const KALLSYMS: &str = "/proc/kallsyms";

/// Addresses of timer functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handlers {
    /// `tw_timer_handler`, which ends a timewait socket.
    pub(crate) timewait: u64,
    /// `reqsk_timer_handler`, which sends a SYN-ACK again.
    pub(crate) request: u64,
}

/// Reads the addresses.
///
/// # Errors
/// The list cannot be read, or hides addresses from us.
pub(super) fn handlers() -> anyhow::Result<Handlers> {
    let file = std::fs::File::open(KALLSYMS).with_context(|| format!("opening {KALLSYMS}"))?;
    find(BufReader::new(file))
}

pub(crate) fn find(list: impl std::io::BufRead) -> anyhow::Result<Handlers> {
    let mut found = Handlers::default();
    for line in list.split(b'\n') {
        let line = line.with_context(|| format!("reading {KALLSYMS}"))?;
        let Some((address, name)) = symbol(&line) else {
            continue;
        };
        match name {
            b"tw_timer_handler" => found.timewait = address,
            b"reqsk_timer_handler" => found.request = address,
            _ => continue,
        }
        if found.timewait != 0 && found.request != 0 {
            return Ok(found);
        }
    }
    bail!(
        "{KALLSYMS} does not show the timer functions of mini-sockets; needs CAP_SYSLOG and kernel.kptr_restrict below 2"
    )
}

/// Address and name of a line `ffffffff82006070 t tw_timer_handler`; a suffix of the compiler (`.llvm.123`) is cut.
fn symbol(line: &[u8]) -> Option<(u64, &[u8])> {
    let mut words = line
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty());
    let address = std::str::from_utf8(words.next()?).ok()?;
    let (_kind, name) = (words.next()?, words.next()?);
    let name = name.split(|byte| *byte == b'.').next()?;
    Some((u64::from_str_radix(address, 16).ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_among_others() {
        let list =
            b"ffffffff82006060 t __pfx_tw_timer_handler\nffffffff82006070 t tw_timer_handler\n\
            ffffffffc0000000 t other\t[module]\nffffffff820085b0 t reqsk_timer_handler.llvm.7\n";
        let expected = Handlers {
            timewait: 0xffff_ffff_8200_6070,
            request: 0xffff_ffff_8200_85b0,
        };
        assert_eq!(find(&list[..]).unwrap(), expected);
    }

    #[test]
    fn hidden_addresses_are_an_error_that_says_what_to_do() {
        let list = b"0000000000000000 t tw_timer_handler\n0000000000000000 t reqsk_timer_handler\nnonsense\n\n\xff\xff t x\n";
        let error = find(&list[..]).unwrap_err().to_string();
        assert!(error.contains("CAP_SYSLOG"), "{error}");
    }
}
