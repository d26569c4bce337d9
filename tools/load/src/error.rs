//! What goes wrong in a run, told to the person who started it.

/// Why a run came to no result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The network, a file or a process failed.
    #[error("{0}: {1}")]
    Io(&'static str, std::io::Error),
    /// The broker broke the protocol's form.
    #[error("the broker sent something malformed: {0}")]
    Malformed(#[from] barnacle_wire::ParseError),
    /// A CONNACK with a reason other than success.
    #[error("the broker refused the connection with {0:#04x}")]
    Refused(u8),
    /// The broker ended a connection that was still needed.
    #[error("the broker closed the connection of {0}")]
    Closed(String),
    /// The broker broke the protocol's rules, or a promise.
    #[error("unexpected: {0}")]
    Unexpected(String),
    /// Nothing came for so many seconds.
    #[error("nothing came for {0} s; {1}")]
    Silence(u64, String),
    /// The options do not go together, or not with this broker.
    #[error("{0}")]
    Senseless(String),
    /// A profile cannot be used.
    #[error(transparent)]
    Profile(#[from] barnacle_brokers::ProfileError),
    /// A broker does not start or does not end.
    #[error("{0}")]
    Broker(String),
    /// A chart cannot be drawn.
    #[error("drawing a chart: {0}")]
    Chart(String),
    /// The options cannot be read; the text is for the person who typed them.
    #[error("{0}")]
    Options(#[from] clap::Error),
    /// RocksDB failed.
    #[cfg(feature = "rocksdb")]
    #[error("RocksDB: {0}")]
    Store(#[from] rocksdb::Error),
}

/// Names what was being done when an input/output error came.
pub(crate) trait During<T> {
    fn during(self, what: &'static str) -> Result<T, LoadError>;
}

impl<T> During<T> for Result<T, std::io::Error> {
    fn during(self, what: &'static str) -> Result<T, LoadError> {
        self.map_err(|error| LoadError::Io(what, error))
    }
}

impl From<tokio::task::JoinError> for LoadError {
    fn from(error: tokio::task::JoinError) -> LoadError {
        LoadError::Unexpected(error.to_string())
    }
}
