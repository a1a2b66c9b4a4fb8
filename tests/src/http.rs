//! An HTTP client that asks once and reads to the end: HTTP/1.0, so that no answer comes in chunks.
use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use crate::PATIENCE;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// As in `200`.
    pub status: u16,
    /// The header's lines after the first, as they came.
    pub header: Vec<String>,
    /// What follows the header.
    pub body: String,
}

impl Answer {
    /// The value of a header field; its name is written in lower case here.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.header.iter().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Asks for `path` with more header lines.
///
/// # Errors
/// The server cannot be reached, or closes before it has answered.
pub fn try_get(server: SocketAddr, path: &str, header: &[&str]) -> io::Result<Answer> {
    ask(server, "GET", path, header)
}

/// The same with any method.
///
/// # Errors
/// The server cannot be reached, or closes before it has answered.
pub fn ask(server: SocketAddr, method: &str, path: &str, header: &[&str]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: {server}\r\n");
    for line in header {
        request += &format!("{line}\r\n");
    }
    stream.write_all(format!("{request}\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut lines = head.split("\r\n").map(str::to_owned);
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(|| io::Error::other(format!("no status: {first}")))?,
        header: lines.collect(),
        body: body.to_owned(),
    })
}

/// As [`try_get`].
///
/// # Panics
/// There is no answer.
#[must_use]
pub fn get(server: SocketAddr, path: &str, header: &[&str]) -> Answer {
    try_get(server, path, header).unwrap_or_else(|error| panic!("GET {path}: {error}"))
}
