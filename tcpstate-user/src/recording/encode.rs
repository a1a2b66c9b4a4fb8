//! Rows to columns: one batch of the Arrow stream.
use std::{hash::Hash, sync::Arc};

use arrow_array::{
    ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray,
    builder::{
        BooleanBuilder, Int8Builder, Int32Builder, Int64Builder, StringBuilder,
        TimestampNanosecondBuilder, UInt16Builder, UInt32Builder, UInt64Builder,
    },
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
    sink::{json::Address, piece},
    source::Lost,
    tcp::{Bytes, Owner, OwnerSource, Reason, Role, TcpState, Transition, Tuple},
};

/// The kinds of rows; their numbers are the keys.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Snapshot,
    Transition,
    Loss,
    End,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Snapshot, Self::Transition, Self::Loss, Self::End];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Transition => "transition",
            Self::Loss => "loss",
            Self::End => "end",
        }
    }

    fn of(row: &Row) -> Self {
        match row {
            Row::Snapshot { .. } => Self::Snapshot,
            Row::Transition { .. } => Self::Transition,
            Row::Loss { .. } => Self::Loss,
            Row::End { .. } => Self::End,
        }
    }
}

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
        let mut columns = Columns::with_capacity(rows.len());
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
            kinds: words(&Kind::ALL.map(Kind::name)),
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
    keys: Int32Builder,
    known: HashMap<K, i32>,
    values: Vec<String>,
}

impl<K: Hash + Eq> Texts<K> {
    fn with_capacity(rows: usize) -> Self {
        Self {
            keys: Int32Builder::with_capacity(rows),
            known: HashMap::new(),
            values: Vec::new(),
        }
    }

    fn push(&mut self, value: Option<K>, text: impl FnOnce(&K) -> String) {
        let key = value.map(|value| {
            let next = self.values.len() as i32; // a batch has a few thousand rows
            *self.known.entry(value).or_insert_with_key(|value| {
                self.values.push(text(value));
                next
            })
        });
        self.keys.append_option(key);
    }

    fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        let values = StringArray::from(self.values);
        let keys: Int32Array = self.keys.finish();
        let array = DictionaryArray::try_new(keys, Arc::new(values))?;
        Ok(Arc::new(array))
    }
}

/// About what an id takes, bytes.
const ID_BYTES: usize = 16;

/// Columns under construction.
struct Columns {
    kind: Int8Builder,
    time: TimestampNanosecondBuilder,
    mono_ns: Int64Builder,
    seq: UInt64Builder,
    id: StringBuilder,
    skaddr: StringBuilder,
    family: Int8Builder,
    netns: UInt32Builder,
    laddr: Texts<std::net::IpAddr>,
    lport: UInt16Builder,
    raddr: Texts<std::net::IpAddr>,
    rport: UInt16Builder,
    from: Int8Builder,
    to: Int8Builder,
    dwell_ns: Int64Builder,
    estimated: BooleanBuilder,
    reason: Int8Builder,
    role: Int8Builder,
    pid: UInt32Builder,
    uid: UInt32Builder,
    comm: Texts<crate::tcp::Comm>,
    owner_source: Int8Builder,
    cgroup: UInt64Builder,
    container: Texts<crate::tcp::ContainerId>,
    bytes_sent: UInt64Builder,
    bytes_received: UInt64Builder,
    age_ns: Int64Builder,
    age_at_least_ns: Int64Builder,
    cause: Int8Builder,
    lost: UInt64Builder,
    /// A text on its way into its column.
    text: Vec<u8>,
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
    /// Empty ones with room for so many rows.
    fn with_capacity(rows: usize) -> Self {
        Self {
            kind: Int8Builder::with_capacity(rows),
            time: TimestampNanosecondBuilder::with_capacity(rows),
            mono_ns: Int64Builder::with_capacity(rows),
            seq: UInt64Builder::with_capacity(rows),
            id: StringBuilder::with_capacity(rows, rows * ID_BYTES),
            skaddr: StringBuilder::new(), // few recordings have it
            family: Int8Builder::with_capacity(rows),
            netns: UInt32Builder::with_capacity(rows),
            laddr: Texts::with_capacity(rows),
            lport: UInt16Builder::with_capacity(rows),
            raddr: Texts::with_capacity(rows),
            rport: UInt16Builder::with_capacity(rows),
            from: Int8Builder::with_capacity(rows),
            to: Int8Builder::with_capacity(rows),
            dwell_ns: Int64Builder::with_capacity(rows),
            estimated: BooleanBuilder::with_capacity(rows),
            reason: Int8Builder::with_capacity(rows),
            role: Int8Builder::with_capacity(rows),
            pid: UInt32Builder::with_capacity(rows),
            uid: UInt32Builder::with_capacity(rows),
            comm: Texts::with_capacity(rows),
            owner_source: Int8Builder::with_capacity(rows),
            cgroup: UInt64Builder::with_capacity(rows),
            container: Texts::with_capacity(rows),
            bytes_sent: UInt64Builder::with_capacity(rows),
            bytes_received: UInt64Builder::with_capacity(rows),
            age_ns: Int64Builder::with_capacity(rows),
            age_at_least_ns: Int64Builder::with_capacity(rows),
            cause: Int8Builder::with_capacity(rows),
            lost: UInt64Builder::with_capacity(rows),
            text: Vec::new(),
        }
    }

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
        let mono_ns = signed(row.mono_ns());
        self.kind.append_value(Kind::of(row) as i8);
        self.time
            .append_value(mono_ns.saturating_add(wall_offset_ns));
        self.mono_ns.append_value(mono_ns);
        self.cells(&cells, addresses);
    }

    fn cells(&mut self, cells: &Cells<'_>, addresses: bool) {
        let shown = cells.connection;
        let tuple: Option<Tuple> = shown.and_then(|shown| shown.tuple);
        let owner: Option<Owner> = shown.and_then(|shown| shown.owner);
        let bytes: Option<Bytes> = shown.and_then(|shown| shown.bytes);
        let state = |state: TcpState| key(&TcpState::ALL, &state);
        self.seq.append_option(cells.seq);
        self.text.clear();
        self.id.append_option(shown.map(|shown| {
            piece::id(&mut self.text, shown.id);
            String::from_utf8_lossy(&self.text)
        }));
        if addresses {
            let skaddr = shown.map(|shown| shown.skaddr);
            let skaddr = skaddr.filter(|skaddr| *skaddr != 0);
            self.skaddr
                .append_option(skaddr.map(|skaddr| Address(skaddr).to_string()));
        }
        self.family
            .append_option(tuple.map(|tuple| i8::from(tuple.raddr.is_ipv6())));
        self.netns.append_option(shown.map(|shown| shown.netns));
        self.laddr
            .push(tuple.map(|tuple| tuple.laddr), ToString::to_string);
        self.lport
            .append_option(tuple.and_then(|tuple| tuple.lport));
        self.raddr
            .push(tuple.map(|tuple| tuple.raddr), ToString::to_string);
        self.rport.append_option(tuple.map(|tuple| tuple.rport));
        self.from.append_option(cells.from.and_then(state));
        self.to
            .append_option(shown.and_then(|shown| state(shown.to)));
        self.dwell_ns
            .append_option(shown.and_then(|shown| shown.dwell_ns).map(signed));
        self.estimated
            .append_option(cells.from.and(shown).map(|shown| shown.estimated));
        let reason = shown.and_then(|shown| shown.reason);
        self.reason
            .append_option(reason.and_then(|reason| key(&Reason::ALL, &reason)));
        let role = shown.and_then(|shown| shown.role);
        self.role
            .append_option(role.and_then(|role| key(&Role::ALL, &role)));
        self.pid.append_option(owner.map(|owner| owner.pid));
        self.uid.append_option(owner.map(|owner| owner.uid));
        self.comm
            .push(owner.map(|owner| owner.comm), text::from_comm);
        self.owner_source
            .append_option(owner.and_then(|owner| key(&OwnerSource::ALL, &owner.source)));
        self.cgroup
            .append_option(shown.and_then(|shown| shown.cgroup));
        let container = shown.and_then(|shown| shown.container);
        self.container.push(container, ToString::to_string);
        self.bytes_sent.append_option(bytes.map(|bytes| bytes.sent));
        self.bytes_received
            .append_option(bytes.map(|bytes| bytes.received));
        self.age_ns.append_option(cells.age_ns.map(signed));
        self.age_at_least_ns
            .append_option(cells.age_at_least_ns.map(signed));
        self.cause.append_option(cells.loss.and_then(|(cause, _)| {
            let causes = Lost::default().by_cause().map(|(cause, _)| cause);
            key(&causes, &cause)
        }));
        self.lost.append_option(cells.loss.map(|(_, lost)| lost));
    }

    /// The columns, in the order of the schema.
    fn finish(mut self, words: &Words, addresses: bool) -> Result<Vec<ArrayRef>, ArrowError> {
        let word = |mut keys: Int8Builder, words: &ArrayRef| -> Result<ArrayRef, ArrowError> {
            let array = DictionaryArray::try_new(keys.finish(), Arc::clone(words))?;
            Ok(Arc::new(array))
        };
        let time = self.time.finish().with_timezone("UTC");
        let mut columns: Vec<ArrayRef> = vec![
            word(self.kind, &words.kinds)?,
            Arc::new(time),
            Arc::new(self.mono_ns.finish()),
            Arc::new(self.seq.finish()),
            Arc::new(self.id.finish()),
        ];
        if addresses {
            columns.push(Arc::new(self.skaddr.finish()));
        }
        let rest: [ArrayRef; 24] = [
            word(self.family, &words.families)?,
            Arc::new(self.netns.finish()),
            self.laddr.finish()?,
            Arc::new(self.lport.finish()),
            self.raddr.finish()?,
            Arc::new(self.rport.finish()),
            word(self.from, &words.states)?,
            word(self.to, &words.states)?,
            Arc::new(self.dwell_ns.finish()),
            Arc::new(self.estimated.finish()),
            word(self.reason, &words.reasons)?,
            word(self.role, &words.roles)?,
            Arc::new(self.pid.finish()),
            Arc::new(self.uid.finish()),
            self.comm.finish()?,
            word(self.owner_source, &words.sources)?,
            Arc::new(self.cgroup.finish()),
            self.container.finish()?,
            Arc::new(self.bytes_sent.finish()),
            Arc::new(self.bytes_received.finish()),
            Arc::new(self.age_ns.finish()),
            Arc::new(self.age_at_least_ns.finish()),
            word(self.cause, &words.causes)?,
            Arc::new(self.lost.finish()),
        ];
        columns.extend(rest);
        Ok(columns)
    }
}

/// Times and lengths of time are signed in the file, so that a query can subtract them; they fit for 292 years.
fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}
