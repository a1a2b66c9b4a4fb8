//! Columns to rows, each value checked: a recording is untrusted input.
use std::net::IpAddr;

use arrow_array::{
    Array, ArrayAccessor, BooleanArray, DictionaryArray, Int64Array, RecordBatch, StringArray,
    UInt16Array, UInt32Array, UInt64Array,
    types::{ArrowDictionaryKeyType, Int8Type, Int32Type},
};

use super::{Row, encode::Kind, schema, text};
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
    let mut rows = Vec::with_capacity(batch.num_rows()); // rows are large: growing would copy each once more
    for row in 0..batch.num_rows() {
        rows.push(columns.row(row)?);
    }
    Ok(rows)
}

/// The columns of a batch, typed; dictionaries are read once. One that is not there has no value in any row: that they are
/// those of the schema has been checked at the head.
struct Columns<'a> {
    kind: Words<'a, Int8Type, Kind>,
    mono_ns: Option<&'a Int64Array>,
    seq: Option<&'a UInt64Array>,
    id: Option<&'a StringArray>,
    skaddr: Option<&'a StringArray>,
    netns: Option<&'a UInt32Array>,
    laddr: Words<'a, Int32Type, IpAddr>,
    lport: Option<&'a UInt16Array>,
    raddr: Words<'a, Int32Type, IpAddr>,
    rport: Option<&'a UInt16Array>,
    from: Words<'a, Int8Type, TcpState>,
    to: Words<'a, Int8Type, TcpState>,
    dwell_ns: Option<&'a Int64Array>,
    estimated: Option<&'a BooleanArray>,
    reason: Words<'a, Int8Type, Reason>,
    role: Words<'a, Int8Type, Role>,
    pid: Option<&'a UInt32Array>,
    uid: Option<&'a UInt32Array>,
    comm: Words<'a, Int32Type, Comm>,
    owner_source: Words<'a, Int8Type, OwnerSource>,
    cgroup: Option<&'a UInt64Array>,
    container: Words<'a, Int32Type, ContainerId>,
    bytes_sent: Option<&'a UInt64Array>,
    bytes_received: Option<&'a UInt64Array>,
    age_ns: Option<&'a Int64Array>,
    age_at_least_ns: Option<&'a Int64Array>,
    cause: Words<'a, Int8Type, &'static str>,
    lost: Option<&'a UInt64Array>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self> {
        Ok(Self {
            kind: words(batch, "kind", |word| named(&Kind::ALL, Kind::name, word))?,
            mono_ns: column(batch, "mono_ns")?,
            seq: column(batch, "seq")?,
            id: column(batch, "id")?,
            skaddr: column(batch, schema::SKADDR)?,
            netns: column(batch, "netns")?,
            laddr: words(batch, "laddr", |text| text.parse().ok())?,
            lport: column(batch, "lport")?,
            raddr: words(batch, "raddr", |text| text.parse().ok())?,
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
            comm: words(batch, "comm", text::to_comm)?,
            owner_source: words(batch, "owner_source", |word| {
                named(&OwnerSource::ALL, OwnerSource::name, word)
            })?,
            cgroup: column(batch, "cgroup")?,
            container: words(batch, "container", |text| text.parse().ok())?,
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
        Ok(match kind {
            Kind::Snapshot => Row::Snapshot {
                mono_ns,
                socket: self.socket(row, mono_ns)?,
            },
            Kind::Transition => Row::Transition {
                seq: value(self.seq, row).ok_or("a transition without number")?,
                transition: self.transition(row, mono_ns)?,
            },
            Kind::Loss => Row::Loss {
                mono_ns,
                cause: self.cause.get(row)?.ok_or("a loss without cause")?,
                lost: value(self.lost, row).ok_or("a loss without number")?,
            },
            Kind::End => Row::End { mono_ns },
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
            estimated: value(self.estimated, row).unwrap_or(false),
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
            bytes: None,
        })
    }

    fn id(&self, row: usize) -> Result<ConnectionId> {
        let id = value(self.id, row).and_then(|id| id.parse().ok());
        id.ok_or_else(|| "a connection without identity".to_owned())
    }

    /// 0 where it was not recorded.
    fn skaddr(&self, row: usize) -> Result<u64> {
        value(self.skaddr, row).map_or(Ok(0), |address| {
            u64::from_str_radix(address, 16).map_err(|_| "a kernel address that is none".to_owned())
        })
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

/// A dictionary column: which value each row has, and what each value stands for.
struct Words<'a, K: ArrowDictionaryKeyType, T> {
    rows: Option<&'a DictionaryArray<K>>,
    values: Vec<Option<T>>,
    name: &'static str,
}

impl<K: ArrowDictionaryKeyType, T: Copy> Words<'_, K, T> {
    fn get(&self, row: usize) -> Result<Option<T>> {
        match self.rows.and_then(|rows| rows.key(row)) {
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

fn words<'a, K: ArrowDictionaryKeyType, T>(
    batch: &'a RecordBatch,
    name: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Words<'a, K, T>> {
    let rows: Option<&DictionaryArray<K>> = column(batch, name)?;
    let values = match rows {
        Some(rows) => {
            let values = rows.values().as_any().downcast_ref::<StringArray>();
            let values = values.ok_or_else(|| format!("column {name} is no text"))?;
            values.iter().map(|value| value.and_then(&read)).collect()
        }
        None => Vec::new(),
    };
    Ok(Words { rows, values, name })
}

/// A column by its name; `None` if it is not there.
fn column<'a, A: 'static>(batch: &'a RecordBatch, name: &str) -> Result<Option<&'a A>> {
    let column = batch.column_by_name(name).map(|column| {
        let typed = column.as_any().downcast_ref();
        typed.ok_or_else(|| format!("column {name} is of another type"))
    });
    column.transpose()
}

fn value<'a, A>(column: Option<&'a A>, row: usize) -> Option<<&'a A as ArrayAccessor>::Item>
where
    &'a A: ArrayAccessor,
{
    column
        .filter(|column| column.is_valid(row))
        .map(|column| column.value(row))
}

/// A time or a length of time, which is never negative.
fn length(column: Option<&Int64Array>, row: usize) -> Result<Option<u64>> {
    value(column, row)
        .map(|ns| u64::try_from(ns).map_err(|_| "a negative time".to_owned()))
        .transpose()
}

fn named<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, word: &str) -> Option<T> {
    all.iter().copied().find(|one| name(*one) == word)
}
