//! Paths and abstract names as addresses.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;

/// The address of a path, or of an abstract name if it begins with a NUL byte.
pub(super) fn of_path(path: &Path) -> io::Result<SocketAddr> {
    match path.as_os_str().as_bytes() {
        [0, name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(path),
    }
}

/// For texts.
pub(super) fn name(address: &SocketAddr) -> String {
    if let Some(path) = address.as_pathname() {
        return path.display().to_string();
    }
    match address.as_abstract_name() {
        Some(name) => format!("abstract name \"{}\"", name.escape_ascii()),
        None => "no name".to_owned(),
    }
}

/// The error of `verb`, with the address named.
pub(super) fn naming(verb: &str, address: &SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {verb} {}: {error}", name(address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_abstract_names_are_told_apart_and_what_cannot_be_is_refused() {
        let path = of_path(Path::new("/run/x.sock")).expect("a path");
        assert_eq!(path.as_pathname(), Some(Path::new("/run/x.sock")));
        assert_eq!(name(&path), "/run/x.sock");
        let hidden = of_path(Path::new("\0x\0y")).expect("a name");
        assert_eq!(hidden.as_abstract_name(), Some(b"x\0y".as_slice()));
        assert_eq!(name(&hidden), "abstract name \"x\\x00y\"");
        let longest = "a".repeat(107);
        of_path(Path::new(&longest)).expect("it fits");
        of_path(Path::new(&format!("\0{longest}"))).expect("it fits");
        for wrong in ["a\0b".to_owned(), "a".repeat(108), format!("\0{}", "a".repeat(108))] {
            let error = of_path(Path::new(&wrong)).expect_err("no such address");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
    }
}
