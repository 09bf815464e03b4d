//! A reader that knows its file, its place and gzip, and never allocates more than the file gives.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::error::DataError;

/// Sequential access to a file, decompressed if its content is gzip (whatever its name says).
pub(super) struct ByteReader<'a> {
    file: &'a Path,
    bytes: Box<dyn Read + 'a>,
    gzip: bool,
    len_on_disk: u64,
    offset: u64,
}

const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
const SKIP_CHUNK: u64 = 1 << 16;

impl<'a> ByteReader<'a> {
    pub(super) fn open(file: &'a Path) -> Result<Self, DataError> {
        let io_error = |source| DataError::Io { path: file.into(), source };
        let handle = File::open(file).map_err(io_error)?;
        let len = handle.metadata().map_err(io_error)?.len();
        Self::new(file, BufReader::with_capacity(1 << 16, handle), len)
    }

    /// Reads the content of a file already in memory; `file` is its name in errors.
    pub(super) fn from_slice(file: &'a Path, content: &'a [u8]) -> Result<Self, DataError> {
        Self::new(file, content, content.len() as u64)
    }

    fn new(
        file: &'a Path,
        mut bytes: impl BufRead + 'a,
        len_on_disk: u64,
    ) -> Result<Self, DataError> {
        let start =
            bytes.fill_buf().map_err(|source| DataError::Io { path: file.into(), source })?;
        let gzip = start.starts_with(&GZIP_MAGIC);
        let bytes: Box<dyn Read + 'a> =
            if gzip { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) };
        Ok(Self { file, bytes, gzip, len_on_disk, offset: 0 })
    }

    pub(super) fn file(&self) -> &'a Path {
        self.file
    }

    /// The next four bytes, big endian.
    pub(super) fn read_u32(&mut self) -> Result<u32, DataError> {
        let bytes = self.read_vec(4)?;
        Ok(u32::from_be_bytes(bytes.try_into().expect("read_vec returns the length asked for")))
    }

    /// The next `len` bytes. Memory grows with what arrives, so that a header that claims too much
    /// costs nothing.
    pub(super) fn read_vec(&mut self, len: u64) -> Result<Vec<u8>, DataError> {
        let expected = self.offset.saturating_add(len);
        let mut bytes = Vec::new();
        if self.read_up_to(len, &mut bytes)? < len {
            return Err(self.truncated(expected));
        }
        bytes.shrink_to_fit();
        Ok(bytes)
    }

    /// Appends the next `len` bytes to `bytes`, fewer only at the end of the file, and counts them.
    pub(super) fn read_up_to(&mut self, len: u64, bytes: &mut Vec<u8>) -> Result<u64, DataError> {
        let out_of_memory = || DataError::OutOfMemory { path: self.file.into(), bytes: len };
        let justified = usize::try_from(len.min(self.len_on_disk)).map_err(|_| out_of_memory())?;
        bytes.try_reserve_exact(justified).map_err(|_| out_of_memory())?;
        let before = bytes.len();
        let outcome = (&mut self.bytes).take(len).read_to_end(bytes);
        let read = (bytes.len() - before) as u64;
        self.offset += read;
        match outcome {
            Ok(_) => Ok(read),
            Err(source) if source.kind() == io::ErrorKind::OutOfMemory => Err(out_of_memory()),
            Err(source) => Err(self.error(source)),
        }
    }

    /// Passes over the next `len` bytes, as `read_vec` without keeping them.
    pub(super) fn skip(&mut self, len: u64) -> Result<(), DataError> {
        let expected = self.offset.saturating_add(len);
        let mut chunk = Vec::new();
        while self.offset < expected {
            chunk.clear();
            let wanted = (expected - self.offset).min(SKIP_CHUNK);
            if self.read_up_to(wanted, &mut chunk)? < wanted {
                return Err(self.truncated(expected));
            }
        }
        Ok(())
    }

    /// The error of a file that ends here, but should have `expected` bytes.
    pub(super) fn truncated(&self, expected: u64) -> DataError {
        DataError::Truncated { file: self.file.into(), end: self.offset, expected }
    }

    /// Refuses a file that goes on.
    pub(super) fn expect_end(&mut self) -> Result<(), DataError> {
        let expected = self.offset;
        if self.read_up_to(1, &mut Vec::new())? > 0 {
            return Err(DataError::TrailingBytes { file: self.file.into(), expected });
        }
        Ok(())
    }

    fn error(&self, source: io::Error) -> DataError {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        if self.gzip && matches!(source.kind(), InvalidData | InvalidInput | UnexpectedEof) {
            DataError::CorruptGzip { file: self.file.into(), offset: self.offset, source }
        } else {
            DataError::Io { path: self.file.into(), source }
        }
    }
}
