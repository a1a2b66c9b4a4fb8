//! The schema: names and types of the columns, and what the metadata says.
use std::{collections::HashMap, sync::Arc};

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::Damage;
use crate::about::About;

/// Version of the schema. It rises with every change; a reader takes the one it knows.
const VERSION: &str = "1";

/// Columns that say again what others say, for other readers than this one.
pub(super) const TOLD_ELSEWHERE: [&str; 2] = ["time", "family"];

/// Name of the column of kernel addresses, which is there only on request.
pub(super) const SKADDR: &str = "skaddr";

/// The schema of a recording of `about`, with or without kernel addresses.
pub(super) fn of(about: &About, addresses: bool) -> SchemaRef {
    Arc::new(Schema::new_with_metadata(
        fields(addresses),
        metadata(about),
    ))
}

fn fields(addresses: bool) -> Vec<Field> {
    use DataType::{Boolean, Int64, UInt16, UInt32, UInt64, Utf8};
    let word = || DataType::Dictionary(Box::new(DataType::Int8), Box::new(Utf8));
    let text = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(Utf8));
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let known = |name, kind| Field::new(name, kind, false);
    let maybe = |name, kind| Field::new(name, kind, true);
    let mut fields = vec![
        known("kind", word()),
        known("time", time),
        known("mono_ns", Int64),
        maybe("seq", UInt64),
        maybe("id", Utf8),
        maybe(SKADDR, Utf8),
        maybe("family", word()),
        maybe("netns", UInt32),
        maybe("laddr", text()),
        maybe("lport", UInt16),
        maybe("raddr", text()),
        maybe("rport", UInt16),
        maybe("from", word()),
        maybe("to", word()),
        maybe("dwell_ns", Int64),
        maybe("estimated", Boolean),
        maybe("reason", word()),
        maybe("role", word()),
        maybe("pid", UInt32),
        maybe("uid", UInt32),
        maybe("comm", text()),
        maybe("owner_source", word()),
        maybe("cgroup", UInt64),
        maybe("container", text()),
        maybe("bytes_sent", UInt64),
        maybe("bytes_received", UInt64),
        maybe("age_ns", Int64),
        maybe("age_at_least_ns", Int64),
        maybe("cause", word()),
        maybe("lost", UInt64),
    ];
    fields.retain(|field| addresses || field.name() != SKADDR);
    fields
}

fn metadata(about: &About) -> HashMap<String, String> {
    [
        ("tcpstate.schema", VERSION.to_owned()),
        ("tcpstate.version", about.tool.clone()),
        ("tcpstate.kernel", about.kernel.clone()),
        ("tcpstate.host", about.host.clone()),
        ("tcpstate.tier", about.tier.clone()),
        ("tcpstate.start_mono_ns", about.start_ns.to_string()),
        ("tcpstate.wall_offset_ns", about.wall_offset_ns.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Reads what a recording is about, and checks that its columns are those of this version.
pub(super) fn read(schema: &Schema) -> Result<About, Damage> {
    let text = |key: &str| schema.metadata.get(key).cloned();
    match text("tcpstate.schema").as_deref() {
        Some(VERSION) => {}
        Some(version) => {
            let version = crate::sink::printable(version.as_bytes());
            return Err(Damage::Foreign(format!(
                "its schema has version {version}, and this tcpstate reads version {VERSION}; use the tcpstate that wrote it"
            )));
        }
        None => {
            return Err(Damage::Foreign(
                "it is an Arrow stream, but not of 'tcpstate record'".to_owned(),
            ));
        }
    }
    let columns = fields(schema.column_with_name(SKADDR).is_some());
    let same = schema.fields().len() == columns.len()
        && schema.fields().iter().zip(&columns).all(|(is, must)| {
            is.name() == must.name()
                && is.data_type() == must.data_type()
                && is.is_nullable() == must.is_nullable()
        });
    let head = || {
        Some(About {
            tool: text("tcpstate.version")?,
            kernel: text("tcpstate.kernel")?,
            host: text("tcpstate.host")?,
            tier: text("tcpstate.tier")?,
            start_ns: text("tcpstate.start_mono_ns")?.parse().ok()?,
            wall_offset_ns: text("tcpstate.wall_offset_ns")?.parse().ok()?,
        })
    };
    head().filter(|_| same).ok_or_else(|| {
        Damage::Foreign("its columns or its metadata are not those of schema version 1".to_owned())
    })
}
