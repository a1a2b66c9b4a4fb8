//! Columns to rows, each value checked: a recording is untrusted input.
use std::net::IpAddr;

use arrow_array::{
    Array, BooleanArray, DictionaryArray, Int64Array, PrimitiveArray, RecordBatch, StringArray,
    UInt16Array, UInt32Array, UInt64Array,
    types::{ArrowDictionaryKeyType, ArrowPrimitiveType, Int8Type, Int32Type},
};

use super::{Row, encode::KINDS, schema, text};
use crate::{
    source::Lost,
    tcp::{
        Bytes, Comm, ConnectionId, ContainerId, Owner, OwnerSource, Reason, Role, TcpState,
        Transition, Tuple,
    },
    tracker::Open,
};

type Result<T> = std::result::Result<T, String>;

/// The rows of a batch.
pub(super) fn rows(batch: &RecordBatch) -> Result<Vec<Row>> {
    let columns = Columns::of(batch)?;
    (0..batch.num_rows()).map(|row| columns.row(row)).collect()
}

/// The columns of a batch, typed; dictionaries are read once.
struct Columns<'a> {
    kind: Words<usize>,
    mono_ns: &'a Int64Array,
    seq: &'a UInt64Array,
    id: &'a StringArray,
    skaddr: Option<&'a StringArray>,
    netns: &'a UInt32Array,
    laddr: Words<IpAddr>,
    lport: &'a UInt16Array,
    raddr: Words<IpAddr>,
    rport: &'a UInt16Array,
    from: Words<TcpState>,
    to: Words<TcpState>,
    dwell_ns: &'a Int64Array,
    estimated: &'a BooleanArray,
    reason: Words<Reason>,
    role: Words<Role>,
    pid: &'a UInt32Array,
    uid: &'a UInt32Array,
    comm: Words<Comm>,
    owner_source: Words<OwnerSource>,
    cgroup: &'a UInt64Array,
    container: Words<ContainerId>,
    bytes_sent: &'a UInt64Array,
    bytes_received: &'a UInt64Array,
    age_ns: &'a Int64Array,
    age_at_least_ns: &'a Int64Array,
    cause: Words<&'static str>,
    lost: &'a UInt64Array,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self> {
        Ok(Self {
            kind: words(batch, "kind", |word| {
                KINDS.iter().position(|kind| *kind == word)
            })?,
            mono_ns: column(batch, "mono_ns")?,
            seq: column(batch, "seq")?,
            id: column(batch, "id")?,
            skaddr: match batch.column_by_name(schema::SKADDR) {
                Some(_) => Some(column(batch, schema::SKADDR)?),
                None => None,
            },
            netns: column(batch, "netns")?,
            laddr: texts(batch, "laddr", |text| text.parse().ok())?,
            lport: column(batch, "lport")?,
            raddr: texts(batch, "raddr", |text| text.parse().ok())?,
            rport: column(batch, "rport")?,
            from: words(batch, "from", |word| word.parse().ok())?,
            to: words(batch, "to", |word| word.parse().ok())?,
            dwell_ns: column(batch, "dwell_ns")?,
            estimated: column(batch, "estimated")?,
            reason: words(batch, "reason", |word| {
                named(&Reason::ALL, Reason::name, word)
            })?,
            role: words(batch, "role", |word| named(&Role::ALL, Role::name, word))?,
            pid: column(batch, "pid")?,
            uid: column(batch, "uid")?,
            comm: texts(batch, "comm", text::to_comm)?,
            owner_source: words(batch, "owner_source", |word| {
                named(&OwnerSource::ALL, OwnerSource::name, word)
            })?,
            cgroup: column(batch, "cgroup")?,
            container: texts(batch, "container", |text| text.parse().ok())?,
            bytes_sent: column(batch, "bytes_sent")?,
            bytes_received: column(batch, "bytes_received")?,
            age_ns: column(batch, "age_ns")?,
            age_at_least_ns: column(batch, "age_at_least_ns")?,
            cause: words(batch, "cause", |word| {
                let causes = Lost::default().by_cause().map(|(cause, _)| cause);
                causes.into_iter().find(|cause| *cause == word)
            })?,
            lost: column(batch, "lost")?,
        })
    }

    fn row(&self, row: usize) -> Result<Row> {
        let mono_ns = length(self.mono_ns, row)?.ok_or("a row without time")?;
        let kind = self.kind.get(row)?.ok_or("a row without kind")?;
        Ok(match KINDS[kind] {
            "snapshot" => Row::Snapshot {
                mono_ns,
                socket: self.socket(row, mono_ns)?,
            },
            "transition" => Row::Transition {
                seq: value(self.seq, row).ok_or("a transition without number")?,
                transition: self.transition(row, mono_ns)?,
            },
            "loss" => Row::Loss {
                mono_ns,
                cause: self.cause.get(row)?.ok_or("a loss without cause")?,
                lost: value(self.lost, row).ok_or("a loss without number")?,
            },
            _ => Row::End { mono_ns },
        })
    }

    fn transition(&self, row: usize, mono_ns: u64) -> Result<Transition> {
        let sent = value(self.bytes_sent, row);
        let received = value(self.bytes_received, row);
        Ok(Transition {
            mono_ns,
            id: self.id(row)?,
            skaddr: self.skaddr(row)?,
            netns: value(self.netns, row).ok_or("a transition without namespace")?,
            tuple: self.tuple(row)?,
            from: self.from.get(row)?.ok_or("a transition without state")?,
            to: self.to.get(row)?.ok_or("a transition without state")?,
            dwell_ns: length(self.dwell_ns, row)?,
            estimated: self.estimated.is_valid(row) && self.estimated.value(row),
            reason: self.reason.get(row)?,
            role: self.role.get(row)?,
            owner: self.owner(row)?,
            cgroup: value(self.cgroup, row),
            container: self.container.get(row)?,
            bytes: sent
                .zip(received)
                .map(|(sent, received)| Bytes { sent, received }),
        })
    }

    fn socket(&self, row: usize, mono_ns: u64) -> Result<Open> {
        let before = |age_ns: Option<u64>| age_ns.map(|age_ns| mono_ns.saturating_sub(age_ns));
        Ok(Open {
            id: self.id(row)?,
            skaddr: self.skaddr(row)?,
            netns: value(self.netns, row).ok_or("a socket without namespace")?,
            tuple: self.tuple(row)?,
            state: self.to.get(row)?.ok_or("a socket without state")?,
            since_ns: before(length(self.age_ns, row)?),
            seen_ns: before(length(self.age_at_least_ns, row)?).unwrap_or(mono_ns),
            role: self.role.get(row)?,
            owner: self.owner(row)?,
            cgroup: value(self.cgroup, row),
        })
    }

    fn id(&self, row: usize) -> Result<ConnectionId> {
        let id = self.id.is_valid(row).then(|| self.id.value(row));
        let id = id.and_then(|id| id.parse().ok());
        id.ok_or_else(|| "a connection without identity".to_owned())
    }

    /// 0 where it was not recorded.
    fn skaddr(&self, row: usize) -> Result<u64> {
        match self.skaddr {
            Some(column) if column.is_valid(row) => u64::from_str_radix(column.value(row), 16)
                .map_err(|_| "a kernel address that is none".to_owned()),
            _ => Ok(0),
        }
    }

    fn tuple(&self, row: usize) -> Result<Option<Tuple>> {
        let (laddr, raddr) = (self.laddr.get(row)?, self.raddr.get(row)?);
        let Some((laddr, raddr)) = laddr.zip(raddr) else {
            return Ok(None);
        };
        Ok(Some(Tuple {
            laddr,
            lport: value(self.lport, row),
            raddr,
            rport: value(self.rport, row).ok_or("a connection without remote port")?,
        }))
    }

    fn owner(&self, row: usize) -> Result<Option<Owner>> {
        let Some(source) = self.owner_source.get(row)? else {
            return Ok(None);
        };
        Ok(Some(Owner {
            pid: value(self.pid, row).ok_or("an owner without process")?,
            uid: value(self.uid, row).ok_or("an owner without user")?,
            comm: self.comm.get(row)?.ok_or("an owner without name")?,
            source,
        }))
    }
}

/// A dictionary column: what each value stands for, and which value each row has.
struct Words<T> {
    rows: Vec<Option<usize>>,
    values: Vec<Option<T>>,
    name: &'static str,
}

impl<T: Copy> Words<T> {
    fn get(&self, row: usize) -> Result<Option<T>> {
        match self.rows.get(row).copied().flatten() {
            None => Ok(None),
            Some(key) => match self.values.get(key) {
                Some(Some(value)) => Ok(Some(*value)),
                _ => Err(format!(
                    "a value of column {} that means nothing",
                    self.name
                )),
            },
        }
    }
}

fn words<T>(
    batch: &RecordBatch,
    name: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Words<T>> {
    dictionary::<Int8Type, T>(batch, name, read)
}

fn texts<T>(
    batch: &RecordBatch,
    name: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Words<T>> {
    dictionary::<Int32Type, T>(batch, name, read)
}

fn dictionary<K: ArrowDictionaryKeyType, T>(
    batch: &RecordBatch,
    name: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Words<T>> {
    let array: &DictionaryArray<K> = column(batch, name)?;
    let values = array.values().as_any().downcast_ref::<StringArray>();
    let values = values.ok_or_else(|| format!("column {name} is no text"))?;
    Ok(Words {
        rows: (0..array.len()).map(|row| array.key(row)).collect(),
        values: values.iter().map(|value| value.and_then(&read)).collect(),
        name,
    })
}

fn column<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a T> {
    let column = batch.column_by_name(name);
    column
        .and_then(|column| column.as_any().downcast_ref())
        .ok_or_else(|| format!("no column {name} of the right type"))
}

fn value<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    column.is_valid(row).then(|| column.value(row))
}

/// A time or a length of time, which is never negative.
fn length(column: &Int64Array, row: usize) -> Result<Option<u64>> {
    value(column, row)
        .map(|ns| u64::try_from(ns).map_err(|_| "a negative time".to_owned()))
        .transpose()
}

fn named<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, word: &str) -> Option<T> {
    all.iter().copied().find(|one| name(*one) == word)
}
