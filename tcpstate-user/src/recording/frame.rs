//! Messages of the stream as bytes: framing, checksum, and limits that hold before anything is decoded.
//!
//! ```text
//! ffffffff | length of metadata | metadata (flatbuffer, zeros to 8 bytes, "crc:", CRC-32) | body
//! ```
//! The last 8 bytes of the metadata are padding to every other reader. The CRC covers the length, the metadata before
//! it, and the body.
use std::io::{self, Read};

use arrow_ipc::{CompressionType, Message, MessageHeader, root_as_message, writer::EncodedData};

/// What begins every message.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// What stands before the checksum.
const MARK: [u8; 4] = *b"crc:";
/// The longest metadata that is read: the schema has about 5 KiB.
const MAX_METADATA: usize = 1 << 20;
/// About what a batch of ours has.
const OUR_BYTES: usize = 1 << 20;
/// The longest body that is read, and the most that it may unpack to.
pub const MAX_BYTES: usize = 64 << 20;
/// The most rows of a batch that is read.
const MAX_ROWS: i64 = 1 << 20;

/// Why a recording cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It is something else.
    #[error("not a recording that this tcpstate can read: {0}")]
    Foreign(String),
    /// It stops before its end: the writer was killed, its disk was full, or the file was cut.
    #[error("the recording is cut off after {0} bytes; everything before is whole")]
    Cut(u64),
    /// Its bytes are not those that were written.
    #[error("the recording is damaged after {at} bytes ({what}); everything before is whole")]
    Changed {
        /// Where the damaged message begins.
        at: u64,
        /// What is wrong there.
        what: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Appends a message.
pub(super) fn write(out: &mut Vec<u8>, message: &EncodedData) {
    let padded = message.ipc_message.len().next_multiple_of(8);
    let length = u32::try_from(padded + 8).unwrap_or(u32::MAX); // a few KiB
    out.extend_from_slice(&CONTINUATION);
    let covered = out.len();
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&message.ipc_message);
    out.resize(covered + 4 + padded, 0);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&out[covered..]);
    crc.update(&message.arrow_data);
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    out.extend_from_slice(&message.arrow_data);
}

/// Appends the end mark.
pub(super) fn write_end(out: &mut Vec<u8>) {
    out.extend_from_slice(&CONTINUATION);
    out.extend_from_slice(&[0; 4]);
}

/// A message that has come as it was written.
pub(super) struct Frame {
    metadata: Vec<u8>,
    /// What the metadata speaks of.
    pub(super) body: Vec<u8>,
}

impl Frame {
    /// Its metadata.
    pub(super) fn message(&self) -> Result<Message<'_>, String> {
        root_as_message(&self.metadata).map_err(|_| "no Arrow message".to_owned())
    }
}

/// A way to read messages, which knows where it is.
pub(super) struct Frames<R> {
    input: R,
    /// Where the message that is read begins.
    at: u64,
    read: u64,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            at: 0,
            read: 0,
        }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.read
    }

    /// The error of a message that was read, and makes no sense.
    pub(super) fn changed(&self, what: impl Into<String>) -> Damage {
        Damage::Changed {
            at: self.at,
            what: what.into(),
        }
    }

    /// The next message; `None` at the end mark.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Damage> {
        self.at = self.read;
        let head = self.take(8)?;
        let (continuation, length) = head.split_at(4);
        if continuation != CONTINUATION {
            return Err(self.changed("no message begins here"));
        }
        let covered = length.to_vec();
        let length = length
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if length == 0 {
            return self.end();
        }
        if length % 8 != 0 || !(16..=MAX_METADATA).contains(&length) {
            return Err(self.changed("a message of impossible length"));
        }
        let mut metadata = self.take(length)?;
        let trailer = metadata.split_off(length - 8);
        if trailer[..4] != MARK {
            return Err(self.changed("a message without checksum"));
        }
        let mut frame = Frame {
            metadata,
            body: Vec::new(),
        };
        let body_length = frame.message().map(|message| message.bodyLength());
        let body_length = body_length
            .ok()
            .and_then(|length| usize::try_from(length).ok())
            .filter(|length| *length <= MAX_BYTES)
            .ok_or_else(|| self.changed("a message of impossible length"))?;
        frame.body = self.take(body_length)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&covered);
        crc.update(&frame.metadata);
        crc.update(&frame.body);
        if crc.finalize().to_le_bytes() != trailer[4..] {
            return Err(self.changed("its checksum does not fit"));
        }
        // A checksum keeps out accidents, not malice: what would make the decoder allocate is checked all the same.
        match check_sizes(&frame) {
            Ok(()) => Ok(Some(frame)),
            Err(what) => Err(self.changed(what)),
        }
    }

    /// After the end mark nothing comes.
    fn end(&mut self) -> Result<Option<Frame>, Damage> {
        let mut more = [0];
        loop {
            match self.input.read(&mut more) {
                Ok(0) => return Ok(None),
                Ok(_) => return Err(self.changed("more bytes after its end")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads exactly `length` bytes; beyond a batch of ours, the vector grows with what there is, not with what was announced.
    fn take(&mut self, length: usize) -> Result<Vec<u8>, Damage> {
        let mut bytes = Vec::with_capacity(length.min(OUR_BYTES));
        let count = self
            .input
            .by_ref()
            .take(length as u64)
            .read_to_end(&mut bytes)?;
        self.read += count as u64;
        if count < length {
            return Err(Damage::Cut(self.at));
        }
        Ok(bytes)
    }
}

/// Makes the checksums of what looks like messages fit, so that a fuzzer gets past them.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn seal(bytes: &mut [u8]) {
    let mut rest = bytes;
    while let Some((head, tail)) = rest.split_at_mut_checked(8)
        && let Ok(length) =
            usize::try_from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]))
        && length >= 8
        && let Some((metadata, tail)) = tail.split_at_mut_checked(length)
    {
        let (metadata, trailer) = metadata.split_at_mut(length - 8);
        let message = root_as_message(metadata).map(|message| message.bodyLength());
        let body = message.ok().and_then(|length| usize::try_from(length).ok());
        let Some((body, tail)) = body.and_then(|length| tail.split_at_mut_checked(length)) else {
            return;
        };
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head[4..]);
        crc.update(metadata);
        crc.update(body);
        head[..4].copy_from_slice(&CONTINUATION);
        trailer[..4].copy_from_slice(&MARK);
        trailer[4..].copy_from_slice(&crc.finalize().to_le_bytes());
        rest = tail;
    }
}

/// Arrow allocates what a buffer says that it unpacks to, and ends the process where there is no such memory.
fn check_sizes(frame: &Frame) -> Result<(), String> {
    let message = frame.message()?;
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => message
            .header_as_dictionary_batch()
            .and_then(|dictionary| dictionary.data()),
        _ => return Ok(()),
    };
    let batch = batch.ok_or("a batch without data")?;
    let rows_fit = (0..=MAX_ROWS).contains(&batch.length())
        && batch.nodes().is_some_and(|nodes| {
            nodes
                .iter()
                .all(|node| (0..=MAX_ROWS).contains(&node.length()))
        });
    if !rows_fit {
        return Err("a batch of impossible length".to_owned());
    }
    let packed = match batch.compression() {
        Some(compression) if compression.codec() != CompressionType::LZ4_FRAME => {
            return Err("an unknown compression".to_owned());
        }
        compression => compression.is_some(),
    };
    let mut unpacked = 0_usize;
    for buffer in batch.buffers().unwrap_or_default() {
        let bytes = range(buffer.offset(), buffer.length())
            .and_then(|range| frame.body.get(range))
            .ok_or("a buffer outside its message")?;
        let size = match bytes.first_chunk::<8>() {
            Some(size) if packed => i64::from_le_bytes(*size),
            None if packed && !bytes.is_empty() => return Err("a buffer without size".to_owned()),
            _ => -1,
        };
        let size = match size {
            -1 => Some(bytes.len()),
            size => usize::try_from(size).ok(),
        };
        unpacked = size
            .and_then(|size| unpacked.checked_add(size))
            .filter(|unpacked| *unpacked <= MAX_BYTES)
            .ok_or("a buffer of impossible size")?;
    }
    Ok(())
}

fn range(offset: i64, length: i64) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    Some(start..start.checked_add(usize::try_from(length).ok()?)?)
}
