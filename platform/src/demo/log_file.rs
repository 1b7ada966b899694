//! The simulator's output goes directly to files and is read from there.
//!
//! A pipe would lose output around a kill −9 of this process. A file keeps it for the next run, which can then still
//! decide whether a payment was spoken twice.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A file that is longer than this at the start of a run is rotated and replaces the previously rotated one.
const LEN_MAX: u64 = 4 * 1024 * 1024;
/// The longest line that is read.
const LINE_LEN_MAX: usize = 64 * 1024;

/// A file of lines that another process appends to.
pub(super) struct LogFile {
    path: PathBuf,
    offset: u64,
    /// The beginning of a line that is not complete yet.
    partial: Vec<u8>,
}

impl LogFile {
    /// The file at `path`, and all complete lines of earlier runs.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub(super) fn open(path: PathBuf) -> anyhow::Result<(Self, Vec<Vec<u8>>)> {
        let attempt = || -> io::Result<(Self, Vec<Vec<u8>>)> {
            let rotated = path.with_extension("old.jsonl");
            if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LEN_MAX) {
                fs::rename(&path, &rotated)?;
            }
            let mut history = Vec::new();
            if rotated.exists() {
                history = Self::at(rotated).new_lines()?;
            }
            append(&path)?;
            let mut file = Self::at(path.clone());
            history.extend(file.new_lines()?);
            // A process that has ended never completes its last line.
            if !file.partial.is_empty() {
                io::Write::write_all(&mut append(&path)?, b"\n")?;
                file.offset += 1;
                file.partial.clear();
            }
            Ok((file, history))
        };
        attempt().with_context(|| format!("cannot use {}", path.display()))
    }

    fn at(path: PathBuf) -> Self {
        Self {
            path,
            offset: 0,
            partial: Vec::new(),
        }
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file, for a process to append to.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub(super) fn writer(&self) -> io::Result<File> {
        append(&self.path)
    }

    /// The complete lines that were written since the last call.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn new_lines(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut file = File::open(&self.path)?;
        if file.metadata()?.len() <= self.offset {
            return Ok(Vec::new());
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let read = file.read_to_end(&mut self.partial)?;
        self.offset += read as u64;
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            if self.partial.len() > LINE_LEN_MAX {
                self.partial.clear();
            }
            return Ok(Vec::new());
        };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        Ok(whole
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(<[u8]>::to_vec)
            .collect())
    }
}

/// Opens a file for appending, readable for its owner only.
///
/// # Errors
/// A file that cannot be opened.
pub(super) fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_are_read_complete_and_once_and_those_of_earlier_runs_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("box.jsonl");
        fs::write(&path, "one\ntwo\nhal").unwrap();
        let (mut file, history) = LogFile::open(path).unwrap();
        assert_eq!(history, [b"one".to_vec(), b"two".to_vec()]);
        let mut writer = file.writer().unwrap();
        writer.write_all(b"three\nfo").unwrap();
        assert_eq!(file.new_lines().unwrap(), [b"three".to_vec()]);
        assert!(file.new_lines().unwrap().is_empty());
        writer.write_all(b"ur\nfive\n").unwrap();
        assert_eq!(
            file.new_lines().unwrap(),
            [b"four".to_vec(), b"five".to_vec()]
        );
    }

    #[test]
    fn a_long_file_is_rotated_and_read_once_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("box.jsonl");
        let line = "x".repeat(1023) + "\n";
        fs::write(&path, line.repeat(4 * 1024 + 1)).unwrap();
        let (_, history) = LogFile::open(path.clone()).unwrap();
        assert_eq!(history.len(), 4 * 1024 + 1);
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        let (_, history) = LogFile::open(path).unwrap();
        assert_eq!(history.len(), 4 * 1024 + 1);
    }
}
