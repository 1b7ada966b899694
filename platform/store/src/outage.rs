//! Errors of a Postgres that cannot serve at the moment, as opposed to errors of a statement.

use std::fmt;

/// Why the database cannot serve at the moment. The same statement may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// The server cannot be reached, or the connection broke.
    Unreachable,
    /// The pool has no free connection, or the server allows no further one.
    OutOfConnections,
    /// Its disk is full.
    DiskFull,
    /// It lacks memory or another resource.
    OutOfResources,
    /// It takes no writes: a standby, or `default_transaction_read_only`.
    ReadOnly,
    /// It is starting, stopping, or ended the connection.
    ShuttingDown,
    /// Its storage fails.
    StorageFailure,
    /// Two transactions conflicted. The server itself works.
    Contention,
}

impl Outage {
    /// Classifies an error; `None` when the statement itself is wrong.
    pub fn of(error: &sqlx::Error) -> Option<Self> {
        match error {
            sqlx::Error::PoolTimedOut => Some(Self::OutOfConnections),
            sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_) => Some(Self::Unreachable),
            sqlx::Error::Database(error) => Self::of_sqlstate(&error.code()?),
            _ => None,
        }
    }

    /// By class where all of a class mean the same, by code elsewhere.
    fn of_sqlstate(code: &str) -> Option<Self> {
        match code {
            "53100" => Some(Self::DiskFull),
            "53300" => Some(Self::OutOfConnections),
            "25006" => Some(Self::ReadOnly),
            "40001" | "40P01" | "55P03" => Some(Self::Contention),
            _ => match code.get(..2)? {
                "08" => Some(Self::Unreachable),
                // The server is there and does not let us in: a password that was changed, a database that is renamed.
                "28" | "3D" => Some(Self::Unreachable),
                "53" => Some(Self::OutOfResources),
                "57" => Some(Self::ShuttingDown),
                "58" => Some(Self::StorageFailure),
                _ => None,
            },
        }
    }

    /// Whether it concerns the server rather than one transaction.
    pub fn is_of_the_server(self) -> bool {
        self != Self::Contention
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the database cannot be reached",
            Self::OutOfConnections => "the database has no free connection",
            Self::DiskFull => "the database's disk is full",
            Self::OutOfResources => "the database lacks memory or another resource",
            Self::ReadOnly => "the database is read-only",
            Self::ShuttingDown => "the database is starting or stopping",
            Self::StorageFailure => "the database's storage fails",
            Self::Contention => "the request collided with another one",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_cannot_serve_is_told_apart_from_a_wrong_statement() {
        for (code, expected) in [
            ("53100", Some(Outage::DiskFull)),
            ("53200", Some(Outage::OutOfResources)),
            ("53300", Some(Outage::OutOfConnections)),
            ("53400", Some(Outage::OutOfResources)),
            ("25006", Some(Outage::ReadOnly)),
            ("57014", Some(Outage::ShuttingDown)),
            ("57P01", Some(Outage::ShuttingDown)),
            ("57P02", Some(Outage::ShuttingDown)),
            ("57P03", Some(Outage::ShuttingDown)),
            ("58000", Some(Outage::StorageFailure)),
            ("58030", Some(Outage::StorageFailure)),
            ("58P01", Some(Outage::StorageFailure)),
            ("08006", Some(Outage::Unreachable)),
            ("08P01", Some(Outage::Unreachable)),
            ("28P01", Some(Outage::Unreachable)),
            ("3D000", Some(Outage::Unreachable)),
            ("40P01", Some(Outage::Contention)),
            ("40001", Some(Outage::Contention)),
            ("23505", None),
            ("42601", None),
            ("22003", None),
            ("25P02", None),
            ("XX000", None),
            ("", None),
        ] {
            assert_eq!(Outage::of_sqlstate(code), expected, "{code}");
        }
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(
            Outage::of(&sqlx::Error::Io(reset)),
            Some(Outage::Unreachable)
        );
        assert_eq!(
            Outage::of(&sqlx::Error::PoolTimedOut),
            Some(Outage::OutOfConnections)
        );
        assert_eq!(Outage::of(&sqlx::Error::ColumnNotFound("x".into())), None);
    }
}
