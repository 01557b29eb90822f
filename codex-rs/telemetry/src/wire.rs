//! Writing protocol buffers: the few forms that OTLP's messages are made of.
//!
//! An own writer, since what is sent has a dozen messages and is never read back: the official
//! crates would bring a second runtime for metrics and spans, 0.5 MB, and queues that cannot be
//! bounded or asked what they lost.

/// A message being written.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<u8>);

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

impl Message {
    /// The bytes written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn tag(&mut self, field: u32, form: u32) {
        self.varint(u64::from(field << 3 | form));
    }

    /// An `int64`, `uint64`, `bool` or enum; also where it is 0.
    pub(crate) fn number(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.varint(value);
    }

    /// A `fixed64` or `sfixed64`.
    pub(crate) fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A `fixed32`.
    pub(crate) fn fixed32(&mut self, field: u32, value: u32) {
        self.tag(field, FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A `double`.
    pub(crate) fn double(&mut self, field: u32, value: f64) {
        self.fixed64(field, value.to_bits());
    }

    /// A `string` or `bytes`.
    pub(crate) fn bytes(&mut self, field: u32, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.tag(field, BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A message inside this one.
    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, inner.0);
    }

    /// A packed list of eight-byte values.
    pub(crate) fn packed64(&mut self, field: u32, values: impl ExactSizeIterator<Item = u64>) {
        self.tag(field, BYTES);
        self.varint(values.len() as u64 * 8);
        for value in values {
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// Reads the fields of an answer: number and value, of which only the forms of a partial success
/// are told. Anything malformed ends it.
pub(crate) fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while let Some(tag) = read_varint(&mut bytes) {
        let value = match u32::try_from(tag & 7) {
            Ok(VARINT) => read_varint(&mut bytes).map(Field::Number),
            Ok(BYTES) => read_varint(&mut bytes).and_then(|length| {
                let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
                bytes = rest;
                Some(Field::Bytes(taken))
            }),
            _ => None,
        };
        let Some(value) = value else { break };
        fields.push((tag >> 3, value));
    }
    fields
}

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    /// A varint.
    Number(u64),
    /// Bytes, text or a message.
    Bytes(&'a [u8]),
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_specification() {
        // protobuf.dev/programming-guides/encoding: 150 in field 1, "testing" in field 2.
        let mut message = Message::default();
        message.number(1, 150);
        message.bytes(2, "testing");
        assert_eq!(
            message.into_bytes(),
            [&[0x08, 0x96, 0x01, 0x12, 0x07][..], b"testing"].concat()
        );
    }

    #[test]
    fn broken_answers_end_the_reading() {
        let mut message = Message::default();
        message.message(1, |inner| {
            inner.number(1, 3);
            inner.bytes(2, "why");
        });
        let bytes = message.into_bytes();
        let Some((1, Field::Bytes(inner))) = fields(&bytes).first().copied() else {
            panic!("{bytes:?}");
        };
        assert_eq!(
            fields(inner),
            [(1, Field::Number(3)), (2, Field::Bytes(b"why"))]
        );
        for end in 0..bytes.len() {
            assert!(fields(&bytes[..end]).is_empty());
        }
        assert!(fields(&[0xff; 64]).is_empty());
        assert!(fields(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).is_empty());
    }
}
