//! How paths are written for another process to read: as text, or where they are not UTF-8 as serde
//! writes operating system strings, so that every byte is kept.

/// One path.
pub mod path {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes it.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => text.serialize(to),
            None => path.as_os_str().serialize(to),
        }
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Native(OsString),
    }

    /// Reads it.
    ///
    /// # Errors
    /// When what is read is no path.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Ok(match Either::deserialize(from)? {
            Either::Text(text) => text.into(),
            Either::Native(native) => native.into(),
        })
    }
}

/// A path that may be missing.
pub mod optional_path {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::One;

    /// Writes it.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
        path.clone().map(One).serialize(to)
    }

    /// Reads it.
    ///
    /// # Errors
    /// When what is read is no path.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<One>::deserialize(from)?.map(|One(path)| path))
    }
}

/// Several paths.
pub mod paths {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::One;

    /// Writes it.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(paths.iter().cloned().map(One))
    }

    /// Reads it.
    ///
    /// # Errors
    /// When what is read is no path.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
        let paths = Vec::<One>::deserialize(from)?;
        Ok(paths.into_iter().map(|One(path)| path).collect())
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct One(#[serde(with = "path")] std::path::PathBuf);
