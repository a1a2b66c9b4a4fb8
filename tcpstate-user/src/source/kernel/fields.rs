//! Offsets of kernel fields, read from the running kernel's own type information (BTF).
use anyhow::{Context as _, bail};
use btf_rs::{Btf, BtfType as _, Member, Type};
use tcpstate_ebpf::{FIELDS, Field};

/// Where the kernel shows its types.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// What the loader hands to the programs: the name of a read-only global and the offset it takes.
pub type Offsets = Vec<(&'static str, u32)>;

/// Reads the offset of every field the programs use.
///
/// # Errors
/// A structure or field is missing, or is no whole number of bytes: the kernel is not one that tcpstate knows.
pub fn offsets(btf: &Btf) -> anyhow::Result<Offsets> {
    FIELDS
        .iter()
        .map(|field| {
            let offset = offset(btf, field).with_context(|| {
                format!("finding {}.{} in {BTF_PATH}", field.structure, field.path)
            })?;
            Ok((field.symbol, offset))
        })
        .collect()
}

/// Whether the kernel has a function of this name.
#[must_use]
pub fn has_function(btf: &Btf, name: &str) -> bool {
    btf.resolve_types_by_name(name)
        .is_ok_and(|types| types.iter().any(|ty| matches!(ty, Type::Func(_))))
}

/// Whether the kernel has a tracepoint of this name.
#[must_use]
pub fn has_tracepoint(btf: &Btf, name: &str) -> bool {
    // What there is none of is an empty list, and no error.
    btf.resolve_types_by_name(&format!("btf_trace_{name}"))
        .is_ok_and(|types| !types.is_empty())
}

/// The number of parameters of a kernel function; `None` if the kernel has none of this name.
#[must_use]
pub fn parameters(btf: &Btf, name: &str) -> Option<usize> {
    let types = btf.resolve_types_by_name(name).ok()?;
    types.iter().find_map(|ty| {
        let Type::Func(function) = ty else {
            return None;
        };
        match btf.resolve_chained_type(function).ok()? {
            Type::FuncProto(prototype) => Some(prototype.parameters.len()),
            _ => None,
        }
    })
}

fn offset(btf: &Btf, field: &Field) -> anyhow::Result<u32> {
    let mut ty = btf
        .resolve_types_by_name(field.structure)?
        .into_iter()
        .find(|ty| matches!(ty, Type::Struct(_)))
        .context("the kernel has no such structure")?;
    let mut bits = 0;
    for name in field.path.split('.') {
        let (start, member) = find(btf, &ty, name)?.context("the structure has no such field")?;
        bits += start;
        ty = target(btf, &member)?;
    }
    if bits % 8 != 0 {
        bail!("it starts at bit {bits}, which is no whole byte");
    }
    Ok(bits / 8)
}

/// Finds `name` among the members of a structure or union, looking through anonymous ones; its offset in bits.
fn find(btf: &Btf, ty: &Type, name: &str) -> anyhow::Result<Option<(u32, Member)>> {
    let (Type::Struct(composite) | Type::Union(composite)) = ty else {
        bail!("it is no structure");
    };
    for member in &composite.members {
        // An anonymous member has no name to resolve.
        match btf.resolve_name(member) {
            Ok(found) if found == name => return Ok(Some((member.bit_offset(), member.clone()))),
            Ok(found) if !found.is_empty() => {}
            _ => {
                let inner = target(btf, member)?;
                if let Some((start, found)) = find(btf, &inner, name)? {
                    return Ok(Some((member.bit_offset() + start, found)));
                }
            }
        }
    }
    Ok(None)
}

/// The type of a member, past qualifiers and typedefs.
fn target(btf: &Btf, member: &Member) -> anyhow::Result<Type> {
    let mut ty = btf.resolve_type_by_id(member.get_type_id().context("a member has a type")?)?;
    while let Type::Const(_) | Type::Volatile(_) | Type::Typedef(_) | Type::TypeTag(_) = ty {
        let inner = ty
            .as_btf_type()
            .and_then(|ty| ty.get_type_id())
            .context("a qualifier has a type")?;
        ty = btf.resolve_type_by_id(inner)?;
    }
    Ok(ty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracepoint_is_there_or_is_not() {
        let description = std::fs::read(BTF_PATH).expect("the kernel describes its types");
        let btf = Btf::from_bytes(&description).expect("they can be read");
        assert!(has_tracepoint(&btf, "inet_sock_set_state"));
        assert!(!has_tracepoint(&btf, "inet_sock_set_no_state"));
    }
}
