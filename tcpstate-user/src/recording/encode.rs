//! Rows to columns: one batch of the Arrow stream.
use std::{hash::Hash, sync::Arc};

use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Int8Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampNanosecondArray, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_ipc::{
    CompressionType, MetadataVersion,
    writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions},
};
use arrow_schema::{ArrowError, SchemaRef};
use hashbrown::HashMap;

use super::{Row, frame, schema, text};
use crate::{
    about::About,
    sink::json::Address,
    source::Lost,
    tcp::{Bytes, Owner, OwnerSource, Reason, Role, TcpState, Transition, Tuple},
};

/// The kinds of rows, in the order of their keys.
pub(super) const KINDS: [&str; 4] = ["snapshot", "transition", "loss", "end"];

/// Makes the bytes of one recording.
pub(super) struct Encoder {
    schema: SchemaRef,
    addresses: bool,
    wall_offset_ns: i64,
    words: Words,
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

/// Dictionaries that never change, so that each stands in the file once.
struct Words {
    kinds: ArrayRef,
    families: ArrayRef,
    states: ArrayRef,
    reasons: ArrayRef,
    roles: ArrayRef,
    sources: ArrayRef,
    causes: ArrayRef,
}

impl Encoder {
    /// Begins a recording of `about` and appends its head to `out`.
    pub(super) fn begin(
        about: &About,
        addresses: bool,
        out: &mut Vec<u8>,
    ) -> Result<Self, ArrowError> {
        let schema = schema::of(about, addresses);
        let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?
            .try_with_compression(Some(CompressionType::LZ4_FRAME))?;
        let generator = IpcDataGenerator::default();
        let mut dictionaries = DictionaryTracker::new(false);
        let head =
            generator.schema_to_bytes_with_dictionary_tracker(&schema, &mut dictionaries, &options);
        frame::write(out, &head);
        Ok(Self {
            schema,
            addresses,
            wall_offset_ns: about.wall_offset_ns,
            words: Words::new(),
            generator,
            dictionaries,
            options,
            context: IpcWriteContext::default(),
        })
    }

    /// Appends a batch of `rows` to `out`.
    pub(super) fn rows(&mut self, rows: &[Row], out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let mut columns = Columns::default();
        for row in rows {
            columns.push(row, self.wall_offset_ns, self.addresses);
        }
        let columns = columns.finish(&self.words, self.addresses)?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let (dictionaries, batch) = self.generator.encode(
            &batch,
            &mut self.dictionaries,
            &self.options,
            &mut self.context,
        )?;
        for message in dictionaries.iter().chain([&batch]) {
            frame::write(out, message);
        }
        Ok(())
    }
}

impl Words {
    fn new() -> Self {
        let words = |words: &[&str]| -> ArrayRef { Arc::new(StringArray::from(words.to_vec())) };
        Self {
            kinds: words(&KINDS),
            families: words(&["ipv4", "ipv6"]),
            states: words(&TcpState::ALL.map(TcpState::name)),
            reasons: words(&Reason::ALL.map(Reason::name)),
            roles: words(&Role::ALL.map(Role::name)),
            sources: words(&OwnerSource::ALL.map(OwnerSource::name)),
            causes: words(&Lost::default().by_cause().map(|(cause, _)| cause)),
        }
    }
}

/// The place of a word in its dictionary.
fn key<T: PartialEq>(all: &[T], one: &T) -> Option<i8> {
    let place = all.iter().position(|word| word == one)?;
    i8::try_from(place).ok()
}

/// A column of text with a dictionary of its own in each batch, so that none grows with the recording.
struct Texts<K> {
    keys: Vec<Option<i32>>,
    known: HashMap<K, i32>,
    values: Vec<String>,
}

impl<K> Default for Texts<K> {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            known: HashMap::new(),
            values: Vec::new(),
        }
    }
}

impl<K: Hash + Eq> Texts<K> {
    fn push(&mut self, value: Option<K>, text: impl FnOnce(&K) -> String) {
        let key = value.map(|value| {
            let next = self.values.len() as i32; // a batch has a few thousand rows
            *self.known.entry(value).or_insert_with_key(|value| {
                self.values.push(text(value));
                next
            })
        });
        self.keys.push(key);
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        let values = StringArray::from(self.values);
        let array = DictionaryArray::try_new(Int32Array::from(self.keys), Arc::new(values))?;
        Ok(Arc::new(array))
    }
}

/// Columns under construction.
#[derive(Default)]
struct Columns {
    kind: Vec<Option<i8>>,
    time: Vec<i64>,
    mono_ns: Vec<i64>,
    seq: Vec<Option<u64>>,
    id: Vec<Option<String>>,
    skaddr: Vec<Option<String>>,
    family: Vec<Option<i8>>,
    netns: Vec<Option<u32>>,
    laddr: Texts<std::net::IpAddr>,
    lport: Vec<Option<u16>>,
    raddr: Texts<std::net::IpAddr>,
    rport: Vec<Option<u16>>,
    from: Vec<Option<i8>>,
    to: Vec<Option<i8>>,
    dwell_ns: Vec<Option<i64>>,
    estimated: Vec<Option<bool>>,
    reason: Vec<Option<i8>>,
    role: Vec<Option<i8>>,
    pid: Vec<Option<u32>>,
    uid: Vec<Option<u32>>,
    comm: Texts<crate::tcp::Comm>,
    owner_source: Vec<Option<i8>>,
    cgroup: Vec<Option<u64>>,
    container: Texts<crate::tcp::ContainerId>,
    bytes_sent: Vec<Option<u64>>,
    bytes_received: Vec<Option<u64>>,
    age_ns: Vec<Option<i64>>,
    age_at_least_ns: Vec<Option<i64>>,
    cause: Vec<Option<i8>>,
    lost: Vec<Option<u64>>,
}

/// What a row says besides its kind and time; what it does not say is null.
#[derive(Default)]
struct Cells<'a> {
    seq: Option<u64>,
    /// The connection, as a transition has it; of a snapshot the fields that both have.
    connection: Option<&'a Transition>,
    from: Option<TcpState>,
    age_ns: Option<u64>,
    age_at_least_ns: Option<u64>,
    loss: Option<(&'static str, u64)>,
}

impl Columns {
    fn push(&mut self, row: &Row, wall_offset_ns: i64, addresses: bool) {
        let as_transition; // a snapshot fills the same columns
        let cells = match row {
            Row::Snapshot { mono_ns, socket } => {
                as_transition = Transition {
                    mono_ns: *mono_ns,
                    id: socket.id,
                    skaddr: socket.skaddr,
                    netns: socket.netns,
                    tuple: socket.tuple,
                    from: socket.state,
                    to: socket.state,
                    dwell_ns: None,
                    estimated: false,
                    reason: None,
                    role: socket.role,
                    owner: socket.owner,
                    cgroup: socket.cgroup,
                    container: None,
                    bytes: None,
                };
                let age = |since_ns: u64| mono_ns.saturating_sub(since_ns);
                let there = socket.state != TcpState::Close;
                Cells {
                    connection: Some(&as_transition),
                    age_ns: socket.since_ns.map(age),
                    age_at_least_ns: there.then(|| age(socket.seen_ns)),
                    ..Cells::default()
                }
            }
            Row::Transition { seq, transition } => Cells {
                seq: Some(*seq),
                connection: Some(transition),
                from: Some(transition.from),
                ..Cells::default()
            },
            Row::Loss { cause, lost, .. } => Cells {
                loss: Some((cause, *lost)),
                ..Cells::default()
            },
            Row::End { .. } => Cells::default(),
        };
        let kind = match row {
            Row::Snapshot { .. } => 0,
            Row::Transition { .. } => 1,
            Row::Loss { .. } => 2,
            Row::End { .. } => 3,
        };
        let mono_ns = signed(row.mono_ns());
        self.kind.push(Some(kind));
        self.time.push(mono_ns.saturating_add(wall_offset_ns));
        self.mono_ns.push(mono_ns);
        self.cells(&cells, addresses);
    }

    fn cells(&mut self, cells: &Cells<'_>, addresses: bool) {
        let shown = cells.connection;
        let tuple: Option<Tuple> = shown.and_then(|shown| shown.tuple);
        let owner: Option<Owner> = shown.and_then(|shown| shown.owner);
        let bytes: Option<Bytes> = shown.and_then(|shown| shown.bytes);
        let state = |state: TcpState| key(&TcpState::ALL, &state);
        self.seq.push(cells.seq);
        self.id.push(shown.map(|shown| shown.id.to_string()));
        if addresses {
            let skaddr = shown.map(|shown| shown.skaddr);
            let skaddr = skaddr.filter(|skaddr| *skaddr != 0);
            self.skaddr
                .push(skaddr.map(|skaddr| Address(skaddr).to_string()));
        }
        self.family
            .push(tuple.map(|tuple| i8::from(tuple.raddr.is_ipv6())));
        self.netns.push(shown.map(|shown| shown.netns));
        self.laddr
            .push(tuple.map(|tuple| tuple.laddr), ToString::to_string);
        self.lport.push(tuple.and_then(|tuple| tuple.lport));
        self.raddr
            .push(tuple.map(|tuple| tuple.raddr), ToString::to_string);
        self.rport.push(tuple.map(|tuple| tuple.rport));
        self.from.push(cells.from.and_then(state));
        self.to.push(shown.and_then(|shown| state(shown.to)));
        self.dwell_ns
            .push(shown.and_then(|shown| shown.dwell_ns).map(signed));
        self.estimated
            .push(cells.from.and(shown).map(|shown| shown.estimated));
        let reason = shown.and_then(|shown| shown.reason);
        self.reason
            .push(reason.and_then(|reason| key(&Reason::ALL, &reason)));
        let role = shown.and_then(|shown| shown.role);
        self.role.push(role.and_then(|role| key(&Role::ALL, &role)));
        self.pid.push(owner.map(|owner| owner.pid));
        self.uid.push(owner.map(|owner| owner.uid));
        self.comm
            .push(owner.map(|owner| owner.comm), text::from_comm);
        self.owner_source
            .push(owner.and_then(|owner| key(&OwnerSource::ALL, &owner.source)));
        self.cgroup.push(shown.and_then(|shown| shown.cgroup));
        let container = shown.and_then(|shown| shown.container);
        self.container.push(container, ToString::to_string);
        self.bytes_sent.push(bytes.map(|bytes| bytes.sent));
        self.bytes_received.push(bytes.map(|bytes| bytes.received));
        self.age_ns.push(cells.age_ns.map(signed));
        self.age_at_least_ns.push(cells.age_at_least_ns.map(signed));
        let causes = Lost::default().by_cause().map(|(cause, _)| cause);
        self.cause
            .push(cells.loss.and_then(|(cause, _)| key(&causes, &cause)));
        self.lost.push(cells.loss.map(|(_, lost)| lost));
    }

    /// The columns, in the order of the schema.
    fn finish(self, words: &Words, addresses: bool) -> Result<Vec<ArrayRef>, ArrowError> {
        let word = |keys: Vec<Option<i8>>, words: &ArrayRef| -> Result<ArrayRef, ArrowError> {
            let array = DictionaryArray::try_new(Int8Array::from(keys), Arc::clone(words))?;
            Ok(Arc::new(array))
        };
        let time = TimestampNanosecondArray::from(self.time).with_timezone("UTC");
        let mut columns: Vec<ArrayRef> = vec![
            word(self.kind, &words.kinds)?,
            Arc::new(time),
            Arc::new(Int64Array::from(self.mono_ns)),
            Arc::new(UInt64Array::from(self.seq)),
            Arc::new(StringArray::from(self.id)),
        ];
        if addresses {
            columns.push(Arc::new(StringArray::from(self.skaddr)));
        }
        let rest: [ArrayRef; 24] = [
            word(self.family, &words.families)?,
            Arc::new(UInt32Array::from(self.netns)),
            self.laddr.finish()?,
            Arc::new(UInt16Array::from(self.lport)),
            self.raddr.finish()?,
            Arc::new(UInt16Array::from(self.rport)),
            word(self.from, &words.states)?,
            word(self.to, &words.states)?,
            Arc::new(Int64Array::from(self.dwell_ns)),
            Arc::new(BooleanArray::from(self.estimated)),
            word(self.reason, &words.reasons)?,
            word(self.role, &words.roles)?,
            Arc::new(UInt32Array::from(self.pid)),
            Arc::new(UInt32Array::from(self.uid)),
            self.comm.finish()?,
            word(self.owner_source, &words.sources)?,
            Arc::new(UInt64Array::from(self.cgroup)),
            self.container.finish()?,
            Arc::new(UInt64Array::from(self.bytes_sent)),
            Arc::new(UInt64Array::from(self.bytes_received)),
            Arc::new(Int64Array::from(self.age_ns)),
            Arc::new(Int64Array::from(self.age_at_least_ns)),
            word(self.cause, &words.causes)?,
            Arc::new(UInt64Array::from(self.lost)),
        ];
        columns.extend(rest);
        Ok(columns)
    }
}

/// Times and lengths of time are signed in the file, so that a query can subtract them; they fit for 292 years.
fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}
