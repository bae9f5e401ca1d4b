//! The command line.

use std::str::FromStr;
use std::time::Duration;

pub(crate) const HELP: &str = "\
An echo server on annulus, measured against one on tokio.

Usage: echo [OPTIONS]

  --listen ADDR       only serve, on this address, e.g. 127.0.0.1:7000, until it is interrupted
  --cores N           cores that annulus serves with (1)
  --connections N     connections that the load keeps busy (64)
  --size BYTES        bytes of a message (64)
  --seconds S         time that each server is loaded (3)
  --help              this text";

pub(crate) enum Mode {
    Help,
    Listen(String, usize),
    Compare(Options),
}

pub(crate) struct Options {
    pub(crate) connections: usize,
    pub(crate) size: usize,
    pub(crate) cores: usize,
    pub(crate) time: Duration,
}

/// Reads the arguments; an error is a text for the user.
pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Mode, String> {
    let time = Duration::from_secs(3);
    let mut options = Options { connections: 64, size: 64, cores: 1, time };
    let mut listen = None;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--help" | "-h" => return Ok(Mode::Help),
            "--listen" => listen = Some(value()?),
            "--cores" => options.cores = number(&argument, &value()?)?,
            "--connections" => options.connections = number(&argument, &value()?)?,
            "--size" => options.size = number(&argument, &value()?)?,
            "--seconds" => options.time = Duration::from_secs_f64(number(&argument, &value()?)?),
            other => return Err(format!("unknown argument: {other}")),
        }
    }
    let Options { connections, size, cores, time } = options;
    if connections == 0 || size == 0 || cores == 0 || time.is_zero() {
        return Err("connections, size, cores and seconds must be above zero".to_owned());
    }
    Ok(match listen {
        Some(address) => Mode::Listen(address, cores),
        None => Mode::Compare(options),
    })
}

fn number<T: FromStr + PartialOrd + Default>(name: &str, text: &str) -> Result<T, String> {
    let number: T = text.parse().map_err(|_| format!("{name}: {text:?} is not a number"))?;
    if number < T::default() { Err(format!("{name}: {text} is below zero")) } else { Ok(number) }
}
