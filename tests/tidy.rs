//! The style of the repository, as a test: each rule is one test and has one more on a bad snippet.
//!
//! The tables come first; they are what an ordinary change edits. A new module, a new file with
//! unsafe code or a new arrow between modules is an edit here, in the same commit.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules, and macros, of the crate a module may name, itself always included. `lib` may name all.
const LAYERS: &[(&str, &[&str])] = &[
    ("loom", &[]),
    // The I/O column.
    ("sys", &[]),
    ("buf", &["sys"]),
    ("driver", &["sys", "buf"]),
    ("op", &["sys", "buf", "driver"]),
    // The scheduling column, and time, which takes nothing but the clock from the kernel.
    ("task", &["executor", "group", "blocking", "loom"]),
    ("executor", &["task", "loom"]),
    ("time", &["sys"]),
    ("blocking", &["sys", "task", "loom"]),
    ("channel", &["executor", "sync", "loom"]),
    ("group", &["executor", "task", "time", "join", "select", "try_join"]),
    // Where the columns meet, and what stands on that.
    (
        "runtime",
        &["sys", "buf", "driver", "op", "task", "executor", "time", "blocking", "channel", "loom"],
    ),
    ("mesh", &["sys", "runtime", "time", "loom"]),
    (
        "net",
        &[
            "sys", "buf", "driver", "op", "executor", "task", "io", "time", "sync", "blocking",
            "runtime", "mesh", "select",
        ],
    ),
    ("fs", &["sys", "buf", "driver", "op", "io", "time", "blocking", "net"]),
    ("io", &["sys", "buf", "driver", "op", "executor", "task", "time"]),
    (
        "process",
        &["buf", "driver", "executor", "io", "op", "signal", "spawn", "sys", "task", "join"],
    ),
    ("signal", &["sys", "driver", "op", "executor"]),
    ("sync", &["executor"]),
    ("compat", &["fs", "io", "signal", "sync", "task", "time"]),
];

/// The files that hold unsafe code, in order; the compiler denies it everywhere else.
const UNSAFE_FILES: &[&str] = &[
    "src/buf/aligned.rs",
    "src/buf/chunk.rs",
    "src/buf/pool.rs",
    "src/buf/registered.rs",
    "src/buf/slice.rs",
    "src/buf/traits.rs",
    "src/channel/mpsc/ring.rs",
    "src/channel/prefetch.rs",
    "src/channel/spsc/ring.rs",
    "src/driver/operation.rs",
    "src/driver/payload.rs",
    "src/driver/slots.rs",
    "src/driver/staged.rs",
    "src/driver/tests/mod.rs",
    "src/driver/tests/rude.rs",
    "src/driver/tests/slots.rs",
    "src/op/accept.rs",
    "src/op/bell.rs",
    "src/op/cancel_all.rs",
    "src/op/close.rs",
    "src/op/connect.rs",
    "src/op/exit.rs",
    "src/op/fadvise.rs",
    "src/op/fallocate.rs",
    "src/op/fsync.rs",
    "src/op/link.rs",
    "src/op/mkdir.rs",
    "src/op/nop.rs",
    "src/op/open.rs",
    "src/op/poll.rs",
    "src/op/read_at.rs",
    "src/op/read_direct.rs",
    "src/op/read_vectored.rs",
    "src/op/receive.rs",
    "src/op/receive/with_fds.rs",
    "src/op/receive_message.rs",
    "src/op/rename.rs",
    "src/op/send.rs",
    "src/op/send_message.rs",
    "src/op/send_to.rs",
    "src/op/send_vectored.rs",
    "src/op/signal.rs",
    "src/op/statx.rs",
    "src/op/symlink.rs",
    "src/op/tests.rs",
    "src/op/timeout.rs",
    "src/op/unlink.rs",
    "src/op/write.rs",
    "src/op/write_at.rs",
    "src/op/write_direct.rs",
    "src/op/write_vectored.rs",
    "src/process/pre_exec.rs",
    "src/sync/guarded.rs",
    "src/sync/waiters.rs",
    "src/sys/affinity.rs",
    "src/sys/bytes.rs",
    "src/sys/copying.rs",
    "src/sys/datagram.rs",
    "src/sys/descriptors.rs",
    "src/sys/directory.rs",
    "src/sys/eventfd.rs",
    "src/sys/files.rs",
    "src/sys/mapping.rs",
    "src/sys/names.rs",
    "src/sys/options.rs",
    "src/sys/pipes.rs",
    "src/sys/plain.rs",
    "src/sys/process.rs",
    "src/sys/register.rs",
    "src/sys/ring.rs",
    "src/sys/signals.rs",
    "src/sys/thread.rs",
    "src/sys/unix.rs",
    "src/sys/xattr.rs",
    "src/task/abort.rs",
    "src/task/address.rs",
    "src/task/cache.rs",
    "src/task/cell.rs",
    "src/task/header.rs",
    "src/task/home.rs",
    "src/task/inbox.rs",
    "src/task/join.rs",
    "src/task/list.rs",
    "src/task/parcel.rs",
    "src/task/root.rs",
    "src/task/run.rs",
    "src/task/tests.rs",
    "src/task/waker.rs",
    "src/time/lists.rs",
    "src/time/sleep.rs",
    "src/time/tests/wakers.rs",
];

/// Where such a file may lie.
const UNSAFE_ROOMS: &[&str] = &[
    "src/sys/",
    "src/buf/",
    "src/driver/",
    "src/op/",
    "src/task/",
    "src/channel/mpsc/ring.rs",
    "src/channel/prefetch.rs",
    "src/channel/spsc/ring.rs",
    "src/process/pre_exec.rs",
    "src/sync/guarded.rs",
    "src/sync/waiters.rs",
    "src/time/lists.rs",
    "src/time/sleep.rs",
    "src/time/tests/wakers.rs",
];

/// What no code of the library says; comments and texts may.
const BANNED_CODE: &[&str] = &[
    "unreachable_unchecked",
    "mem::zeroed",
    "static mut",
    "#[path",
    "todo!",
    "dbg!",
    "println!",
    "eprintln!",
    "process::exit",
    "std::env",
    "env::var",
];

/// What no line of Rust says, comments included.
const BANNED_TEXT: &[(&str, &str)] = &[("FIX", "ME"), ("\t", "")];

/// What no file of the repository says, in two pieces so that this one does not either: paths and
/// hosts of one machine mean nothing on another.
const BANNED_WORDS: &[(&str, &str)] =
    &[("/wo", "rk/"), ("index.", "crates.io"), ("static.", "crates.io"), ("sparse", "+http")];

/// Files of `src/op` that are no operation.
const NOT_OPERATIONS: &[&str] = &[
    "armed.rs",
    "arrivals.rs",
    "changes.rs",
    "endpoint.rs",
    "line.rs",
    "mod.rs",
    "open_file.rs",
    "parts.rs",
    "place.rs",
    "position.rs",
    "queued.rs",
    "reading.rs",
    "tests.rs",
    "waiting.rs",
];

/// Where the drop of a module's futures is told, if not in its own `mod.rs`: where its users find them.
const DROPS_ELSEWHERE: &[(&str, &str)] =
    &[("executor", "task"), ("group", "task"), ("runtime", "mesh")];

const COLUMNS_MAX: usize = 120;
/// Lines in a file, its tests at the end not counted.
const LINES_MAX: usize = 600;
/// Lines in a file of tests.
const TEST_LINES_MAX: usize = 1200;

// The rules, each from a file or a list of paths to what is wrong with it.

/// Modules name only what `LAYERS` lets them, and do not reach the crate's root by `super`.
fn layers(file: &File) -> Vec<String> {
    let module = file.module();
    if module == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}: module {module} is not in LAYERS", file.path)];
    };
    let mut wrong = Vec::new();
    // What a macro names by `$crate` is named by whoever calls it.
    for name in names_after(&file.code.replace("$crate::", ""), "crate::") {
        if name != module && !allowed.contains(&name.as_str()) {
            wrong.push(format!("{}: {module} must not use crate::{name}", file.path));
        }
    }
    let depth = file.path.split('/').count() - 1 - usize::from(file.path.ends_with("/mod.rs"));
    let (body, tests) = file.code.split_at(file.tests_start());
    for (part, depth) in [(body, depth), (tests, depth + 1)] {
        if part.contains(&"super::".repeat(depth)) {
            wrong.push(format!("{}: super leaves {module}; say crate::", file.path));
        }
    }
    wrong
}

/// Files with unsafe code are those listed, and lie in the rooms for it.
fn unsafe_files(files: &[File], listed: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    let holds = |file: &&File| {
        file.code.contains("allow(unsafe_code") || file.code.contains("expect(unsafe_code")
    };
    let found: BTreeSet<&str> = files.iter().filter(holds).map(|file| file.path.as_str()).collect();
    let listed: BTreeSet<&str> = listed.iter().copied().collect();
    for path in found.symmetric_difference(&listed) {
        wrong.push(format!("{path}: in only one of UNSAFE_FILES and the tree"));
    }
    for path in &found {
        if !UNSAFE_ROOMS.iter().any(|room| path.starts_with(room)) {
            wrong.push(format!("{path}: unsafe code outside the rooms for it"));
        }
    }
    wrong
}

/// A file is short, its trailing tests apart.
fn size(file: &File) -> Vec<String> {
    let tests =
        file.path.ends_with("/tests.rs") || file.path.split('/').any(|part| part == "tests");
    let (lines, max) = match tests {
        true => (file.text.lines().count(), TEST_LINES_MAX),
        false => (file.text[..file.tests_start()].lines().count(), LINES_MAX),
    };
    if lines <= max {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines, at most {max}", file.path)]
}

/// A file begins by saying, in a sentence, what it is.
fn head(file: &File) -> Vec<String> {
    let paragraph = file.text.lines().map_while(|line| line.strip_prefix("//! "));
    let paragraph = paragraph.collect::<Vec<_>>().join(" ");
    let ends = [". ", ": "].iter().any(|end| paragraph.contains(end));
    if ends || paragraph.ends_with(['.', ':']) {
        return Vec::new();
    }
    vec![format!("{}: does not begin with `//!` and a sentence", file.path)]
}

/// Lines are of bounded length and free of stray blanks and of what `BANNED_TEXT` lists.
fn lines(file: &File) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let at = format!("{}:{}", file.path, index + 1);
        let row_of_a_table = line.trim_start().starts_with("//! |");
        if line.chars().count() > COLUMNS_MAX && !row_of_a_table {
            wrong.push(format!("{at}: over {} columns", COLUMNS_MAX));
        }
        if line.ends_with(char::is_whitespace) {
            wrong.push(format!("{at}: blanks at the end"));
        }
        for (head, tail) in BANNED_TEXT {
            if line.contains(&format!("{head}{tail}")) {
                wrong.push(format!("{at}: holds {:?}", format!("{head}{tail}")));
            }
        }
    }
    wrong
}

/// Code is free of what `BANNED_CODE` lists, and `cfg(feature` stays where features are added.
fn code(file: &File) -> Vec<String> {
    let mut wrong = Vec::new();
    let features = file.path == "src/lib.rs" || file.path.starts_with("src/compat/");
    for (index, line) in file.code.lines().enumerate() {
        let at = format!("{}:{}", file.path, index + 1);
        for token in BANNED_CODE.iter().filter(|token| line.contains(**token)) {
            wrong.push(format!("{at}: {token} is banned"));
        }
        if !features && line.contains("cfg") && line.contains("feature =") {
            wrong.push(format!("{at}: cfg(feature) belongs in lib.rs and compat/"));
        }
    }
    wrong
}

/// Every operation has its tests on the real kernel.
fn operations(paths: &[&str]) -> Vec<String> {
    let names = paths.iter().filter_map(|path| path.strip_prefix("src/op/"));
    let operations = names.filter(|name| !NOT_OPERATIONS.contains(name));
    let tests = operations.map(|name| format!("tests/it/kernel/{name}"));
    let missing = tests.filter(|test| !paths.contains(&test.as_str()));
    missing.map(|test| format!("{test}: missing; every operation has one")).collect()
}

/// Every file under the directory of `root` is a module that `root` reaches.
fn reachable(root: &str, files: &[File]) -> Vec<String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![root.to_owned()];
    while let Some(path) = next.pop() {
        if let Some(file) = files.iter().find(|file| file.path == path) {
            let stem = file.path.strip_suffix(".rs").unwrap_or_default();
            let (parent, name) = stem.rsplit_once('/').unwrap_or_default();
            let dir = if matches!(name, "lib" | "main" | "mod") { parent } else { stem };
            for module in declared_modules(&file.code) {
                next.extend([format!("{dir}/{module}.rs"), format!("{dir}/{module}/mod.rs")]);
            }
            reached.insert(path);
        }
    }
    let dir = &root[..root.rfind('/').map_or(0, |end| end + 1)];
    let mine = files.iter().filter(|file| file.path.starts_with(dir));
    let lost = mine.filter(|file| !reached.contains(&file.path));
    lost.map(|file| format!("{}: no `mod` leads to it", file.path)).collect()
}

/// A page at the top has one title; every page's relative links lead to a file.
fn markdown(file: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut fenced = false;
    let mut prose = String::new();
    for line in file.text.lines() {
        match line.trim_start().starts_with("```") {
            true => fenced = !fenced,
            false if !fenced => prose.extend([line, "\n"]),
            false => {}
        }
    }
    let titles = prose.lines().filter(|line| line.starts_with("# ")).count();
    if !file.path.contains('/') && titles != 1 {
        wrong.push(format!("{}: {titles} titles, one is right", file.path));
    }
    let dir = file.path.rfind('/').map_or("", |end| &file.path[..=end]);
    for link in prose.split("](").skip(1) {
        let target = link.split([')', '#', ' ']).next().unwrap_or_default();
        if !target.is_empty() && !target.contains(':') && !exists(&format!("{dir}{target}")) {
            wrong.push(format!("{}: the link to {target} leads nowhere", file.path));
        }
    }
    wrong
}

/// A text holds none of `BANNED_WORDS`.
fn words(file: &File) -> Vec<String> {
    let words = BANNED_WORDS.iter().map(|(head, tail)| format!("{head}{tail}"));
    let found = words.filter(|word| file.text.contains(word));
    found.map(|word| format!("{}: holds {word:?}", file.path)).collect()
}

/// Each public function that gives a future is named in its module's table of what dropping that does.
fn drops(files: &[File]) -> Vec<String> {
    let told_in = |module: &str| {
        let elsewhere = DROPS_ELSEWHERE.iter().find(|(here, _)| *here == module);
        elsewhere.map_or(module.to_owned(), |(_, there)| (*there).to_owned())
    };
    let mut wrong = Vec::new();
    for file in files {
        let page = format!("src/{}/mod.rs", told_in(file.module()));
        let told =
            files.iter().find(|file| file.path == page).map(|page| rows_of_drops(&page.text));
        for name in futures_of(&file.code[..file.tests_start()]) {
            if !told.as_ref().is_some_and(|told| told.contains(&name)) {
                wrong.push(format!("{}: the drop of {name}'s future is not in {page}", file.path));
            }
        }
    }
    wrong
}

/// The public functions in `code` that are async, or say that they give a future.
fn futures_of(code: &str) -> Vec<String> {
    let is_future = |signature: &str| signature.contains("-> impl Future");
    let plain = code
        .split("pub fn ")
        .skip(1)
        .filter(|rest| is_future(&rest[..rest.find(['{', ';']).unwrap_or(rest.len())]));
    code.split("pub async fn ").skip(1).chain(plain).map(first_word).collect()
}

/// The last part of each name in the first column of such a table, of the docs at a file's head.
fn rows_of_drops(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in text.lines() {
        let Some(row) = line.strip_prefix("//! | ") else {
            inside = false;
            continue;
        };
        inside |= row.contains("if its future is dropped before it is done");
        let first = row.split(" | ").next().unwrap_or_default();
        let quoted = first.split('`').skip(1).step_by(2).filter(|_| inside);
        names.extend(quoted.filter_map(|name| name.rsplit("::").next()).map(first_word));
    }
    names
}

/// Each cell that annulus loses by the record has its reason in the table of the page, where a name may end in `*`.
fn losses(record: &File, page: &File) -> Vec<String> {
    let firsts = |file: &File, head: &str| -> Vec<String> {
        let rows = file.text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
        let rows = rows.map_while(|line| line.strip_prefix("| ")?.split(" | ").next());
        rows.map(str::to_owned).collect()
    };
    let reasons = firsts(page, "| cell | behind |");
    let told: Vec<&str> =
        reasons.iter().flat_map(|names| names.split('`').skip(1).step_by(2)).collect();
    let is_told = |cell: &str| {
        told.iter().any(|name| match name.strip_suffix('*') {
            Some(head) => cell.starts_with(head),
            None => *name == cell,
        })
    };
    let lost: BTreeSet<String> =
        firsts(record, "| workload | rival | figure |").into_iter().collect();
    let silent = lost.into_iter().filter(|cell| !is_told(cell));
    silent.map(|cell| format!("{}: no reason why {cell} is lost", page.path)).collect()
}

/// Each name in the table of `docs/asyncio.md` is a test in `tests/it/asyncio.rs` or its folder, and each test a name.
fn asyncio(table: &File, tests: &[&File]) -> Vec<String> {
    let names = table.text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows: BTreeSet<String> = names.map(test_name).collect();
    let functions = tests.iter().flat_map(|file| file.code.split("#[test]\n").skip(1));
    let names = functions.map(|text| first_word(text.trim_start().trim_start_matches("fn ")));
    let names: BTreeSet<String> = names.collect();
    let lone = rows.symmetric_difference(&names);
    lone.map(|name| format!("{}: {name} is not in both it and the tests", table.path)).collect()
}

/// The test of an asyncio name: `Task.cancel` is `task_cancel`, `TaskGroup` is `task_group`, `sleep(0)` is `sleep_0`.
fn test_name(name: &str) -> String {
    let mut test = String::new();
    for c in name.chars() {
        if c.is_uppercase() && test.ends_with(|before: char| before.is_lowercase()) {
            test.push('_');
        }
        match c {
            '.' | '(' => test.push('_'),
            ')' => {}
            c => test.extend(c.to_lowercase()),
        }
    }
    test
}

// What the rules stand on.

/// A file: its path from the repository's root, and its text.
struct File {
    path: String,
    text: String,
    /// The text with comments and the insides of literals blanked, line by line and byte by byte.
    code: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { code_of(text) } else { String::new() };
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// The module at the crate's top that the file belongs to.
    fn module(&self) -> &str {
        let name = self.path.split('/').nth(1).unwrap_or_default();
        name.strip_suffix(".rs").unwrap_or(name)
    }

    /// Where the tests at the end begin, or the end.
    fn tests_start(&self) -> usize {
        let head = self.code.match_indices("\n#[cfg(").map(|(at, _)| at + 1).find(|at| {
            let mut lines = self.code[*at..].lines();
            let tests = lines.next().is_some_and(|line| line.contains("test"));
            tests
                && lines.next().is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
        });
        head.unwrap_or(self.code.len())
    }
}

/// Blanks comments, strings and characters; all that is left at its place is code.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let size = match bytes[at] {
            b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            b'"' => quoted_size(rest, '"'),
            b'r' if !ends_in_word(&text[..at]) => raw_string_size(rest),
            b'\'' => char_size(rest),
            _ => 0,
        };
        for byte in code.iter_mut().skip(at).take(size).filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
        at += size.max(rest.chars().next().map_or(1, char::len_utf8));
    }
    String::from_utf8(code).expect("whole characters were blanked")
}

/// The size of a literal that begins with `quote` and knows escapes.
fn quoted_size(text: &str, quote: char) -> usize {
    let mut escaped = true; // the opening quote does not close
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The size of `r"..."` or `r#"..."#`, or 0 if the text begins otherwise.
fn raw_string_size(text: &str) -> usize {
    let inside = text[1..].trim_start_matches('#');
    let hashes = text.len() - 1 - inside.len();
    if !inside.starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let opened = 1 + hashes + 1;
    text[opened..].find(&end).map_or(text.len(), |at| opened + at + end.len())
}

/// The size of a character such as `'"'` or `'\n'`, or 0 for a lifetime.
fn char_size(text: &str) -> usize {
    let mut chars = text.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => quoted_size(text, '\''),
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 0,
    }
}

fn ends_in_word(text: &str) -> bool {
    text.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// The names that follow `prefix`; from `prefix{a::b, c}` these are `a` and `c`.
fn names_after(code: &str, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix).filter(|(at, _)| !ends_in_word(&code[..*at])) {
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            None => names.push(first_word(rest)),
            Some(group) => names.extend(group_heads(group)),
        }
    }
    names
}

/// The first word of each item at the top of a `{...}` whose opening brace is behind.
fn group_heads(group: &str) -> Vec<String> {
    let mut depth = 1;
    let mut heads = vec![first_word(group)];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => heads.push(first_word(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The names in `mod x;`, whatever stands before them on the line.
fn declared_modules(code: &str) -> Vec<String> {
    let lines = code.lines().filter(|line| line.trim_end().ends_with(';'));
    lines.flat_map(|line| names_after(line, "mod ")).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The texts of the repository, in order of path; what `.gitignore` names at the top is left out.
fn repository() -> Vec<File> {
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap_or_default();
    let skipped: Vec<PathBuf> = ignored
        .lines()
        .filter_map(|line| line.trim_end_matches('/').strip_prefix('/'))
        .chain([".git"])
        .map(|name| root().join(name))
        .collect();
    let mut files = Vec::new();
    let mut next = vec![root().to_owned()];
    while let Some(dir) = next.pop() {
        for entry in fs::read_dir(dir).expect("a directory of the repository") {
            let path = entry.expect("an entry").path();
            if skipped.contains(&path) || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                next.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(root()).expect("a path below the root");
                files.push(File::new(&path.display().to_string(), &text));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the walk found no crate");
    files
}

/// The Rust files of the library.
fn sources() -> Vec<File> {
    repository().into_iter().filter(|file| is_rust_in(&file.path, "src/")).collect()
}

fn is_rust_in(path: &str, dir: &str) -> bool {
    path.starts_with(dir) && path.ends_with(".rs")
}

#[track_caller]
fn assert_tidy(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn modules_keep_to_their_layer() {
    assert_tidy(sources().iter().flat_map(layers).collect());
}

#[test]
fn unsafe_code_keeps_to_its_files() {
    assert_tidy(unsafe_files(&sources(), UNSAFE_FILES));
}

#[test]
fn files_are_short() {
    let files = repository().into_iter();
    let rust = files.filter(|f| is_rust_in(&f.path, "src/") || is_rust_in(&f.path, "tests/"));
    assert_tidy(rust.flat_map(|file| size(&file)).collect());
}

#[test]
fn files_begin_with_a_sentence() {
    let files = repository().into_iter();
    assert_tidy(files.filter(|f| is_rust_in(&f.path, "")).flat_map(|file| head(&file)).collect());
}

#[test]
fn lines_are_clean() {
    let files = repository().into_iter();
    assert_tidy(files.filter(|f| is_rust_in(&f.path, "")).flat_map(|file| lines(&file)).collect());
}

#[test]
fn code_is_free_of_what_is_banned() {
    assert_tidy(sources().iter().flat_map(code).collect());
}

#[test]
fn operations_are_tested_on_the_kernel() {
    let files = repository();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_tidy(operations(&paths));
}

#[test]
fn files_are_reachable() {
    let files = repository();
    let rust: Vec<File> = files.into_iter().filter(|file| is_rust_in(&file.path, "")).collect();
    assert_tidy(reachable("src/lib.rs", &rust));
    assert_tidy(reachable("tests/it/main.rs", &rust));
}

#[test]
fn pages_have_a_title_and_links_that_lead_somewhere() {
    let pages = repository().into_iter().filter(|file| file.path.ends_with(".md"));
    let exists = |path: &str| root().join(path).exists();
    assert_tidy(pages.flat_map(|page| markdown(&page, exists)).collect());
}

#[test]
fn drops_of_futures_are_told() {
    assert_tidy(drops(&sources()));
}

#[test]
fn cells_that_are_lost_have_a_reason() {
    let files = repository();
    let file = |path| files.iter().find(|file| file.path == path).expect("a file of this path");
    assert_tidy(losses(file("bench-results/rivals.md"), file("COMPARE.md")));
}

#[test]
fn the_long_run_switches_each_feature_off() {
    let script = fs::read_to_string(root().join(".ci/full")).expect("the script of the long forms");
    let listed = script.lines().find_map(|line| line.strip_prefix("switches=(")?.strip_suffix(')'));
    let listed: Vec<&str> = listed.expect("its features").split(' ').collect();
    let features = annulus::runtime::Feature::ALL.map(|feature| format!("{feature:?}"));
    assert_eq!(listed, features);
}

#[test]
fn names_of_asyncio_are_tested() {
    let files = repository();
    let file = |path| files.iter().find(|file| file.path == path).expect("a file of this path");
    let tests = files.iter().filter(|file| file.path.starts_with("tests/it/asyncio"));
    assert_tidy(asyncio(file("docs/asyncio.md"), &tests.collect::<Vec<_>>()));
}

#[test]
fn words_of_one_machine_stay_out() {
    assert_tidy(repository().iter().flat_map(words).collect());
}

/// Each rule on a snippet that breaks it, and on one that comes close.
mod self_tests {
    use super::{COLUMNS_MAX, File, LINES_MAX, code_of};

    fn count(rule: impl Fn(&File) -> Vec<String>, path: &str, text: &str) -> usize {
        rule(&File::new(path, text)).len()
    }

    #[test]
    fn layers() {
        let wrong = |path, text| count(super::layers, path, text);
        assert_eq!(wrong("src/driver/slots.rs", "use crate::op::Read;\n"), 1);
        assert_eq!(wrong("src/driver/slots.rs", "use crate::{\n buf::{self, op},\n op,\n};\n"), 1);
        assert_eq!(wrong("src/driver/slots.rs", "use super::super::op;\n"), 1);
        assert_eq!(wrong("src/driver/mod.rs", "fn f(x: crate::task::Id, y: super::op::Y) {}\n"), 2);
        assert_eq!(wrong("src/time/mod.rs", "use crate::spawn;\n"), 1);
        assert_eq!(wrong("src/extra.rs", ""), 1);
        assert_eq!(wrong("src/time/mod.rs", "macro_rules! m { () => { $crate::op::f() } }\n"), 0);
        assert_eq!(wrong("src/driver/slots.rs", "use crate::{buf, sys::{ring, op}};\n"), 0);
        assert_eq!(wrong("src/driver/slots.rs", "/// [`crate::op`]\nuse super::Key;\n"), 0);
        let tests = "fn f() {}\n#[cfg(test)]\nmod tests {\n    use super::super::Key;\n}\n";
        assert_eq!(wrong("src/driver/slots.rs", tests), 0);
        assert_eq!(wrong("src/driver/mod.rs", tests), 1);
    }

    #[test]
    fn unsafe_files() {
        let head = "#![allow(unsafe_code, reason = \"room\")]\n";
        let files = [File::new("src/sys/ring.rs", head), File::new("src/net/tcp.rs", head)];
        assert_eq!(super::unsafe_files(&files, &["src/sys/ring.rs"]).len(), 2);
        assert_eq!(super::unsafe_files(&files[..1], &["src/sys/gone.rs"]).len(), 2);
        assert_eq!(super::unsafe_files(&files[..1], &["src/sys/ring.rs"]).len(), 0);
    }

    #[test]
    fn size() {
        let long = "//! Long.\n".repeat(LINES_MAX + 1);
        assert_eq!(count(super::size, "src/op/read.rs", &long), 1);
        assert_eq!(count(super::size, "src/op/tests.rs", &long), 0);
        assert_eq!(count(super::size, "tests/it/net.rs", &long.repeat(3)), 1);
        let tests = format!("//! Short.\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(count(super::size, "src/op/read.rs", &tests), 0);
    }

    #[test]
    fn head() {
        assert_eq!(count(super::head, "src/a.rs", ""), 1);
        assert_eq!(count(super::head, "src/a.rs", "use std::fs;\n//! Late.\n"), 1);
        assert_eq!(count(super::head, "src/a.rs", "//! Not a sentence\n//!\n//! One.\n"), 1);
        assert_eq!(count(super::head, "src/a.rs", "//! A sentence. And\n//! more\n"), 0);
    }

    #[test]
    fn lines() {
        let wrong = |text: &str| count(super::lines, "src/a.rs", text);
        assert_eq!(wrong(&"x".repeat(COLUMNS_MAX + 1)), 1);
        assert_eq!(wrong("fn f() {} \n"), 1);
        assert_eq!(wrong("\tfn f() {}\n"), 1);
        assert_eq!(wrong(&format!("// {}ME: later\n", "FIX")), 1);
        assert_eq!(wrong(&"é".repeat(COLUMNS_MAX)), 0);
    }

    #[test]
    fn code() {
        let wrong = |text: &str| count(super::code, "src/net/tcp.rs", text);
        for token in super::BANNED_CODE {
            assert_ne!(wrong(&format!("fn f() {{ {token} }}\n")), 0, "{token}");
            assert_eq!(wrong(&format!("/// {token}\nfn f() {{ \"{token}\" }}\n")), 0, "{token}");
        }
        let feature = "#[cfg(any(test, feature = \"bytes\"))]\n";
        assert_eq!(wrong(feature), 1);
        assert_eq!(count(super::code, "src/compat/bytes.rs", feature), 0);
        assert_eq!(wrong("let feature = 3;\n"), 0);
    }

    #[test]
    fn operations() {
        let paths =
            ["src/op/mod.rs", "src/op/read.rs", "src/op/send.rs", "tests/it/kernel/send.rs"];
        assert_eq!(super::operations(&paths).len(), 1);
        assert_eq!(super::operations(&paths[2..]).len(), 0);
    }

    #[test]
    fn reachable() {
        let files = [
            File::new("src/lib.rs", "mod a;\npub(crate) mod b;\n// mod lost;\n"),
            File::new("src/a.rs", "#[cfg(test)] mod c;\n"),
            File::new("src/a/c.rs", ""),
            File::new("src/b/mod.rs", "mod tests {}\n"),
            File::new("src/b/tests.rs", ""),
            File::new("src/lost.rs", ""),
        ];
        let lost = super::reachable("src/lib.rs", &files);
        assert_eq!(
            lost,
            ["src/b/tests.rs: no `mod` leads to it", "src/lost.rs: no `mod` leads to it"]
        );
    }

    #[test]
    fn markdown() {
        let exists = |path: &str| matches!(path, "LICENSE" | "docs/deep.md");
        let wrong = |path, text| count(|file| super::markdown(file, exists), path, text);
        assert_eq!(wrong("README.md", "no title\n"), 1);
        assert_eq!(wrong("README.md", "# One\n\n# Two\n"), 1);
        assert_eq!(wrong("README.md", "# One\n[gone](gone.md) [here](LICENSE#part)\n"), 1);
        assert_eq!(wrong("docs/a.md", "[deep](deep.md) [none](LICENSE)\n"), 1);
        let fine = "# One\n```sh\n# comment\n[x](y)\n```\n[web](https://example.org) [top](#one)\n";
        assert_eq!(wrong("README.md", fine), 0);
    }

    #[test]
    fn drops() {
        let wrong = |page: &str, text: &str| {
            super::drops(&[File::new("src/net/mod.rs", page), File::new("src/net/a.rs", text)])
                .len()
        };
        let page = "//! | method | if its future is dropped before it is done |\n//! | --- | --- |\n\
                    //! | [`A::open`], `close` | `gone` |\n";
        let all = "impl A {\n    pub async fn open() {}\n    pub fn close<T>(\n        t: T,\n    ) \
                   -> impl Future {\n    }\n    pub fn plain() {}\n    async fn own() {}\n}\n";
        assert_eq!(wrong(page, all), 0);
        assert_eq!(wrong(page, "pub async fn gone() {}\n"), 1);
        assert_eq!(wrong("//! | `open`, `close` | |\n", all), 2);
        assert_eq!(wrong("", all), 2);
        // What another module tells.
        let task = File::new("src/task/mod.rs", page);
        assert_eq!(super::drops(&[task, File::new("src/group/a.rs", all)]).len(), 0);
    }

    #[test]
    fn losses() {
        let record = "| bulk | tokio |\n\n| workload | rival | figure | quotient |\n| --- |\n\
                      | udp | epoll | CPU | 1.06 |\n| churn-256 | ring | CPU | 1.13 |\n\n| mpsc | 1 |\n";
        let silent = |page: &str| {
            super::losses(&File::new("record.md", record), &File::new("page.md", page)).len()
        };
        let head = "| cell | behind | reason |\n| --- | --- | --- |\n";
        assert_eq!(silent(&format!("{head}| `udp`, `churn*` | all | it is |\n")), 0);
        assert_eq!(silent(&format!("{head}| `churn` | `udp` | it is |\n")), 2);
        assert_eq!(silent("| `udp`, `churn*` | all | it is |\n"), 2);
    }

    #[test]
    fn asyncio() {
        let table = File::new(
            "docs/asyncio.md",
            "## Tasks\n| asyncio | annulus |\n| `Task.cancel` | a |\n| `sleep(0)` | b |\n\
             | `TaskGroup` | c |\n",
        );
        let missing =
            |text: &str| super::asyncio(&table, &[&File::new("tests/it/asyncio.rs", text)]).len();
        let all =
            "#[test]\nfn task_cancel() {}\n#[test]\nfn sleep_0() {}\n#[test]\nfn task_group() {}\n";
        assert_eq!(missing(all), 0);
        assert_eq!(missing(&all.replace("sleep_0", "sleep_1")), 2);
        assert_eq!(missing(&format!("{all}#[test]\nfn to_thread() {{}}\n")), 1);
        assert_eq!(missing(&format!("{all}fn helper() {{}}\n")), 0);
    }

    #[test]
    fn words() {
        for (head, tail) in super::BANNED_WORDS {
            assert_eq!(count(super::words, "a.toml", &format!("x = '{head}{tail}'")), 1);
            assert_eq!(count(super::words, "a.toml", head), 0);
        }
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let text =
            "a('\"', 'x', b\"q\\\"\", r#\"\"r\"\"#); // c\n/* d\ne */ let f: &'g str = \"h\";\n";
        let code = code_of(text);
        assert_eq!(code.len(), text.len());
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(words, ["a(", ",", ",", "b", ",", ");", "let", "f:", "&'g", "str", "=", ";"]);
    }
}
