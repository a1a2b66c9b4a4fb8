//! Process names as text that can be turned back into the bytes they are.
use crate::{sink::printable, tcp::Comm};

/// Safe text: control characters and bytes that are no UTF-8 are `\xNN`, and so is a backslash, which makes it one to one.
pub(super) fn from_comm(comm: &Comm) -> String {
    let parts = comm.bytes().split(|byte| *byte == b'\\');
    parts.map(printable).collect::<Vec<_>>().join("\\x5c")
}

/// The name that `text` stands for; `None` if it is no name that the kernel could have.
pub(super) fn to_comm(text: &str) -> Option<Comm> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    let mut comm = Comm::default();
    let room = comm
        .0
        .get_mut(..bytes.len())
        .filter(|room| room.len() < 16)?;
    room.copy_from_slice(&bytes);
    Some(comm)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_name_comes_back(name: [u8; 15]) {
            let mut comm = Comm::default();
            comm.0[..15].copy_from_slice(&name);
            let end = comm.bytes().len();
            comm.0[end..].fill(0);
            let text = from_comm(&comm);
            proptest::prop_assert!(!text.chars().any(char::is_control));
            proptest::prop_assert_eq!(to_comm(&text), Some(comm));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["sixteen letters!", "\\x", "\\xzz", "\\x1", "\\x\u{e9}1"] {
            assert_eq!(to_comm(text), None, "{text}");
        }
    }
}
