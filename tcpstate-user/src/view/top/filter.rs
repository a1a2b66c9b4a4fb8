//! Which sockets the lists show: those with the words that the user typed after `/`.
use std::fmt::Write as _;

use super::group::short;
use crate::{places::Places, sink::printable, tracker::Open};

/// Words that a socket must have, all of them, in any case; everything passes an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    words: Vec<String>,
}

impl Filter {
    /// The filter that `text` means.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            words: text.split_whitespace().map(str::to_lowercase).collect(),
        }
    }

    /// For looking at many sockets.
    pub(super) fn matcher(&self) -> Matcher<'_> {
        Matcher {
            filter: self,
            text: String::new(),
        }
    }
}

/// A filter with room for the text of one socket after the other.
pub(super) struct Matcher<'a> {
    filter: &'a Filter,
    text: String,
}

impl Matcher<'_> {
    /// Whether the socket's process, addresses, namespace and cgroup have every word.
    pub(super) fn lets_through(&mut self, socket: &Open, places: &mut Places) -> bool {
        if self.filter.words.is_empty() {
            return true;
        }
        self.text.clear();
        self.describe(socket, places);
        self.text.make_ascii_lowercase();
        let words = &self.filter.words;
        words.iter().all(|word| self.text.contains(word.as_str()))
    }

    fn describe(&mut self, socket: &Open, places: &mut Places) {
        // Writing to a string cannot fail.
        if let Some(owner) = socket.owner {
            let name = printable(owner.comm.bytes());
            let _ = write!(self.text, "{} {name} ", owner.pid);
        }
        if let Some(tuple) = socket.tuple {
            let _ = write!(self.text, "{}:", tuple.laddr);
            if let Some(port) = tuple.lport {
                let _ = write!(self.text, "{port}");
            }
            let _ = write!(self.text, " {}:{} ", tuple.raddr, tuple.rport);
        }
        let _ = write!(self.text, "{}", socket.netns);
        if let Some(name) = places.netns_name(socket.netns) {
            let _ = write!(self.text, " {}", printable(name.as_bytes()));
        }
        if let Some(cgroup) = socket.cgroup.and_then(|id| places.cgroup(id)) {
            let _ = write!(self.text, " {}", printable(cgroup.path.as_bytes()));
            if let Some(id) = &cgroup.container {
                let _ = write!(self.text, " {}", short(id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};
    use crate::tcp::TcpState;

    #[test]
    fn every_word_has_to_be_there() {
        let socket = samples::owned(samples::open(7, TcpState::CloseWait, 8080), 1234, b"Nginx");
        for (text, passes) in [
            ("", true),
            ("  ", true),
            ("nginx", true),
            ("NGINX 1234", true),
            (":8080", true),
            ("nginx :443", false),
            ("4026531840", true),
            ("apache", false),
        ] {
            let filter = Filter::new(text);
            let places = &mut Places::unknown();
            assert_eq!(
                filter.matcher().lets_through(&socket, places),
                passes,
                "{text}"
            );
        }
    }
}
