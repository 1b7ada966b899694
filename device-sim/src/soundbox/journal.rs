//! The journal: what a box must remember through a power cut, which is the notifications that it has accepted, begun and
//! ended, and the results of commands.
//!
//! A file of JSON lines, appended **before** the box acts on them: before it confirms a message to the broker, and before
//! it begins to speak. With [`Durability::Synced`] they are also flushed to disk before that; only so they survive a power
//! cut. After a restart, a sentence that had begun is reported as interrupted and never repeated; a notification that was
//! accepted and not begun is still announced. The file is rewritten by atomic replacement now and then; only its last line
//! can ever be torn.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use certs::durable_file;
use serde::{Deserialize, Serialize};
use wire::message::{AckStatus, CommandAckStatus, PaymentSuccess};
use wire::{CommandId, EventId};

/// How many ended notifications are remembered.
pub const EVENTS_MAX: usize = 256;

/// How many ended commands are remembered.
const COMMANDS_MAX: usize = 64;

/// The file is rewritten after this many lines.
const LINES_MAX: usize = 2048;

const FILE_NAME: &str = "journal.jsonl";

/// Whether a line is flushed to disk before the box acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Flushed: survives a power cut, as on a real box.
    Synced,
    /// Written to the kernel: survives the end of the process. For fleets, which share the server's disk.
    Buffered,
}

/// The end of a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Played, failed or stale.
    pub status: AckStatus,
    /// Why it was not played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub played_at: Option<String>,
}

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOutcome {
    /// Its status.
    pub status: CommandAckStatus,
    /// The reason of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its result, so that a repeated command gets the same answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
}

/// The progress of a notification.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// Accepted, and its sentence not begun.
    Accepted(Box<PaymentSuccess>),
    /// Its sentence was begun.
    Speaking,
    /// It has ended.
    Done(Outcome),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Entry {
    Accepted {
        payment: Box<PaymentSuccess>,
    },
    Speaking {
        event_id: EventId,
    },
    Done {
        event_id: EventId,
        outcome: Outcome,
    },
    Command {
        command_id: CommandId,
        outcome: CommandOutcome,
    },
}

/// The journal of one box.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    lines: usize,
    durability: Durability,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    events: HashMap<EventId, Progress>,
    /// Known and not ended, in order of arrival.
    open: Vec<EventId>,
    /// Ended, oldest first.
    done: VecDeque<EventId>,
    commands: HashMap<CommandId, CommandOutcome>,
    commands_done: VecDeque<CommandId>,
}

impl State {
    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Accepted { payment } => {
                let event_id = payment.event_id;
                if !self.events.contains_key(&event_id) {
                    self.open.push(event_id);
                }
                self.events.insert(event_id, Progress::Accepted(payment));
            }
            Entry::Speaking { event_id } => {
                if !self.events.contains_key(&event_id) {
                    self.open.push(event_id);
                }
                self.events.insert(event_id, Progress::Speaking);
            }
            Entry::Done { event_id, outcome } => {
                self.open.retain(|open| *open != event_id);
                if !matches!(
                    self.events.insert(event_id, Progress::Done(outcome)),
                    Some(Progress::Done(_))
                ) {
                    self.done.push_back(event_id);
                }
                while self.done.len() > EVENTS_MAX {
                    if let Some(oldest) = self.done.pop_front() {
                        self.events.remove(&oldest);
                    }
                }
            }
            Entry::Command {
                command_id,
                outcome,
            } => {
                if self.commands.insert(command_id, outcome).is_none() {
                    self.commands_done.push_back(command_id);
                }
                while self.commands_done.len() > COMMANDS_MAX {
                    if let Some(oldest) = self.commands_done.pop_front() {
                        self.commands.remove(&oldest);
                    }
                }
            }
        }
    }

    /// The entries that lead to this state.
    fn entries(&self) -> Vec<Entry> {
        let done = self
            .done
            .iter()
            .filter_map(|event_id| match self.events.get(event_id)? {
                Progress::Done(outcome) => Some(Entry::Done {
                    event_id: *event_id,
                    outcome: outcome.clone(),
                }),
                _ => None,
            });
        let open = self
            .open
            .iter()
            .filter_map(|event_id| match self.events.get(event_id)? {
                Progress::Accepted(payment) => Some(Entry::Accepted {
                    payment: payment.clone(),
                }),
                Progress::Speaking => Some(Entry::Speaking {
                    event_id: *event_id,
                }),
                Progress::Done(_) => None,
            });
        let commands = self.commands_done.iter().filter_map(|command_id| {
            let outcome = self.commands.get(command_id)?.clone();
            Some(Entry::Command {
                command_id: *command_id,
                outcome,
            })
        });
        done.chain(open).chain(commands).collect()
    }
}

impl Journal {
    /// Opens the journal in `dir`, or creates one.
    ///
    /// # Errors
    /// A directory that cannot be read or written; a damaged line that is not the last.
    pub fn open(dir: &Path, durability: Durability) -> io::Result<Self> {
        let path = dir.join(FILE_NAME);
        let mut state = State::default();
        match File::open(&path) {
            Ok(file) => {
                let lines: Vec<Vec<u8>> = BufReader::new(file)
                    .split(b'\n')
                    .collect::<io::Result<_>>()?;
                let count = lines.len();
                for (index, bytes) in lines.into_iter().enumerate() {
                    match serde_json::from_slice(&bytes) {
                        Ok(entry) => state.apply(entry),
                        // A torn line was never acted on, or is the end of a sentence, which need not be flushed: that
                        // sentence then counts as interrupted.
                        Err(_) if index + 1 == count => {}
                        Err(error) => {
                            let problem =
                                format!("{}: line {}: {error}", path.display(), index + 1);
                            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
                        }
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let (file, lines) = rewrite(&path, &state, durability)?;
        Ok(Self {
            path,
            file,
            lines,
            durability,
            state,
        })
    }

    /// The progress of a notification, if it is remembered.
    pub fn progress(&self, event_id: EventId) -> Option<&Progress> {
        self.state.events.get(&event_id)
    }

    /// The notifications that are known and not ended, in order of arrival.
    pub fn open_events(&self) -> impl Iterator<Item = (EventId, &Progress)> {
        self.state
            .open
            .iter()
            .filter_map(|event_id| Some((*event_id, self.state.events.get(event_id)?)))
    }

    /// The last `count` notifications that ended, oldest first.
    pub fn ended_last(&self, count: usize) -> impl Iterator<Item = (EventId, &Outcome)> {
        let skipped = self.state.done.len().saturating_sub(count);
        self.state.done.iter().skip(skipped).filter_map(|event_id| {
            match self.state.events.get(event_id)? {
                Progress::Done(outcome) => Some((*event_id, outcome)),
                _ => None,
            }
        })
    }

    /// How many ended notifications are remembered.
    pub fn remembered(&self) -> usize {
        self.state.done.len()
    }

    /// The result of a command, if it is remembered.
    pub fn command(&self, command_id: CommandId) -> Option<&CommandOutcome> {
        self.state.commands.get(&command_id)
    }

    /// Records a notification that is to be spoken later.
    ///
    /// # Errors
    /// A file that cannot be written; the box must not confirm the notification then.
    pub fn accepted(&mut self, payment: &PaymentSuccess) -> io::Result<()> {
        self.record(
            Entry::Accepted {
                payment: Box::new(payment.clone()),
            },
            self.durability,
        )
    }

    /// Records that a notification is about to be spoken.
    ///
    /// # Errors
    /// A file that cannot be written; the box must not speak then.
    pub fn speaking(&mut self, event_id: EventId) -> io::Result<()> {
        self.record(Entry::Speaking { event_id }, self.durability)
    }

    /// Records how a notification ended.
    pub fn done(&mut self, event_id: EventId, outcome: Outcome) -> io::Result<()> {
        // The end of a sentence that was begun need not be flushed: without this line a restart reports it as
        // interrupted, which the platform ranks below an earlier `played`. For a notification that was never begun this
        // line is the only record of its end.
        let begun = matches!(self.progress(event_id), Some(Progress::Speaking));
        let durability = if begun {
            Durability::Buffered
        } else {
            self.durability
        };
        self.record(Entry::Done { event_id, outcome }, durability)
    }

    /// Records the result of a command.
    pub fn command_done(
        &mut self,
        command_id: CommandId,
        outcome: CommandOutcome,
    ) -> io::Result<()> {
        self.record(
            Entry::Command {
                command_id,
                outcome,
            },
            self.durability,
        )
    }

    fn record(&mut self, entry: Entry, durability: Durability) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(&entry).map_err(io::Error::other)?;
        bytes.push(b'\n');
        self.file.write_all(&bytes)?;
        if durability == Durability::Synced {
            self.file.sync_data()?;
        }
        self.lines += 1;
        self.state.apply(entry);
        if self.lines > LINES_MAX {
            (self.file, self.lines) = rewrite(&self.path, &self.state, self.durability)?;
        }
        Ok(())
    }
}

/// Replaces the file by one with only the present state, and opens it for appending.
fn rewrite(path: &Path, state: &State, durability: Durability) -> io::Result<(File, usize)> {
    let mut bytes = Vec::new();
    let entries = state.entries();
    for entry in &entries {
        serde_json::to_writer(&mut bytes, entry).map_err(io::Error::other)?;
        bytes.push(b'\n');
    }
    match durability {
        Durability::Synced => durable_file::replace(path, &bytes, 0o644)?,
        Durability::Buffered => {
            let temporary = path.with_extension("tmp");
            fs::write(&temporary, &bytes)?;
            fs::rename(&temporary, path)?;
        }
    }
    Ok((OpenOptions::new().append(true).open(path)?, entries.len()))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{event_id, payment};
    use super::*;

    fn played() -> Outcome {
        Outcome {
            status: AckStatus::Played,
            reason: None,
            played_at: Some("2026-05-24T10:00:00.000Z".to_owned()),
        }
    }

    #[test]
    fn everything_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), Durability::Synced).unwrap();
        journal.accepted(&payment(1)).unwrap();
        journal.accepted(&payment(2)).unwrap();
        journal.speaking(event_id(1)).unwrap();
        journal.done(event_id(1), played()).unwrap();
        journal.speaking(event_id(3)).unwrap();
        drop(journal);

        let journal = Journal::open(dir.path(), Durability::Synced).unwrap();
        assert_eq!(
            journal.progress(event_id(1)),
            Some(&Progress::Done(played()))
        );
        assert_eq!(
            journal.progress(event_id(2)),
            Some(&Progress::Accepted(Box::new(payment(2))))
        );
        assert_eq!(journal.progress(event_id(3)), Some(&Progress::Speaking));
        assert_eq!(
            journal.open_events().map(|(id, _)| id).collect::<Vec<_>>(),
            [event_id(2), event_id(3)]
        );
    }

    #[test]
    fn only_the_last_line_may_be_torn() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), Durability::Synced).unwrap();
        journal.speaking(event_id(1)).unwrap();
        drop(journal);
        let path = dir.path().join(FILE_NAME);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"line\":\"spea")).unwrap();
        let journal = Journal::open(dir.path(), Durability::Synced).unwrap();
        assert_eq!(journal.progress(event_id(1)), Some(&Progress::Speaking));
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            whole,
            "the torn line is gone"
        );

        fs::write(&path, format!("garbage\n{whole}")).unwrap();
        assert_eq!(
            Journal::open(dir.path(), Durability::Synced)
                .unwrap_err()
                .kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn a_power_cut_at_any_byte_costs_only_what_was_not_flushed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let mut journal = Journal::open(dir.path(), Durability::Synced).unwrap();
        // After each step the file is as long as this, and what it says stays.
        let mut lengths = Vec::new();
        for number in 0..3 {
            journal.accepted(&payment(number)).unwrap();
            lengths.push(fs::metadata(&path).unwrap().len());
            journal.speaking(event_id(number)).unwrap();
            lengths.push(fs::metadata(&path).unwrap().len());
            journal.done(event_id(number), played()).unwrap();
            lengths.push(fs::metadata(&path).unwrap().len());
        }
        drop(journal);
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            // Nothing behind the cut, or what a file system shows of blocks that it never wrote.
            for zeros in [0, 100] {
                let mut left = whole[..cut].to_vec();
                left.resize(cut + zeros, 0);
                fs::write(&path, &left).unwrap();
                // What an interrupted replacement leaves.
                fs::write(path.with_extension("tmp"), &whole[..cut / 2]).unwrap();
                let journal = Journal::open(dir.path(), Durability::Buffered).unwrap();
                let steps = lengths.iter().filter(|at| **at <= cut as u64).count();
                for number in 0..3_u8 {
                    let known = steps.saturating_sub(usize::from(number) * 3);
                    let progress = journal.progress(event_id(number.into()));
                    let is_right = match known {
                        // The last line may be whole without its end.
                        0 => matches!(progress, None | Some(Progress::Accepted(_))),
                        1 => matches!(progress, Some(Progress::Accepted(_) | Progress::Speaking)),
                        2 => matches!(progress, Some(Progress::Speaking | Progress::Done(_))),
                        _ => matches!(progress, Some(Progress::Done(_))),
                    };
                    assert!(
                        is_right,
                        "cut at {cut}, {zeros} zeros: {number} is {progress:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_last_256_ends_are_remembered_and_the_file_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), Durability::Buffered).unwrap();
        journal.accepted(&payment(1_000_000)).unwrap();
        for number in 0..2_000 {
            journal.speaking(event_id(number)).unwrap();
            journal.done(event_id(number), played()).unwrap();
        }
        for _ in 0..2 {
            assert_eq!(journal.progress(event_id(1_743)), None);
            assert_eq!(
                journal.progress(event_id(1_744)),
                Some(&Progress::Done(played()))
            );
            assert!(
                matches!(
                    journal.progress(event_id(1_000_000)),
                    Some(Progress::Accepted(_))
                ),
                "open ones stay"
            );
            let text = fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
            assert!(text.lines().count() <= LINES_MAX);
            drop(journal);
            journal = Journal::open(dir.path(), Durability::Buffered).unwrap();
        }
    }
}
