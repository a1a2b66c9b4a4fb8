//! Pieces of lines. A line has a dozen of them, and `trace` writes a line for every transition, so they are written
//! without the machinery of `fmt`, which takes several times as long.
use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
};

use crate::tcp::ConnectionId;

/// Appends a number.
pub(crate) fn number(line: &mut Vec<u8>, number: impl itoa::Integer) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a number in hexadecimal, with at least `digits` digits.
pub(crate) fn hex(line: &mut Vec<u8>, number: u64, digits: usize) {
    let needed = (u64::BITS - number.leading_zeros()).div_ceil(4) as usize;
    for place in (0..needed.max(digits)).rev() {
        line.push(b"0123456789abcdef"[(number >> (4 * place)) as usize & 0xf]);
    }
}

/// Appends a number in decimal, with all of its `DIGITS` digits.
pub(crate) fn digits<const DIGITS: usize>(line: &mut Vec<u8>, mut number: u32) {
    let mut text = [b'0'; DIGITS];
    for digit in text.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    line.extend_from_slice(&text);
}

/// Appends a connection's identity.
pub(crate) fn id(line: &mut Vec<u8>, id: ConnectionId) {
    hex(line, id.cookie, 1);
    line.push(b'.');
    number(line, id.serial);
}

/// Appends an address.
pub(crate) fn address(line: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => v4_address(line, v4),
        IpAddr::V6(v6) => drop(write!(line, "{v6}")), // a vector does not fail
    }
}

fn v4_address(line: &mut Vec<u8>, address: Ipv4Addr) {
    let [a, b, c, d] = address.octets();
    number(line, a);
    for octet in [b, c, d] {
        line.push(b'.');
        number(line, octet);
    }
}

/// Appends a time in ms with three decimals, rounded; `-` if it is not known.
pub(crate) fn millis(line: &mut Vec<u8>, ns: Option<u64>) {
    let Some(ns) = ns else {
        line.push(b'-');
        return;
    };
    let micros = ns / 1000 + u64::from(ns % 1000 >= 500);
    number(line, micros / 1000);
    line.push(b'.');
    digits::<3>(line, (micros % 1000) as u32);
}

/// Appends what `write` appends, which is ASCII, and spaces up to `width` characters, and one more.
pub(crate) fn cell(line: &mut Vec<u8>, width: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let start = line.len();
    write(line);
    let characters = line.len() - start;
    pad(line, width, characters);
}

/// The same with a word in any script.
pub(crate) fn word(line: &mut Vec<u8>, width: usize, word: &str) {
    line.extend_from_slice(word.as_bytes());
    pad(line, width, word.chars().count());
}

/// Appends the spaces behind so many characters.
fn pad(line: &mut Vec<u8>, width: usize, characters: usize) {
    line.resize(line.len() + width.saturating_sub(characters) + 1, b' ');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut line = Vec::new();
        write(&mut line);
        String::from_utf8(line).unwrap()
    }

    proptest! {
        #[test]
        fn as_fmt_writes_them(value: u64, small in 0..1_000_000_000_u32, ip: IpAddr, width in 0..20_usize) {
            prop_assert_eq!(written(|line| number(line, value)), value.to_string());
            prop_assert_eq!(written(|line| hex(line, value, 16)), format!("{value:016x}"));
            prop_assert_eq!(written(|line| hex(line, value, 1)), format!("{value:x}"));
            prop_assert_eq!(written(|line| digits::<9>(line, small)), format!("{small:09}"));
            prop_assert_eq!(written(|line| address(line, ip)), ip.to_string());
            let whose = ConnectionId { cookie: small.into(), serial: value };
            prop_assert_eq!(written(|line| id(line, whose)), whose.to_string());
            let padded = written(|line| cell(line, width, |line| number(line, small)));
            prop_assert_eq!(padded, format!("{small:<width$} "));
        }

        #[test]
        fn a_name_of_any_characters_is_padded(name in ".{0,12}", width in 0..15_usize) {
            prop_assert_eq!(written(|line| word(line, width, &name)), format!("{name:<width$} "));
        }
    }

    #[test]
    fn milliseconds_are_rounded_to_three_decimals() {
        for (ns, text) in [
            (None, "-"),
            (Some(0), "0.000"),
            (Some(499), "0.000"),
            (Some(500), "0.001"),
            (Some(42_411_499), "42.411"),
            (Some(60_380_106_500), "60380.107"),
            (Some(u64::MAX), "18446744073709.552"),
        ] {
            assert_eq!(written(|line| millis(line, ns)), text);
        }
    }

    #[test]
    fn zero_has_a_digit() {
        assert_eq!(written(|line| hex(line, 0, 1)), "0");
    }
}
