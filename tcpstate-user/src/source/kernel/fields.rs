//! Offsets of kernel fields, read from the running kernel's own type information (BTF).
use anyhow::{Context as _, bail};
use btf_rs::{Btf, BtfType as _, Member, Type};
use tcpstate_ebpf::{FIELDS, Field};

/// Where the kernel shows its types.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// What the loader hands to the programs: the name of a read-only global and the offset it takes.
pub type Offsets = Vec<(&'static str, u32)>;

/// What is needed of the kernel's types: all of them take 40 MiB, which are gone when this has been read.
pub struct Types {
    /// Where the fields are that the programs use.
    pub offsets: Offsets,
    /// Those of the functions that were asked for that the kernel has, with the numbers of their parameters.
    functions: Vec<(&'static str, usize)>,
    /// Tracepoints, likewise.
    tracepoints: Vec<&'static str>,
}

impl Types {
    /// Reads the offset of every field the programs use, and looks for functions and tracepoints.
    ///
    /// # Errors
    /// A structure or field is missing, or is no whole number of bytes: the kernel is not one that tcpstate knows.
    pub fn read(
        description: &[u8],
        functions: impl Iterator<Item = &'static str>,
        tracepoints: impl Iterator<Item = &'static str>,
    ) -> anyhow::Result<Self> {
        let btf = Btf::from_bytes(description)?;
        Ok(Self {
            offsets: offsets(&btf)?,
            functions: functions
                .filter_map(|name| Some((name, parameters(&btf, name)?)))
                .collect(),
            tracepoints: tracepoints
                .filter(|name| {
                    // What there is none of is an empty list, and no error.
                    btf.resolve_types_by_name(&format!("btf_trace_{name}"))
                        .is_ok_and(|types| !types.is_empty())
                })
                .collect(),
        })
    }

    /// Whether the kernel has a function of this name.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.parameters(name).is_some()
    }

    /// The number of parameters of a kernel function; `None` if the kernel has none of this name.
    #[must_use]
    pub fn parameters(&self, name: &str) -> Option<usize> {
        let mut functions = self.functions.iter();
        functions
            .find(|(known, _)| *known == name)
            .map(|(_, parameters)| *parameters)
    }

    /// Whether the kernel has a tracepoint of this name.
    #[must_use]
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.tracepoints.contains(&name)
    }
}

fn offsets(btf: &Btf) -> anyhow::Result<Offsets> {
    let offsets = FIELDS.iter().map(|field| {
        let offset = offset(btf, field)
            .with_context(|| format!("finding {}.{} in {BTF_PATH}", field.structure, field.path))?;
        Ok((field.symbol, offset))
    });
    offsets.collect()
}

fn parameters(btf: &Btf, name: &str) -> Option<usize> {
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

/// Anonymous members and qualifiers that are passed through on the way to a field, at most. The kernel has a handful; a
/// description that goes in a circle ends here.
const MAX_STEPS: u32 = 256;

fn offset(btf: &Btf, field: &Field) -> anyhow::Result<u32> {
    let mut ty = btf
        .resolve_types_by_name(field.structure)?
        .into_iter()
        .find(|ty| matches!(ty, Type::Struct(_)))
        .context("the kernel has no such structure")?;
    let (mut bits, mut steps) = (0_u32, 0);
    for name in field.path.split('.') {
        let found = find(btf, &ty, name, &mut steps)?;
        let (start, member) = found.context("the structure has no such field")?;
        bits = bits.checked_add(start).context(TOO_FAR)?;
        ty = target(btf, &member, &mut steps)?;
    }
    if bits % 8 != 0 {
        bail!("it starts at bit {bits}, which is no whole byte");
    }
    Ok(bits / 8)
}

/// Where no field of the kernel lies.
const TOO_FAR: &str = "it lies beyond 512 MiB";

/// Finds `name` among the members of a structure or union, looking through anonymous ones; its offset in bits.
fn find(
    btf: &Btf,
    ty: &Type,
    name: &str,
    steps: &mut u32,
) -> anyhow::Result<Option<(u32, Member)>> {
    let (Type::Struct(composite) | Type::Union(composite)) = ty else {
        bail!("it is no structure");
    };
    for member in &composite.members {
        // An anonymous member has no name to resolve.
        match btf.resolve_name(member) {
            Ok(found) if found == name => return Ok(Some((member.bit_offset(), member.clone()))),
            Ok(found) if !found.is_empty() => {}
            _ => {
                let inner = target(btf, member, steps)?;
                if let Some((start, found)) = find(btf, &inner, name, steps)? {
                    let start = member.bit_offset().checked_add(start).context(TOO_FAR)?;
                    return Ok(Some((start, found)));
                }
            }
        }
    }
    Ok(None)
}

/// The type of a member, past qualifiers and typedefs.
fn target(btf: &Btf, member: &Member, steps: &mut u32) -> anyhow::Result<Type> {
    let mut ty = btf.resolve_type_by_id(member.get_type_id().context("a member has a type")?)?;
    loop {
        *steps += 1;
        if *steps > MAX_STEPS {
            bail!("its type goes in a circle");
        }
        let (Type::Const(_) | Type::Volatile(_) | Type::Typedef(_) | Type::TypeTag(_)) = ty else {
            return Ok(ty);
        };
        let inner = ty
            .as_btf_type()
            .and_then(|ty| ty.get_type_id())
            .context("a qualifier has a type")?;
        ty = btf.resolve_type_by_id(inner)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_in_a_circle_are_refused() {
        // 1 is a typedef of itself, 2 `sock_common` with one member: anonymous and of its own type, or `skc_family` of
        // type 1.
        let names = b"\0sock_common\0skc_family\0";
        let circle = |member: [u32; 2]| {
            let mut types = Vec::new();
            for word in [0, 8 << 24, 1, 1, 4 << 24 | 1, 8, member[0], member[1], 0] {
                types.extend(word.to_ne_bytes());
            }
            let (length, names_length) = (types.len() as u32, names.len() as u32);
            let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
            bytes.extend([1, 0]); // version and flags
            for word in [24, 0, length, length, names_length] {
                bytes.extend(u32::to_ne_bytes(word));
            }
            bytes.extend(types);
            bytes.extend(names);
            let types = Btf::from_bytes(&bytes).unwrap();
            format!("{:#}", offsets(&types).unwrap_err())
        };
        for member in [[0, 2], [13, 1]] {
            let error = circle(member);
            assert!(error.contains("in a circle"), "{error}");
        }
    }

    #[test]
    fn a_tracepoint_is_there_or_is_not() {
        let description = std::fs::read(BTF_PATH).expect("the kernel describes its types");
        let asked = ["inet_sock_set_state", "inet_sock_set_no_state"];
        let types = Types::read(&description, std::iter::empty(), asked.into_iter());
        let types = types.expect("they can be read");
        assert!(types.has_tracepoint(asked[0]));
        assert!(!types.has_tracepoint(asked[1]));
    }
}
