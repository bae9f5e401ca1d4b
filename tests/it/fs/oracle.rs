//! The same random operations on std's files and on ours, in two directories: trees, contents and kinds of errors are
//! the same after each step.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use annulus::fs;

use crate::support::files::Folder;
use crate::support::settled::{content, rounds, run};

/// A small generator: the seed is in the failure's text.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }

    /// One of few names, so that operations meet.
    fn name(&mut self) -> PathBuf {
        const NAMES: [&str; 6] = ["a", "b", "c", "a/b", "b/a", "a/b/c"];
        let name = NAMES[self.below(6) as usize];
        match self.below(20) {
            0 => Path::new("none").join(name),
            1 => Path::new(".").join(name),
            2 => Path::new(name).join(".."),
            _ => name.into(),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Read(PathBuf),
    Write(PathBuf, usize),
    Copy(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    RemoveFile(PathBuf),
    RemoveDir(PathBuf),
    RemoveDirAll(PathBuf),
    CreateDir(PathBuf),
    CreateDirAll(PathBuf),
    BuildDir(PathBuf, bool, u32),
    HardLink(PathBuf, PathBuf),
    Symlink(PathBuf, PathBuf),
    ReadLink(PathBuf),
    Canonicalize(PathBuf),
    Metadata(PathBuf),
    SymlinkMetadata(PathBuf),
    Exists(PathBuf),
    SetPermissions(PathBuf, u32),
    /// The link itself, if so.
    Chown(PathBuf, bool, Option<u32>, Option<u32>),
    ReadDir(PathBuf),
    /// Open with these options and write, set the length or read at an offset.
    Use {
        path: PathBuf,
        options: u64,
        mode: u32,
        offset: u64,
        len: usize,
    },
}

fn step(random: &mut Random) -> Step {
    let (one, two) = (random.name(), random.name());
    match random.below(28) {
        0..2 => Step::Read(one),
        2..5 => Step::Write(one, random.below(40_000) as usize),
        5 => Step::Copy(one, two),
        6 => Step::Rename(one, two),
        7 => Step::RemoveFile(one),
        8 => Step::RemoveDir(one),
        9 => Step::RemoveDirAll(one),
        10..12 => Step::CreateDir(one),
        12 => Step::CreateDirAll(one),
        13 => Step::HardLink(one, two),
        14 => Step::Symlink(one, two),
        15 => Step::ReadLink(one),
        16 => Step::Canonicalize(one),
        17 => Step::Metadata(one),
        18 => Step::SymlinkMetadata(one),
        19 => Step::Exists(one),
        20 => Step::SetPermissions(one, [0o777, 0o755, 0o700][random.below(3) as usize]),
        21 => Step::ReadDir(one),
        22 => Step::BuildDir(one, is(random.below(2), 0), [0o777, 0o750][random.below(2) as usize]),
        23..25 => {
            let mut id = || [None, Some(0), Some(1000)][random.below(3) as usize];
            let (uid, gid) = (id(), id());
            Step::Chown(one, is(random.below(2), 0), uid, gid)
        }
        _ => Step::Use {
            path: one,
            options: random.below(64),
            mode: [0o666, 0o700][random.below(2) as usize],
            offset: random.below(10_000),
            len: random.below(5000) as usize,
        },
    }
}

/// What a step gave, so that it can be compared.
type Outcome = Result<String, io::ErrorKind>;

fn kind<T>(result: io::Result<T>, show: impl FnOnce(T) -> String) -> Outcome {
    result.map(show).map_err(|error| error.kind())
}

fn bytes(bytes: Vec<u8>) -> String {
    let sum = bytes.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
    format!("{} bytes, {sum}", bytes.len())
}

/// What both kinds of metadata say and the two directories share.
fn stat(is_dir: bool, is_file: bool, is_symlink: bool, mode: u32, len: u64) -> String {
    let len = if is_dir { 0 } else { len };
    format!("{is_dir} {is_file} {is_symlink} {mode:o} {len}")
}

/// As [`stat`], of what we found.
fn shown(found: fs::Metadata) -> String {
    let mode = found.permissions().mode();
    stat(found.is_dir(), found.is_file(), found.is_symlink(), mode, found.len())
}

/// A path as it is seen from the root of its tree.
fn relative(root: &Path, path: PathBuf) -> String {
    let root = root.canonicalize().expect("it is there");
    path.strip_prefix(root).unwrap_or(Path::new("outside")).display().to_string()
}

fn with_std(root: &Path, step: &Step) -> Outcome {
    let at = |path: &PathBuf| root.join(path);
    let done = |()| String::new();
    let theirs = |found: std::fs::Metadata| {
        let mode = found.permissions().mode();
        stat(found.is_dir(), found.is_file(), found.is_symlink(), mode, found.len())
    };
    match step {
        Step::Read(path) => kind(std::fs::read(at(path)), bytes),
        Step::Write(path, len) => kind(std::fs::write(at(path), content(1, 0, *len)), done),
        Step::Copy(from, to) => kind(std::fs::copy(at(from), at(to)), |len| len.to_string()),
        Step::Rename(from, to) => kind(std::fs::rename(at(from), at(to)), done),
        Step::RemoveFile(path) => kind(std::fs::remove_file(at(path)), done),
        Step::RemoveDir(path) => kind(std::fs::remove_dir(at(path)), done),
        Step::RemoveDirAll(path) => kind(std::fs::remove_dir_all(at(path)), done),
        Step::CreateDir(path) => kind(std::fs::create_dir(at(path)), done),
        Step::CreateDirAll(path) => kind(std::fs::create_dir_all(at(path)), done),
        Step::BuildDir(path, recursive, mode) => {
            let mut builder = std::fs::DirBuilder::new();
            kind(builder.recursive(*recursive).mode(*mode).create(at(path)), done)
        }
        Step::HardLink(from, to) => kind(std::fs::hard_link(at(from), at(to)), done),
        Step::Symlink(target, link) => kind(std::os::unix::fs::symlink(target, at(link)), done),
        Step::ReadLink(path) => {
            kind(std::fs::read_link(at(path)), |path| path.display().to_string())
        }
        Step::Canonicalize(path) => {
            kind(std::fs::canonicalize(at(path)), |path| relative(root, path))
        }
        Step::Metadata(path) => kind(std::fs::metadata(at(path)), theirs),
        Step::SymlinkMetadata(path) => kind(std::fs::symlink_metadata(at(path)), theirs),
        Step::Exists(path) => kind(std::fs::exists(at(path)), |exists| exists.to_string()),
        Step::SetPermissions(path, mode) => {
            kind(std::fs::set_permissions(at(path), Permissions::from_mode(*mode)), done)
        }
        Step::Chown(path, true, uid, gid) => {
            kind(std::os::unix::fs::lchown(at(path), *uid, *gid), done)
        }
        Step::Chown(path, false, uid, gid) => {
            kind(std::os::unix::fs::chown(at(path), *uid, *gid), done)
        }
        Step::ReadDir(path) => kind(list_std(&at(path)), |names| names.join(" ")),
        Step::Use { path, options, mode, offset, len } => {
            kind(use_std(&at(path), *options, *mode, *offset, *len), bytes)
        }
    }
}

async fn with_ours(root: &Path, step: &Step) -> Outcome {
    let at = |path: &PathBuf| root.join(path);
    let done = |()| String::new();
    match step {
        Step::Read(path) => kind(fs::read(at(path)).await, bytes),
        Step::Write(path, len) => kind(fs::write(at(path), content(1, 0, *len)).await, done),
        Step::Copy(from, to) => kind(fs::copy(at(from), at(to)).await, |len| len.to_string()),
        Step::Rename(from, to) => kind(fs::rename(at(from), at(to)).await, done),
        Step::RemoveFile(path) => kind(fs::remove_file(at(path)).await, done),
        Step::RemoveDir(path) => kind(fs::remove_dir(at(path)).await, done),
        Step::RemoveDirAll(path) => kind(fs::remove_dir_all(at(path)).await, done),
        Step::CreateDir(path) => kind(fs::create_dir(at(path)).await, done),
        Step::CreateDirAll(path) => kind(fs::create_dir_all(at(path)).await, done),
        Step::BuildDir(path, recursive, mode) => {
            let mut builder = fs::DirBuilder::new();
            kind(builder.recursive(*recursive).mode(*mode).create(at(path)).await, done)
        }
        Step::HardLink(from, to) => kind(fs::hard_link(at(from), at(to)).await, done),
        Step::Symlink(target, link) => kind(fs::symlink(target, at(link)).await, done),
        Step::ReadLink(path) => {
            kind(fs::read_link(at(path)).await, |path| path.display().to_string())
        }
        Step::Canonicalize(path) => {
            kind(fs::canonicalize(at(path)).await, |path| relative(root, path))
        }
        Step::Metadata(path) => kind(fs::metadata(at(path)).await, shown),
        Step::SymlinkMetadata(path) => kind(fs::symlink_metadata(at(path)).await, shown),
        Step::Exists(path) => kind(fs::exists(at(path)).await, |exists| exists.to_string()),
        Step::SetPermissions(path, mode) => {
            kind(fs::set_permissions(at(path), Permissions::from_mode(*mode)).await, done)
        }
        Step::Chown(path, true, uid, gid) => kind(fs::lchown(at(path), *uid, *gid).await, done),
        Step::Chown(path, false, uid, gid) => kind(fs::chown(at(path), *uid, *gid).await, done),
        Step::ReadDir(path) => kind(list_ours(&at(path)).await, |names| names.join(" ")),
        Step::Use { path, options, mode, offset, len } => {
            kind(use_ours(&at(path), *options, *mode, *offset, *len).await, bytes)
        }
    }
}

/// What a directory that is kept open has of it; `None` if nothing.
async fn with_dir(dir: &fs::Dir, step: &Step) -> Option<Outcome> {
    let done = |()| String::new();
    Some(match step {
        Step::Rename(from, to) => kind(dir.rename(from, dir, to).await, done),
        Step::RemoveFile(path) => kind(dir.remove_file(path).await, done),
        Step::RemoveDir(path) => kind(dir.remove_dir(path).await, done),
        Step::CreateDir(path) => kind(dir.create_dir(path).await, done),
        Step::CreateDirAll(path) => kind(dir.create_dir_all(path).await, done),
        Step::BuildDir(path, recursive, mode) => {
            let mut builder = fs::DirBuilder::new();
            let builder = builder.recursive(*recursive).mode(*mode);
            kind(dir.create_dir_with(builder, path).await, done)
        }
        Step::HardLink(from, to) => kind(dir.hard_link(from, dir, to).await, done),
        Step::Symlink(target, link) => kind(dir.symlink(target, link).await, done),
        Step::ReadLink(path) => kind(dir.read_link(path).await, |path| path.display().to_string()),
        Step::Metadata(path) => kind(dir.metadata(path).await, shown),
        Step::SymlinkMetadata(path) => kind(dir.symlink_metadata(path).await, shown),
        Step::Exists(path) => kind(dir.exists(path).await, |exists| exists.to_string()),
        Step::SetPermissions(path, mode) => {
            kind(dir.set_permissions(path, Permissions::from_mode(*mode)).await, done)
        }
        Step::Chown(path, true, uid, gid) => kind(dir.lchown(path, *uid, *gid).await, done),
        Step::Chown(path, false, uid, gid) => kind(dir.chown(path, *uid, *gid).await, done),
        _ => return None,
    })
}

fn list_std(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        names.push(entry?.file_name().into_string().expect("text"));
    }
    names.sort();
    Ok(names)
}

async fn list_ours(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut entries = fs::read_dir(path).await?;
    while let Some(entry) = entries.next_entry().await? {
        names.push(entry.file_name().into_string().expect("text"));
    }
    names.sort();
    Ok(names)
}

fn is(options: u64, bit: u32) -> bool {
    options >> bit & 1 == 1
}

fn use_std(path: &Path, bits: u64, mode: u32, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut options = std::fs::OpenOptions::new();
    options.read(is(bits, 0)).write(is(bits, 1)).append(is(bits, 2));
    options.truncate(is(bits, 3)).create(is(bits, 4)).create_new(is(bits, 5)).mode(mode);
    let mut file = options.open(path)?;
    if is(bits, 1) {
        file.write_all_at(&content(2, 0, len), offset)?;
        file.write_all(&content(3, 0, len / 2))?;
        file.set_len(offset + len as u64 / 2)?;
    }
    let mut bytes = vec![0; len];
    let count = file.read_at(&mut bytes, offset / 2)?;
    bytes.truncate(count);
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn use_ours(
    path: &Path,
    bits: u64,
    mode: u32,
    offset: u64,
    len: usize,
) -> io::Result<Vec<u8>> {
    let mut options = fs::OpenOptions::new();
    options.read(is(bits, 0)).write(is(bits, 1)).append(is(bits, 2));
    options.truncate(is(bits, 3)).create(is(bits, 4)).create_new(is(bits, 5)).mode(mode);
    let file = options.open(path).await?;
    if is(bits, 1) {
        file.write_all_at(content(2, 0, len), offset).await?;
        file.write_all(&content(3, 0, len / 2)).await?;
        file.set_len(offset + len as u64 / 2).await?;
    }
    let (_, mut bytes) = file.read_at(vec![0; len], offset / 2).await?;
    file.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// All that lies under a directory.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("a tree of our own") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("it was just there");
            let mode = metadata.permissions().mode();
            let content = if metadata.is_symlink() {
                path.read_link().expect("a link").display().to_string()
            } else if metadata.is_dir() {
                dirs.push(path.clone());
                String::new()
            } else {
                bytes(std::fs::read(&path).expect("a file"))
            };
            let name = path.strip_prefix(root).expect("under it").to_owned();
            let owner = (metadata.uid(), metadata.gid());
            found.insert(name, format!("{mode:o} {owner:?} {content}"));
        }
    }
    found
}

#[test]
fn random_operations_do_what_std_s_do() {
    const STEPS: usize = 120;
    run(async || {
        for seed in 1..=rounds(6, 600) as u64 {
            let (theirs, ours) = (Folder::new(), Folder::new());
            let dir = fs::Dir::open(ours.path()).await.expect("it was just made");
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut steps = Vec::new();
            for _ in 0..STEPS {
                let step = step(&mut random);
                steps.push(step.clone());
                let expected = with_std(theirs.path(), &step);
                let in_dir = is(random.below(2), 0);
                let found = if in_dir { with_dir(&dir, &step).await } else { None };
                let found = match found {
                    Some(found) => found,
                    None => with_ours(ours.path(), &step).await,
                };
                let last = &steps[steps.len().saturating_sub(12)..];
                assert_eq!(found, expected, "seed {seed}, {last:#?}");
                assert_eq!(tree(ours.path()), tree(theirs.path()), "seed {seed}, {last:#?}");
            }
        }
    });
}
