//! Values to bytes and back: a byte that tells the format, then MessagePack with field names.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The format: MessagePack, structs as maps.
const NAMED_MESSAGE_PACK: u8 = 1;

pub(crate) fn encode<T: Serialize>(what: &str, value: &T) -> Result<Vec<u8>> {
    let mut bytes = vec![NAMED_MESSAGE_PACK];
    rmp_serde::encode::write_named(&mut bytes, value)
        .map_err(|error| Error::Format(format!("cannot store {what}: {error}")))?;
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    let wrong = |why: String| Error::Format(format!("cannot read {what} back: {why}"));
    let mut rest = match bytes.split_first() {
        Some((&NAMED_MESSAGE_PACK, rest)) => rest,
        Some((format, _)) => {
            return Err(wrong(format!(
                "format {format} is not known to this version (a newer one may have written it, \
                 or this is not a log of Raft entries)"
            )));
        }
        None => return Err(wrong("it is empty".to_owned())),
    };
    let value = T::deserialize(&mut rmp_serde::Deserializer::new(&mut rest))
        .map_err(|error| wrong(error.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(wrong(format!("{} bytes follow it", rest.len()))) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        a: u64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        #[serde(default)]
        b: BTreeMap<u64, Vec<u8>>,
        a: u64,
    }

    #[test]
    fn fields_can_be_added() {
        let old = encode("it", &Old { a: 7 }).unwrap();
        assert_eq!(decode::<New>("it", &old).unwrap(), New { b: BTreeMap::new(), a: 7 });
        let new = New { b: BTreeMap::from([(3, vec![200, 1])]), a: 8 };
        let new_bytes = encode("it", &new).unwrap();
        assert_eq!(decode::<New>("it", &new_bytes).unwrap(), new);
        assert_eq!(decode::<Old>("it", &new_bytes).unwrap(), Old { a: 8 });
    }

    #[test]
    fn the_bytes_of_a_value_stay_as_they_are() {
        assert_eq!(encode("it", &Old { a: 7 }).unwrap(), b"\x01\x81\xa1a\x07");
    }

    #[test]
    fn bytes_that_are_no_value_are_an_error() {
        let whole = encode("it", &Old { a: 300 }).unwrap();
        for len in 0..whole.len() {
            assert!(decode::<Old>("it", &whole[..len]).is_err(), "{len} bytes of {}", whole.len());
        }
        let longer = [whole.as_slice(), b"x"].concat();
        let error = decode::<Old>("the vote", &longer).unwrap_err().to_string();
        assert_eq!(error, "cannot read the vote back: 1 bytes follow it");
        let other = [&[9], &whole[1..]].concat();
        assert!(decode::<Old>("it", &other).unwrap_err().to_string().contains("format 9"));
        // A length of 4 GiB that is not there takes no memory.
        for marker in [0xdb, 0xdd, 0xdf, 0xc6] {
            let hostile = [1, 0x81, 0xa1, b'b', marker, 0xff, 0xff, 0xff, 0xff];
            assert!(decode::<New>("it", &hostile).is_err());
        }
    }
}
