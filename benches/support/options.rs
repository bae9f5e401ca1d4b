//! `--name value` and `--name` arguments, checked against a list that is also the help text.

use std::collections::HashMap;
use std::process::ExitCode;

/// One option: its name, the word that stands for its value (none for a flag), and what it is for.
pub(crate) type Known = (&'static str, Option<&'static str>, &'static str);

pub(crate) struct Options {
    values: HashMap<String, String>,
}

impl Options {
    /// Reads the process's arguments, prints the help where it is asked for, and else runs the bench.
    pub(crate) fn run(
        about: &str,
        known: &[Known],
        bench: impl FnOnce(&Self) -> Result<(), String>,
    ) -> ExitCode {
        let ran = Self::parse(about, known).and_then(|options| {
            if options.has("--help") {
                println!("{}", help(about, known));
                return Ok(());
            }
            bench(&options)
        });
        match ran {
            Ok(()) => ExitCode::SUCCESS,
            Err(text) => {
                println!("{text}");
                ExitCode::FAILURE
            }
        }
    }

    /// Reads the process's arguments; the error is what was wrong, with the help text below it.
    fn parse(about: &str, known: &[Known]) -> Result<Self, String> {
        let mut values = HashMap::new();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let Some((name, value, _)) = known.iter().find(|(name, ..)| *name == argument) else {
                return Err(format!("unknown argument {argument}\n\n{}", help(about, known)));
            };
            let given = match value {
                None => String::new(),
                Some(word) => arguments.next().ok_or(format!("{name} needs {word}"))?,
            };
            values.insert((*name).to_owned(), given);
        }
        Ok(Self { values })
    }

    /// Whether there was no argument at all, which is how `cargo test --benches` starts a bench.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The option's number, or `default` where the option is absent.
    pub(crate) fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("{name}: {text} is not a number")),
        }
    }

    /// The option's comma-separated words, or those of `default`.
    pub(crate) fn words<'a>(&'a self, name: &str, default: &'a str) -> Vec<&'a str> {
        self.text(name).unwrap_or(default).split(',').filter(|word| !word.is_empty()).collect()
    }
}

fn help(about: &str, known: &[Known]) -> String {
    let line = |(name, value, purpose): &Known| {
        format!("  {:<26}{purpose}\n", format!("{name} {}", value.unwrap_or_default()))
    };
    format!("{about}\n\n{}", known.iter().map(line).collect::<String>())
}
