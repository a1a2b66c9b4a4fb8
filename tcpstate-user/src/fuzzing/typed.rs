//! What users type, and what a scraper asks for.
use std::{ffi::OsString, time::Duration};

use super::assert_harmless_lines;
use crate::{
    cli::{Cli, value},
    tcp::{ConnectionId, ContainerId, TcpState},
    view::{metrics::negotiate, top::filter::Filter},
};

/// Every value of an option, and whole command lines, are what they mean or one error.
pub fn filters(data: &[u8]) {
    let Some((which, text)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    match which {
        b'd' => assert_ne!(value::duration(&text), Ok(Duration::ZERO)),
        b'p' => {
            if let Ok(port) = value::port(&text) {
                assert!(0 < port.first && port.first <= port.last);
            }
        }
        b'n' => {
            if let Ok(net) = value::network(&text) {
                assert_eq!(net, net.trunc());
            }
        }
        b'i' => assert_ne!(value::pid(&text), Ok(0)),
        b'c' => {
            if let Ok(comm) = value::comm(&text) {
                assert!(text.as_bytes().starts_with(comm.bytes()));
            }
        }
        b'm' => drop(value::min_dwell(&text)),
        b'b' => assert_ne!(value::bytes(&text), Ok(0)),
        b'l' => drop(value::listen(&text)),
        b'h' => {
            if let Ok(buckets) = value::buckets(&text) {
                assert_eq!(value::buckets(&buckets.to_string()), Ok(buckets));
            }
        }
        b's' => {
            if let Ok(state) = text.parse::<TcpState>() {
                assert_eq!(state.name().parse(), Ok(state));
            }
        }
        b'x' => {
            if let Ok(id) = text.parse::<ConnectionId>() {
                assert_eq!(id.to_string().parse::<ConnectionId>().ok(), Some(id));
            }
            if let Ok(id) = text.parse::<ContainerId>() {
                assert_eq!(id.to_string().parse::<ContainerId>().ok(), Some(id));
            }
        }
        b'a' => drop(negotiate::Format::preferred(&text)),
        b'/' => drop(Filter::new(&text)),
        _ => command_line(&text),
    }
}

/// A command line, a word a line.
fn command_line(text: &str) {
    let words = std::iter::once("tcpstate").chain(text.split('\n'));
    if let Err(error) = Cli::read(words.map(OsString::from).collect()) {
        assert_harmless_lines(error.to_string().as_bytes());
    }
}
