//! Reading a recording, batch by batch, as far as it is whole.
use std::{
    cell::Cell,
    collections::HashMap,
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::{
        Arc, Once,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::{
    MessageHeader,
    convert::try_fb_to_schema,
    reader::{read_dictionary, read_record_batch},
};
use arrow_schema::{Schema, SchemaRef};

use super::{
    Damage, Row, decode,
    frame::{Frame, Frames},
    schema,
};
use crate::about::About;

/// A recording that is being read.
pub struct Recording {
    about: About,
    schema: SchemaRef,
    frames: Frames<Box<dyn Read + Send>>,
    dictionaries: HashMap<i64, ArrayRef>,
    read: Arc<AtomicU64>,
}

impl Recording {
    /// Reads the head.
    ///
    /// # Errors
    /// It is not a recording, or one of another version, or `input` cannot be read.
    pub fn open(input: Box<dyn Read + Send>) -> Result<Self, Damage> {
        let mut frames = Frames::new(input);
        let first = match frames.next() {
            Ok(first) => first,
            Err(Damage::Cut(_)) => {
                return Err(Damage::Foreign(
                    "it is cut off within its head, or empty".to_owned(),
                ));
            }
            Err(Damage::Changed { what, .. }) => {
                return Err(Damage::Foreign(format!(
                    "something else, or damaged at its head: {what}"
                )));
            }
            Err(error) => return Err(error),
        };
        let schema = first.ok_or_else(|| Damage::Foreign("it has no head".to_owned()))?;
        let schema = guarded(|| {
            let message = schema.message()?;
            let schema = message.header_as_schema().ok_or("no schema")?;
            try_fb_to_schema(schema).map_err(|error| error.to_string())
        })
        .map_err(Damage::Foreign)?;
        Ok(Self {
            about: schema::read(&schema)?,
            schema: Arc::new(schema),
            read: Arc::new(AtomicU64::new(frames.position())),
            frames,
            dictionaries: HashMap::new(),
        })
    }

    /// What it is about.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Bytes read so far, as they are read.
    #[must_use]
    pub fn progress(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// The rows of the next batch; `None` at the end.
    ///
    /// # Errors
    /// It is cut off or damaged here; what was returned before is whole.
    pub fn next_batch(&mut self) -> Result<Option<Vec<Row>>, Damage> {
        loop {
            let Some(frame) = self.frames.next()? else {
                return Ok(None);
            };
            self.read.store(self.frames.position(), Ordering::Relaxed);
            let batch = guarded(|| self.batch(&frame)).map_err(|what| self.frames.changed(what))?;
            if let Some(batch) = batch {
                let rows = guarded(|| decode::rows(&batch));
                return rows.map(Some).map_err(|what| self.frames.changed(what));
            }
        }
    }

    /// Takes a message: a dictionary is kept, a batch returned.
    fn batch(&mut self, frame: &Frame) -> Result<Option<RecordBatch>, String> {
        let message = frame.message()?;
        let body = Buffer::from(frame.body.as_slice()); // aligned, which a part of a vector is not
        match message.header_type() {
            MessageHeader::DictionaryBatch => {
                let dictionary = message
                    .header_as_dictionary_batch()
                    .ok_or("no dictionary")?;
                // Ours replace each other; growing ones would let a small file ask for all memory.
                if dictionary.isDelta() {
                    return Err("a dictionary that grows".to_owned());
                }
                let version = message.version();
                read_dictionary(
                    &body,
                    dictionary,
                    &self.schema,
                    &mut self.dictionaries,
                    &version,
                )
                .map_err(|error| error.to_string())?;
                Ok(None)
            }
            MessageHeader::RecordBatch => {
                let batch = message.header_as_record_batch().ok_or("no batch")?;
                let schema = Arc::clone(&self.schema);
                let version = message.version();
                let columns = told(&batch, &schema)?;
                read_record_batch(
                    &body,
                    batch,
                    schema,
                    &self.dictionaries,
                    Some(&columns),
                    &version,
                )
                .map(Some)
                .map_err(|error| error.to_string())
            }
            _ => Err("a message of another kind".to_owned()),
        }
    }
}

/// The columns of a batch that tell something new. Unpacking the others would be a third of the work: of most columns only
/// rows of one kind have a value.
fn told(batch: &arrow_ipc::RecordBatch<'_>, schema: &Schema) -> Result<Vec<usize>, String> {
    let nodes = batch.nodes().ok_or("no columns")?;
    if nodes.len() != schema.fields().len() {
        return Err("columns of another number".to_owned());
    }
    let told = nodes.iter().zip(schema.fields()).map(|(node, field)| {
        node.null_count() != node.length()
            && !schema::TOLD_ELSEWHERE.contains(&field.name().as_str())
    });
    let numbered = told.enumerate().filter(|(_, told)| *told);
    Ok(numbered.map(|(column, _)| column).collect())
}

/// Arrow's decoder answers some impossible input with a panic (an index out of bounds, an `unwrap`). The checksum
/// keeps accidents away from it; for a file that was made to harm, a panic is one more way to say that it is damaged.
fn guarded<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    silence_guarded_panics();
    GUARDED.set(true);
    // What was half done is never used: the first error is the end of the recording.
    let result = catch_unwind(AssertUnwindSafe(decode));
    GUARDED.set(false);
    result.unwrap_or_else(|_| Err("the decoder gave up".to_owned()))
}

thread_local! {
    /// This thread is within [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// A panic that is caught is no news for stderr; every other one is reported as before.
fn silence_guarded_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                report(panic);
            }
        }));
    });
}
