//! The little of the ELF format that tells whether a binary is static and stripped.
//!
//! Numbers are from the System V ABI (gabi), chapters 4 and 5. Only little-endian 64-bit files,
//! which is what the supported hosts make.

/// `p_type` of the segment that names the dynamic loader.
const PT_INTERP: u32 = 3;
/// `sh_type` of the symbol table that `strip` removes.
const SHT_SYMTAB: u32 = 2;

/// What the headers of a binary say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Headers {
    /// The kernel must start a dynamic loader for it.
    pub(crate) has_interpreter: bool,
    /// It carries a table of its own symbols.
    pub(crate) has_symbols: bool,
}

/// Reads the headers of `file`; an error says what is not as it should be.
pub(crate) fn headers(file: &[u8]) -> Result<Headers, &'static str> {
    if file.get(..4) != Some(b"\x7fELF") {
        return Err("not an ELF file");
    }
    if file.get(4..6) != Some(&[2, 1]) {
        return Err("not a 64-bit little-endian ELF file");
    }
    // e_phoff, e_phentsize, e_phnum; then the same of the sections.
    let segments = entry_types(file, 32, 54, 56, 0)?;
    let sections = entry_types(file, 40, 58, 60, 4)?;
    if segments.is_empty() {
        return Err("no program headers");
    }
    Ok(Headers {
        has_interpreter: segments.contains(&PT_INTERP),
        has_symbols: sections.contains(&SHT_SYMTAB),
    })
}

/// The type field, `within` bytes into each entry of a header table.
fn entry_types(
    file: &[u8],
    offset_at: usize,
    size_at: usize,
    count_at: usize,
    within: usize,
) -> Result<Vec<u32>, &'static str> {
    const CUT: &str = "its header tables are cut short";
    let offset: [u8; 8] = field(file, offset_at).ok_or(CUT)?;
    let size: [u8; 2] = field(file, size_at).ok_or(CUT)?;
    let count: [u8; 2] = field(file, count_at).ok_or(CUT)?;
    let offset = usize::try_from(u64::from_le_bytes(offset)).map_err(|_| CUT)?;
    let size = usize::from(u16::from_le_bytes(size));
    (0..usize::from(u16::from_le_bytes(count)))
        .map(|index| {
            let at = offset.checked_add(index * size + within)?;
            field(file, at).map(u32::from_le_bytes)
        })
        .collect::<Option<_>>()
        .ok_or(CUT)
}

fn field<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with one table of each kind, entries of these types.
    fn file(segments: &[u32], sections: &[u32]) -> Vec<u8> {
        let mut file = vec![0_u8; 64];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF\x02\x01");
        put(32, &64_u64.to_le_bytes());
        put(54, &56_u16.to_le_bytes());
        put(56, &(segments.len() as u16).to_le_bytes());
        put(40, &(64 + 56 * segments.len() as u64).to_le_bytes());
        put(58, &64_u16.to_le_bytes());
        put(60, &(sections.len() as u16).to_le_bytes());
        for kind in segments {
            file.extend(kind.to_le_bytes());
            file.resize(file.len() + 52, 0);
        }
        for kind in sections {
            file.extend([0; 4]);
            file.extend(kind.to_le_bytes());
            file.resize(file.len() + 56, 0);
        }
        file
    }

    #[test]
    fn an_interpreter_and_symbols_are_found() {
        let read = |segments, sections| headers(&file(segments, sections)).unwrap();
        let dynamic = read(&[6, PT_INTERP, 1], &[0, 1, SHT_SYMTAB]);
        assert_eq!(
            dynamic,
            Headers {
                has_interpreter: true,
                has_symbols: true
            }
        );
        let fixed = read(&[6, 1, 2], &[0, 1, 3, 11]);
        assert_eq!(
            fixed,
            Headers {
                has_interpreter: false,
                has_symbols: false
            }
        );
    }

    #[test]
    fn broken_files_are_refused() {
        let whole = file(&[1, PT_INTERP], &[SHT_SYMTAB]);
        for length in 0..whole.len() - 56 {
            assert!(headers(&whole[..length]).is_err(), "{length}");
        }
        assert!(headers(b"#!/bin/sh").is_err());
        assert_eq!(headers(&file(&[], &[])), Err("no program headers"));
        let mut far = whole;
        far[32..40].fill(0xFF);
        assert!(headers(&far).is_err());
    }
}
