//! Reads of lines that are dropped again and again while the lines come: not one is lost, torn or doubled.

use std::io::Write;
use std::thread;
use std::time::Duration;

use annulus::io::BufReader;
use annulus::net::TcpStream;
use annulus::time::timeout;

use crate::support::settled::{Either, byte, poll_and_drop, rounds, run, select, std_pair, turn};

/// A line with its number, of a length that depends on it.
fn line(number: usize) -> String {
    let len = usize::from(byte(7, number)) * if number.is_multiple_of(50) { 40 } else { 1 };
    format!("{number}:{}", "x".repeat(len))
}

#[test]
fn lines_are_read_in_order_however_often_the_read_is_dropped() {
    let count = rounds(4_000, 100_000);
    run(async || {
        let (near, mut far) = std_pair();
        let writer = thread::spawn(move || {
            let mut bytes = Vec::new();
            for number in 0..count {
                bytes.extend_from_slice(line(number).as_bytes());
                bytes.push(b'\n');
                // Now a part of a line and now several.
                let part = usize::from(byte(8, number)) * 20;
                if bytes.len() > part {
                    let rest = bytes.split_off(bytes.len() - bytes.len().min(3));
                    far.write_all(&bytes).expect("somebody reads");
                    bytes = rest;
                }
                if number.is_multiple_of(16) {
                    thread::sleep(Duration::from_micros(u64::from(byte(9, number))));
                }
            }
            far.write_all(&bytes).expect("somebody reads");
        });
        let mut reader = BufReader::new(TcpStream::from_std(near).expect("a socket"));
        let (mut number, mut dropped, mut attempts) = (0, 0, 0_usize);
        loop {
            attempts += 1;
            let reading = reader.line();
            let outcome = match attempts % 5 {
                0 => poll_and_drop(reading).await,
                1 => timeout(Duration::ZERO, reading).await.ok(),
                2 => timeout(Duration::from_micros(30), reading).await.ok(),
                3 => match select(reading, turn()).await {
                    Either::First(line) => Some(line),
                    Either::Second(()) => None,
                },
                _ => timeout(Duration::from_millis(5), reading).await.ok(),
            };
            match outcome {
                None => dropped += 1,
                Some(Err(error)) => panic!("{error}"),
                Some(Ok(None)) => break,
                Some(Ok(Some(found))) => {
                    assert_eq!(found, line(number).as_bytes(), "line {number}");
                    number += 1;
                }
            }
        }
        assert_eq!(number, count);
        assert!(dropped > 0, "a race needs both outcomes");
        writer.join().expect("the writer ended");
    });
}
